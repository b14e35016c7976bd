"""A policy from a shell: exported, changed in a file, tried, drafted by one and approved by another."""

from __future__ import annotations

from pathlib import Path

from .conftest import Run

_ONE = ("--by", "controller")
_OTHER = ("--by", "finance")
_DAYS = ("--from", "2026-10-01", "--to", "2026-11-01")
_RULE = """
[[rule]]
code = "firm.no_long_travel"
applies_when = "lower(task_name) LIKE 'travel%'"
predicate = "seconds <= 8 * 3600"
severity = "error"
owner = "delivery"
message = "Nobody travels for more than eight hours."
fix = "Split the journey."
"""


def test_a_policy_goes_from_file_to_release(run: Run, tmp_path: Path) -> None:
    run("proposals", "approve", "release:1", *_OTHER)
    file = tmp_path / "policy.toml"
    file.write_text(run("policy", "export").out + _RULE, encoding="utf-8")

    tried = run("policy", "try", "--file", str(file), *_DAYS, "--json")
    drafted = run("policy", "draft", "--file", str(file), "--reason", "asked", *_ONE, "--json")
    number = str(drafted.json["release"])
    shown = run("policy", "show", number, "--json")
    looked = run("policy", "diff", "--draft", number, *_DAYS, "--json")
    own = run("policy", "approve", number, *_ONE)
    other = run("policy", "approve", number, *_OTHER, "--json")
    again = run("policy", "draft", "--file", str(file), "--reason", "again", *_ONE)
    file.write_text("title = 1\n", encoding="utf-8")
    wrong = run("policy", "draft", "--file", str(file), "--reason", "again", *_ONE)

    assert (tried.code, tried.json["entries"]) == (0, 0), tried.err
    (change,) = drafted.json["changes"]
    assert change.startswith("rule firm.no_long_travel: none -> error | ")
    assert shown.json["changes"] == looked.json["policy"] == tried.json["policy"] == [change]
    assert (own.code, other.json["state"]) == (2, "current")
    assert "somebody else approves" in own.err
    assert (again.code, again.err) == (2, f"this is what release {number} says already\n")
    assert wrong.err == f"{file}: title: Input should be a valid string\n"
    states = [
        (each["release_id"], each["state"])
        for each in run("policy", "list", "--json").json["releases"]
    ]
    assert states == [(int(number), "current"), (1, "superseded")]
    assert "firm.no_long_travel" in run("policy", "export").out
    assert run("policy", "diff", *_DAYS).code == 2
