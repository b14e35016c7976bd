"""The audit from a shell: followed, exported, and followed again without a database."""

from __future__ import annotations

from pathlib import Path

import psycopg

from tieline.runtime.migrate import Dsns

from .conftest import Run


def test_the_audit_is_followed_in_the_database_and_in_a_file(
    run: Run, database: Dsns, tmp_path: Path
) -> None:
    file = tmp_path / "audit.jsonl"
    login = run("people", "list", "--json").json["people"][0]["login"]

    sound = run("audit", "verify", "--json")
    exported = run("audit", "export", str(file), "--by", login, "--json")
    anchor = exported.json["anchor"]
    followed = run("audit", "verify", str(file), "--anchor", anchor, "--json")

    assert (sound.code, sound.json["is_intact"], sound.json["waiting"]) == (0, True, 0)
    assert (followed.code, followed.json["anchor"]) == (0, anchor)
    # The row of the export itself is its last link.
    assert followed.json["links"] == sound.json["links"] + 1
    assert '\\"action\\": \\"audit.exported\\"' in file.read_text(encoding="utf-8")

    lines = file.read_bytes().splitlines(keepends=True)
    file.write_bytes(b"".join([*lines[:1], *lines[2:]]))
    with psycopg.connect(database.owner) as owner:
        owner.execute("ALTER TABLE audit DISABLE TRIGGER audit_only_gains")
        owner.execute("UPDATE audit SET actor = 'eve' WHERE action = 'audit.exported'")

    cut = run("audit", "verify", str(file), "--json")
    changed = run("audit", "verify", "--json")

    assert (cut.code, cut.json["faults"][0]["why"]) == (1, "link 1 should stand here")
    assert (changed.code, changed.json["fault_count"]) == (1, 1)
    assert changed.json["faults"][0]["why"] == "its columns are not what was written"
    assert "NOT what it was" in run("audit", "verify").err


def test_the_audit_goes_to_auditors_only(run: Run, tmp_path: Path) -> None:
    run("people", "add", "cora", "--role", "controller", "--ask-password", "--json")

    refused = run("audit", "export", str(tmp_path / "a.jsonl"), "--by", "cora", "--json")

    assert (refused.code, "no auditor" in refused.err) == (2, True)
