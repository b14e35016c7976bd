"""Link what was written to the audit, and note outside the database how far the chain has come."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import IO

import structlog

from tieline.governance import (
    BEGINNING,
    SEALED_AT_ONCE_MAX,
    Anchor,
    AuditState,
    export_audit,
    find_anchor,
    find_noted_anchor,
    has_anchor,
    note_anchor,
    record_audit,
    seal_audit,
    verify_audit,
)
from tieline.kernel.errors import UserMistake
from tieline.runtime.database import Database

_log = structlog.get_logger("tieline.audit")


@dataclass(frozen=True, slots=True, kw_only=True)
class Sealing:
    """Keep the audit linked."""

    database: Database
    home: Path

    def seal(self) -> None:
        """Link all rows that wait, and note the newest anchor where the noted one lies on the chain."""
        sealed = SEALED_AT_ONCE_MAX
        while sealed == SEALED_AT_ONCE_MAX:
            with self.database.transaction() as connection:
                sealed = seal_audit(connection)
        self._note()

    def verify(self, *, anchors: tuple[Anchor, ...] = ()) -> AuditState:
        """Link what waits, then follow the whole chain past every anchor that is known."""
        self.seal()
        noted = find_noted_anchor(self.home)
        with self.database.transaction() as connection:
            return verify_audit(connection, anchors=(*anchors, *((noted,) if noted else ())))

    def export(
        self,
        *,
        to: IO[bytes],
        entities: Collection[str],
        after: Anchor | None,
        by: str,
        now: datetime,
    ) -> Anchor:
        """Write the chain for an auditor, with the row that says so, and return its anchor.

        :raises UserMistake: it should begin after what is no link of the chain.
        """
        with self.database.transaction() as connection:
            if after is not None and not has_anchor(connection, anchor=after):
                raise UserMistake(f"the chain has no link {after}: run `tieline audit verify`")
            record_audit(
                connection,
                now=now,
                actor=by,
                action="audit.exported",
                object="audit",
                entity_code=None,
                reason="for an auditor",
                data={"entities": sorted(entities), "after": str(after or BEGINNING)},
            )
        self.seal()
        with self.database.transaction() as connection:
            return export_audit(connection, to=to, entities=entities, after=after or BEGINNING)

    def _note(self) -> None:
        with self.database.transaction() as connection:
            newest = find_anchor(connection)
            try:
                noted = find_noted_anchor(self.home)
            except UserMistake as error:
                _log.error("audit.anchor_unreadable", why=str(error))
                return
            # What is noted is never given up for less: `tieline audit verify` then says what is missing.
            if noted is not None and not has_anchor(connection, anchor=noted):
                _log.error("audit.shorter_than_noted", noted=str(noted))
                return
        if newest is not None and newest != noted:
            try:
                note_anchor(self.home, anchor=newest)
            except OSError as error:
                # A full disk: an older anchor is noted, which is an anchor all the same.
                _log.warning("audit.anchor_not_noted", why=error.strerror)
