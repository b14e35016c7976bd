"""`tieline config`: taken out, compared, refused when stale, applied whole, and undone."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tieline.runtime.migrate import Dsns

from .conftest import Run

EXAMPLES = Path(__file__).parents[3] / "examples"
_BY = ("--by", "controller", "--reason", "from the test environment", "--json")


def _write(path: Path, content: dict[str, Any]) -> Path:
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


@pytest.fixture
def exported(run: Run) -> dict[str, Any]:
    assert run("policy", "approve", "1", "--by", "finance").code == 0
    return run("config", "export", "--json").json


def test_a_configuration_goes_from_one_installation_to_another(
    run: Run, exported: dict[str, Any], tmp_path: Path, database: Dsns
) -> None:
    same = _write(tmp_path / "same.json", exported)
    plan = run("config", "plan", str(same), "--to", "trial", "--json")
    assert (plan.code, plan.json["differences"]) == (0, [])

    drop = tmp_path / "drop"
    drop.mkdir()
    written = tomllib.loads((EXAMPLES / "staffing.toml").read_text("utf-8"))
    exported["connections"]["staffing"] = {
        "system": written.pop("system"),
        "mode": "act",
        "settle_seconds": 0,
        "go_live": {"HR-DE": "2026-10-01"},
        "secrets": [],
        "config": {
            name: str(drop) if value == "/srv/tieline/staffing" else value
            for name, value in written.items()
            if name not in ("connection_key", "mode", "go_live")
        },
    }
    exported["people"]["gil"] = {
        "name": "Gil", "roles": ["auditor"], "entities": ["HR-UK"], "ends_at": "2027-03-01T00:00:00Z",
    }  # fmt: skip
    was = exported["people"]["finance"]["name"]
    ends_at = "2027-01-01T00:00:00Z"
    exported["people"]["finance"] |= {"entities": ["HR-DE"], "name": "Fay", "ends_at": ends_at}
    exported["stand_ins"]["person:gil 2026-11-02"] = {
        "login": "controller",
        "ends_on": "2026-11-09",
    }
    exported["policy"]["value"] = [
        {**each, "value": "40"} if each["name"] == "narrative_length_min" else each
        for each in exported["policy"]["value"]
    ]
    exported["entities"]["HR-DE"]["periods"]["2028-01"] = {
        **exported["entities"]["HR-DE"]["periods"]["2027-12"],
        "starts_on": "2028-01-01",
        "ends_on": "2028-02-01",
    }
    exported["identities"]["gil https://login.example"] = {"subject": "s-1"}
    owned = {"noun": "client", "field": "city", "owner_kind": "erp", "starts_on": "2026-01-01"}
    exported["tables"]["field-owners"].append(owned)
    phase = {"template": "Build", "phase": "Start", "task": "Kick-off", "starts_on": "2026-01-01"}
    exported["tables"]["project-templates"].append(phase)
    file = _write(tmp_path / "new.json", exported)

    plan = run("config", "plan", str(file), "--to", "trial", "--json")
    found = {(each["section"], each["key"]): each for each in plan.json["differences"]}

    assert (plan.code, plan.json["missing"], plan.json["refused"]) == (0, [], [])
    assert {key: each["what"] for key, each in found.items()} == {
        ("connections", "staffing"): "added",
        ("entities", "HR-DE"): "changed",
        ("people", "finance"): "changed",
        ("people", "gil"): "added",
        ("identities", "gil https://login.example"): "added",
        ("tables", "field-owners"): "added",
        ("tables", "project-templates"): "added",
        ("stand_ins", "person:gil 2026-11-02"): "added",
        ("policy", "release"): "changed",
    }
    assert found["people", "finance"]["fields"] == {
        "entities": [["HR-DE", "HR-PL", "HR-UK", "HR-US"], ["HR-DE"]],
        "name": [was, "Fay"],
        "ends_at": [None, ends_at],
    }
    assert found["tables", "field-owners"]["fields"] == {"client city 2026-01-01": [None, owned]}
    assert "second controller" in plan.json["approvals"][0]
    assert "tables.field-owners becomes a proposal" in plan.json["approvals"][1]

    words = ("config", "apply", str(file), "--to", "trial", "--plan")
    assert "stale" in run(*words, "0" * 32, *_BY).err
    applied = run(*words, plan.json["plan_id"], *_BY)
    assert applied.code == 0, applied.err
    assert set(applied.json["passwords"]) == {"gil"}
    assert any("staffing is new and observes" in each for each in applied.json["waits"])
    assert any(each.startswith("project-templates waits") for each in applied.json["waits"])
    assert "stale" in run(*words, plan.json["plan_id"], *_BY).err

    (waits,) = (each for each in applied.json["waits"] if each.startswith("field-owners"))
    approved = run("proposals", "approve", waits.split()[-1], "--by", "finance")
    assert "is in finance's sight" in approved.err
    there = run("config", "export", "--json").json
    assert there["people"] == exported["people"]
    assert there["identities"] == exported["identities"]
    assert there["connections"]["staffing"]["mode"] == "observe"
    assert "2028-01" in there["entities"]["HR-DE"]["periods"]
    with psycopg.connect(database.owner) as owner:
        row = owner.execute("SELECT data->'things' FROM audit WHERE action = 'config.applied'")
        assert len(row.fetchall()[0][0]) == len(found)

    undo_file = applied.json["undo"][0].split()[3]
    back = run("config", "plan", undo_file, "--to", "trial", "--json")
    undone = run(
        "config", "apply", undo_file, "--to", "trial", "--plan", back.json["plan_id"], *_BY
    )
    assert undone.code == 0, undone.err
    people = run("config", "export", "--json").json["people"]
    assert people["finance"]["entities"] == ["HR-DE", "HR-PL", "HR-UK", "HR-US"]
    assert people["finance"]["name"] == was
    assert people["finance"]["ends_at"] is None


def test_what_is_not_there_or_not_a_files_to_change_is_named(
    run: Run, exported: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    exported["connections"]["live"] = {
        "system": "harvest",
        "mode": "observe",
        "settle_seconds": 0,
        "go_live": {"HR-XX": "2026-10-01"},
        "secrets": ["access_token"],
        "config": {"base_url": "https://api.harvestapp.com", "wrong": 1},
    }
    exported["keys"]["nightly"] = {"scopes": ["time:read"], "entities": ["HR-DE"]}
    exported["entities"]["HR-DE"]["currency"] = "USD"
    exported["entities"]["HR-UK"]["erp"] = "netsuite"
    exported["policy"]["severity"] = [
        {"rule": "time.no_such_rule", "severity": "warn", "starts_on": "2026-01-01", "reason": "x"}
    ]
    stage = {"kind": "stage", "their_code": "Signed", "our_code": "won", "starts_on": "2026-01-01"}
    exported["tables"] = {
        # The first connection comes with this very file, the second with none.
        "inbound-codes": [
            {**stage, "connection": "live"},
            {**stage, "connection": "no-crm"},
        ],
        "outbound-codes": [{"colour": "blue"}],
        "list-rates": [],
    }
    exported["identities"]["nobody https://login.example"] = {"subject": "s-1"}
    file = _write(tmp_path / "new.json", exported)

    plan = run("config", "plan", str(file), "--to", "trial", "--no-calls", "--json")

    said = " ".join(plan.json["missing"]) + " ".join(plan.json["refused"])
    assert plan.code == 1
    for named in (
        "no legal entity HR-XX",
        "no connection is called netsuite",
        "harvest has no setting wrong",
        "tieline keys issue nightly",
        "currency",
        "no rule time.no_such_rule",
        "tables.inbound-codes, row 2, connection:",
        "colour is no column of it",
        "tables.list-rates: a configuration holds inbound-codes",
        "identities.nobody: nobody has this login",
    ):
        assert named in said
    assert "row 1" not in said
    assert run("config", "plan", str(file), "--to", "production", "--json").code == 2
    words = ("config", "apply", str(file), "--to", "trial", "--plan", plan.json["plan_id"], *_BY)
    assert "no legal entity HR-XX" in run(*words).err

    monkeypatch.setenv("TIELINE_SECRET_LIVE_ACCESS_TOKEN", "t")
    monkeypatch.setenv("TIELINE_SECRET_LIVE_ACCOUNT_ID", "1")
    monkeypatch.setenv("TIELINE_PRODUCTION_HOSTS", "api.harvestapp.com")
    toml = tmp_path / "harvest.toml"
    toml.write_text(
        'connection_key = "live"\nsystem = "harvest"\nbase_url = "https://api.harvestapp.com"\n',
        encoding="utf-8",
    )
    assert "is production's" in run("connect", "harvest", "--file", str(toml)).err


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
        "{}",
        '{"format": "tieline configuration 1", "environment": "t", "secret": 1}',
        '{"format": "tieline configuration 1", "environment": "t", "people": {"a": {"name": "\\u0000"}}}',
        "{" * 100_000,
    ],
)
def test_a_file_that_is_none_is_refused(run_bare: Run, tmp_path: Path, content: str) -> None:
    file = tmp_path / "config.json"
    file.write_text(content, encoding="utf-8")

    ran = run_bare("config", "plan", str(file), "--to", "trial", "--json")

    assert (ran.code, ran.out) == (2, "")
