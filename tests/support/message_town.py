"""A firm with cases before a cut-off, people, and channels that lead to a mail sink and a receiver."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import MappingProxyType
from uuid import UUID

from psycopg.types.json import Jsonb

from tests.promises.connectors.vendors import Vendor
from tests.rooms.casework.hand_made_firm import Firm
from tests.support.target import FixedClock
from tieline.app import ConfiguredConnectors
from tieline.casework import list_cases, sync_time_cases
from tieline.console import words
from tieline.notices import Reached, WrittenNotice, list_notices, set_reach
from tieline.runtime.budget import Budgets
from tieline.runtime.database import Database
from tieline.runtime.secrets import Secrets, open_master_key, store_secret
from tieline.runtime.work import AtOnce, Turns, claim, finish
from tieline.services.message_desk import SEND_NOTICE
from tieline.services.message_text import Speech
from tieline.services.messaging import LINK_PURPOSE, Messaging

CUT_OFF = datetime(2026, 11, 5, tzinfo=UTC)
WEB = "https://tieline.example.com"
PEPPER = b"p" * 32
_ROUNDS, _ITEMS_MAX = 3, 50
_PATIENCE_SECONDS, _PAUSE_SECONDS = 30, 0.05
DESK_SETTLES_SECONDS = 1


@dataclass(slots=True, kw_only=True)
class Town:
    """One installation, whose business clock a test moves."""

    database: Database
    folder: Path
    clock: FixedClock = field(default_factory=lambda: FixedClock(CUT_OFF - timedelta(hours=40)))

    def found(self) -> Town:
        """Hold three hours of DE and one of UK; one case of DE was given to ann."""
        with self.database.transaction() as connection:
            firm = Firm(connection).found()
            for code in ("time.narrative_missing", "time.task_unknown"):
                firm.rule(code, thing="entry")
            german = firm.project("P-DE")
            british = firm.project("P-UK", entity_code="UK")
            for number, (reason, project, seconds) in enumerate(
                (
                    ("time.narrative_missing", german, 3600),
                    ("time.task_unknown", german, 5400),
                    ("time.narrative_missing", british, 1800),
                ),
                start=1,
            ):
                entry_id = firm.entry(f"held-{number}", seconds=seconds)
                firm.judge(entry_id, "held", reason, project=project, seconds=seconds)
            waiting = firm.entry("waits", seconds=7200)
            firm.judge(waiting, "cleared", project=german, seconds=7200)
            sync_time_cases(connection, now=self.clock.now(), correlation_id="c")
            for login in ("ann", "bea", "cid"):
                connection.execute(
                    "INSERT INTO person_login (login, display_name, password_hash, roles, entities,"
                    " created_at, created_by) VALUES (%s, %s, '$argon2id$x', '{controller}', '{DE,UK}', %s, 'setup')",
                    (login, login.capitalize(), self.clock.now()),
                )
            connection.execute(
                "UPDATE case_file SET assigned_to = 'ann' WHERE reason = 'time.task_unknown'"
            )
        return self

    def channel(
        self,
        key: str,
        system: str,
        base_url: str,
        *,
        config: Mapping[str, str],
        secrets: Mapping[str, str] = MappingProxyType({}),
        settle_seconds: int = 0,
    ) -> None:
        """Connect a channel that acts."""
        master_key = open_master_key(secrets_directory=self.folder)
        with self.database.transaction() as connection:
            connection.execute(
                "INSERT INTO connection (connection_key, system, kind, mode, config, settle_seconds)"
                " VALUES (%s, %s, 'channel', 'act', %s, %s)",
                (key, system, Jsonb({"base_url": base_url, **config}), settle_seconds),
            )
            for name, value in secrets.items():
                store_secret(connection, key=master_key, connection_key=key, name=name, value=value)

    def service_desk(self, base_url: str) -> None:
        """Connect the sandbox's service desk as ``desk``."""
        self.channel(
            "desk",
            "jira_service",
            base_url,
            config={"service_desk": "FIN", "request_type": "Report a problem"},
            secrets={"email": "tieline@example.com", "api_token": "token"},
            settle_seconds=DESK_SETTLES_SECONDS,
        )

    def reach(
        self, recipient: str, key: str, address: str = "", *, urgent_only: bool = False
    ) -> None:
        """Say where somebody is reached."""
        with self.database.transaction() as connection:
            set_reach(
                connection,
                reached=Reached(
                    recipient=recipient,
                    connection_key=key,
                    address=address,
                    urgent_only=urgent_only,
                ),
                by="test",
                now=self.clock.now(),
            )

    def messaging(self) -> Messaging:
        """Return the service, as another worker would make it for itself."""
        key = open_master_key(secrets_directory=self.folder)
        budgets = Budgets(database=self.database)
        return Messaging(
            database=self.database,
            connectors=ConfiguredConnectors(
                database=self.database,
                secrets=Secrets(database=self.database, key=key),
                budgets=budgets,
            ),
            budgets=budgets,
            clock=self.clock,
            speech=Speech(say_reason=words.reason, say_system=words.system_name, web_url=WEB),
            digest_hour=8,
            early_days=frozenset(),
            link_key=key.derive(purpose=LINK_PURPOSE),
            pepper=PEPPER,
        )

    def at(self, **before: int) -> Town:
        """Move the clock to so long before the cut-off."""
        self.clock.instant = CUT_OFF - timedelta(**before)
        return self

    def run(self, *, workers: int = 1) -> None:
        """Let so many workers write what is due and send it, all at once."""
        with ThreadPoolExecutor(workers) as pool:
            for each in [pool.submit(self._work) for _ in range(workers)]:
                each.result()

    def bring(self, *, workers: int = 1) -> list[WrittenNotice]:
        """Let workers send until nothing waits, however long a channel takes to settle; return all."""
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while time.monotonic() < deadline:
            self.run(workers=workers)
            notices = self.notices()
            if not any(notice.state in ("waiting", "sending") for notice in notices):
                return notices
            time.sleep(_PAUSE_SECONDS)
        raise AssertionError(f"still not sent after {_PATIENCE_SECONDS} s: {self.notices()}")

    def notices(self) -> list[WrittenNotice]:
        with self.database.transaction() as connection:
            return list(list_notices(connection))

    def cases(self, reason: str) -> list[str]:
        with self.database.transaction() as connection:
            return [case.thing_key for case in list_cases(connection, reason=reason)]

    def case_ids(self, *, assigned_to: str | None) -> list[UUID]:
        with self.database.transaction() as connection:
            rows = connection.execute(
                "SELECT case_id FROM case_file WHERE state = 'open'"
                " AND assigned_to IS NOT DISTINCT FROM %s",
                (assigned_to,),
            ).fetchall()
        return [row["case_id"] for row in rows]

    def _work(self) -> None:
        messaging = self.messaging()
        messaging.write_due()
        for _ in range(_ROUNDS):
            with self.database.transaction() as connection:
                # What waits for its next try need not wait here.
                connection.execute("UPDATE work_item SET due_at = now(), hold_until = now()")
                items = claim(
                    connection,
                    executor_id="worker",
                    kinds=[SEND_NOTICE],
                    turns=Turns(),
                    now=self.clock.now(),
                    slots=_ITEMS_MAX,
                    low_slots=_ITEMS_MAX,
                    kind_slots=_ITEMS_MAX,
                )
            for item in items:
                outcome = messaging.send(AtOnce(), item.subject)
                with self.database.transaction() as connection:
                    finish(connection, item=item, outcome=outcome)
        messaging.write_due()


def words_at(desk: Vendor) -> tuple[list[str], list[str]]:
    """Return the words of the notices that stand on a desk's requests, and in their comments."""
    texts: dict[str, list[str]] = {"requests": [], "comments": []}
    for line in desk.journal():
        if line["operation"] == "create" and line["table"] in texts:
            record = line["record"]
            texts[line["table"]].append(record.get("body") or record["fields"]["description"])
    words = {
        table: [re.findall(r"tl[0-9a-f]{24}", text)[-1] for text in each]
        for table, each in texts.items()
    }
    return words["requests"], words["comments"]
