"""The real ERP as the target of a proof; its own table stands for the journal of the books."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, date
from pathlib import Path
from typing import Any

import psycopg

from tieline.proof.proving.load import AFTER_PERIODS, CURRENCY, FIRST_PERIOD, TASKS
from tieline.proof.town import ERP_DATABASE, Town
from tieline.sandbox.erp.rpc import RpcSession

_EMPLOYED_FROM = date(2026, 1, 1)
_LOOK_SECONDS = 0.5
# Lines in the words of the source: people by the code of their party, tasks by their name.
_LINES = b"""
select line.id, line.create_date at time zone 'UTC', person.code, task.name, line.date,
       extract(epoch from line.duration)::bigint, line.uuid
  from timesheet_line line
  join company_employee employee on employee.id = line.employee
  join party_party person on person.id = employee.party
  join timesheet_work booking on booking.id = line.work
  join project_work task on booking.origin = 'project.work,' || task.id
 where line.id > %s
 order by line.id
"""


def firm_of(*, entity_code: str, people: int) -> Mapping[str, Any]:
    """Return the firm that is entered into the ERP: one company and its people, numbered."""
    return {
        "companies": [
            {
                "code": entity_code,
                "name": "Entity of the proof",
                "currency": CURRENCY,
                "country": "DE",
                "timezone": "Europe/Berlin",
                "fiscal_year_start": "01-01",
                "opens_on": FIRST_PERIOD.isoformat(),
                "closes_on": AFTER_PERIODS.isoformat(),
            }
        ],
        "employees": [
            {
                "code": str(number),
                "name": f"Person {number}",
                "company_code": entity_code,
                "starts_on": _EMPLOYED_FROM.isoformat(),
            }
            for number in range(people)
        ],
        "labor_categories": [],
    }


def open_tasks(town: Town, *, entity_code: str) -> list[str]:
    """Open one project with the tasks of the proof; return what the ERP calls the tasks."""
    template = town.erp.template
    assert template.firm is not None
    company = template.firm.companies[entity_code]
    with closing(
        RpcSession(
            url=town.erp.server.url,
            database=ERP_DATABASE,
            login="admin",
            password=template.admin_password,
        )
    ) as session:
        session.context = {"company": company, "company_filter": "all"}
        (project,) = session.create(
            "project.work",
            [{"type": "project", "company": company, "name": "Project of the proof"}],
        )
        tasks = session.create(
            "project.work",
            [
                {
                    "type": "task",
                    "company": company,
                    "parent": project,
                    "name": str(number),
                    "timesheet_available": True,
                }
                for number in range(TASKS)
            ],
        )
    return [str(number) for number in tasks]


@dataclass(slots=True, kw_only=True)
class TableJournal:
    """Keep a journal of what the ERP's table holds, as the books keep their own.

    While it is followed it tells how far things are; ``write_whole`` puts what stands in the end in its place, with
    what was asked of the ERP: ``heard`` has each call that was to store lines.
    """

    town: Town
    heard: Path
    path: Path
    _stop: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def follow(self) -> None:
        """Note what is stored as it comes, on a thread of its own."""
        self.path.write_text("", encoding="utf-8")
        self._thread = threading.Thread(target=self._follow, name="journal", daemon=True)
        self._thread.start()

    def write_whole(self) -> None:
        """Write down every line that stands and every call that asked for one, instead of what was noted on the way."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
        stored = self._stored_after(0)
        words = {
            entry.pop("uuid"): [entry[word] for word in ("person", "task", "date", "seconds")]
            for entry in stored
        }
        self.path.write_text("", encoding="utf-8")
        self._append(sorted([*stored, *self._asked(words)], key=lambda entry: entry["at"]))

    def _follow(self) -> None:
        newest = 0
        while not self._stop.wait(_LOOK_SECONDS):
            try:
                stored = self._stored_after(newest)
            except psycopg.Error:
                # It is told whole in the end.
                continue
            self._append(stored)
            newest = max((entry["id"] for entry in stored), default=newest)

    def _stored_after(self, newest: int) -> list[dict[str, Any]]:
        with self.town.erp.cluster.connect(database=ERP_DATABASE) as connection:
            rows = connection.execute(_LINES, (newest,)).fetchall()
        return [
            {
                "event": "stored",
                "at": at.astimezone(UTC).isoformat(),
                # Lines of one call are stored in one transaction, at one instant.
                "batch": at.isoformat(),
                "id": number,
                "person": person,
                "task": task,
                "date": day.isoformat(),
                "seconds": seconds,
                "uuid": uuid,
            }
            for number, at, person, task, day, seconds, uuid in rows
        ]

    def _asked(self, words: Mapping[str, Sequence[Any]]) -> list[dict[str, Any]]:
        # What a call named and no line has is lost or was sent again under another key: no line waited for it.
        with self.heard.open(encoding="utf-8") as file:
            calls = [json.loads(line) for line in file]
        return [
            {
                "event": "asked",
                "at": call["at"],
                "lines": [
                    words[line["uuid"]]
                    for line in json.loads(call["body"])["params"][0]
                    if line["uuid"] in words
                ],
            }
            for call in calls
        ]

    def _append(self, entries: Sequence[Mapping[str, Any]]) -> None:
        with self.path.open("a", encoding="utf-8") as file:
            file.writelines(json.dumps(entry) + "\n" for entry in entries)
