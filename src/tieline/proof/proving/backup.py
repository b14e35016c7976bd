"""A backup taken under load and restored later, as the operators' guide says, and the list that follows."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from tieline.proof.proving.options import SETTLE_SECONDS
from tieline.proof.proving.world import World
from tieline.runtime.migrate import prepare_database
from tieline.services.restoring import get_newest, list_writes
from tieline.services.system import System

_OUTCOMES = ("linked", "altered", "held", "differs", "several")
_KNOWN = (
    "SELECT target_code FROM tieline.effect WHERE state = 'CONFIRMED' AND target_code IS NOT NULL"
)


@dataclass(slots=True, kw_only=True)
class Backup:
    """One dump of the database, and what the target holds that it does not know."""

    world: World
    tell: Callable[[str], None]
    restored_at: float = 0
    # What stood in the target at the restore and not in the dump, by the target's own journal.
    unknown: set[str] = field(default_factory=set)

    def dump(self) -> None:
        """Take a dump while everything runs."""
        self._run("pg_dump", "--format=custom", f"--file={self._file}", f"--dbname={self._inside}")
        self.tell(f"  backup of {self._file.stat().st_size} bytes")

    def restore(self) -> None:
        """Put the dump in place of the database; nobody works."""
        # What was sent last may still be stored.
        time.sleep(SETTLE_SECONDS)
        name = self._name
        with psycopg.connect(self.world.cluster.superuser_dsn, autocommit=True) as admin:
            admin.execute(f'DROP DATABASE "{name}" WITH (FORCE)')
            admin.execute(f'CREATE DATABASE "{name}"')
        self._run("pg_restore", "--exit-on-error", f"--dbname={self._inside}", str(self._file))
        # Who looks first sets passwords, rights and search paths, as every command does.
        prepare_database(
            self.world.cluster, secrets_directory=self.world.settings.secrets_directory
        )
        with psycopg.connect(self._inside) as inside:
            known = {row[0] for row in inside.execute(_KNOWN).fetchall()}
        self.unknown = _standing(self.world.journal) - known
        self.restored_at = time.time()
        self.tell(f"  restored; {len(self.unknown)} lines were posted since")

    def compare(self, system: System) -> Mapping[str, Any]:
        """Hold the list against the target's journal."""
        with system.database.transaction() as connection:
            newest = get_newest(connection)
            writes = () if newest is None else list_writes(connection, restoration=newest)
        listed = {each.target_code for each in writes if each.outcome in _OUTCOMES}
        asked_at = self.asked_at(system)
        return {
            "posted_after_backup": len(self.unknown),
            "missing_in_list": len(self.unknown - listed),
            "wrongly_in_list": len(listed - self.unknown),
            "seconds_until_asked": round(asked_at.timestamp() - self.restored_at)
            if asked_at
            else None,
        }

    def asked_at(self, system: System) -> datetime | None:
        """Return when every target had been asked: until then nothing may be sent, by the guide."""
        with system.database.transaction() as connection:
            row = connection.execute(
                "SELECT max(settled_at) AS at FROM effect WHERE reason = 'posting.relinked'"
            ).fetchone()
        return None if row is None else row["at"]

    @property
    def _file(self) -> Path:
        return self.world.journal.with_name("backup.dump")

    @property
    def _name(self) -> str:
        return str(conninfo_to_dict(self.world.dsns.owner)["dbname"])

    @property
    def _inside(self) -> str:
        return make_conninfo(self.world.cluster.superuser_dsn, dbname=self._name)

    def _run(self, program: str, *words: str) -> None:
        subprocess.run(
            [str(self.world.cluster.bin_directory / program), *words], check=True, timeout=600
        )


def _standing(journal: Path) -> set[str]:
    """Return the numbers of the lines that stand by the journal."""
    stands: set[str] = set()
    with journal.open(encoding="utf-8") as file:
        for line in file:
            entry = json.loads(line)
            if entry["event"] == "stored":
                stands.add(str(entry["id"]))
            elif entry["event"] == "voided":
                stands.discard(str(entry["id"]))
    return stands
