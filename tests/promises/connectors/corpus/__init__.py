"""Hours as their sources write them, and what the translator of each connector made of them.

One file per connector: the number of the translator, the records, and the material values of each. A
translator that reads a record otherwise raises ``translator`` in its manifest and records the corpus
anew: ``python -m tests.promises.connectors.corpus harvest``.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tieline.canonical import TimeEntry
from tieline.intake.material import TIME_FIELDS, as_json
from tieline.sdk import RawRecord, Translated, Untranslatable
from tieline.sdk.promises import Subject, load_subject

FOLDER = Path(__file__).parent
SYSTEMS = ("filedrop", "harvest", "tryton")
_HOURS: tuple[Any, ...] = (0.01, 0.33, 1.005, 7.25, 8, 23.99, 24, 0, -1.5, "2", None)
_DAYS: tuple[Any, ...] = ("2024-02-29", "2026-12-31", "9999-12-31", "05.10.2026", None)
_WORDS: tuple[Any, ...] = (None, "", " x ", "ü 🚀\ntwo lines", "=SUM(1)")
# What a source may write otherwise: a field of a record, and what it may say.
_JSON: dict[str, Mapping[str, tuple[Any, ...]]] = {
    "harvest": {
        "hours": _HOURS,
        "spent_date": _DAYS,
        "notes": _WORDS,
        "billable": (False, None),
        "is_running": (True,),
        "timer_started_at": ("2026-10-05T08:00:00Z",),
        "started_time": ("8:00am", "23:30"),
        "locked_reason": (
            "Item Approved",
            "Item Invoiced",
            "Item Invoiced and Approved and Locked for this Time Period",
            "Project Archived",
        ),
        "user": ({"id": 7, "name": "Bo"}, None),
        "task": ({"id": 7, "name": "Travel"}, None),
        "project": (None,),
    },
    "tryton": {
        "description": _WORDS,
        "employee": (7, None),
        "duration": (
            {"__class__": "timedelta", "seconds": 36.0},
            {"__class__": "timedelta", "seconds": 86364.0},
            None,
        ),
        "date": ({"__class__": "date", "day": 29, "month": 2, "year": 2024}, None),
        "work.": ({"id": 9, "origin": "project.work,4"}, {"id": 9, "origin": None}),
        "invoice_line": (None,),
    },
}
_TEXT: dict[str, Mapping[str, tuple[str, ...]]] = {
    "filedrop": {
        "7.50": tuple("" if hours is None else str(hours) for hours in (*_HOURS, "eight", "7,5")),
        "2026-10-01": tuple(day or "" for day in _DAYS),
        "APPROVED": ("OPEN", "LATER", ""),
        '"Review, and tests"': ("", '"=SUM(1)"', '"ü 🚀"', " x "),
        "EW-001": ("", "=1+1"),
        "P-1": ("", "P-2"),
    }
}


def read(system: str) -> dict[str, Any]:
    """Return what was recorded of a connector: ``translator`` and ``records``."""
    told: dict[str, Any] = json.loads(_path(system).read_text(encoding="utf-8"))
    return told


def record(system: str) -> Path:
    """Write what the present translator makes of a connector's records."""
    subject = load_subject(f"tieline.connectors.{system}")
    connector = subject.build(base_url="http://127.0.0.1:1")
    records = [
        {"object": stream, "body": body, "means": meaning(connector, stream, body)}
        for stream, body in _bodies(subject, system)
    ]
    told = {"translator": subject.manifest.translator, "records": records}
    _path(system).write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
    return _path(system)


def meaning(connector: Any, stream: str, body: str) -> dict[str, Any]:
    """Return the material values that a translator finds in a record, or why it finds none."""
    raw = RawRecord(
        object=stream, source_ref="1", body=body.encode(), source_at=None, line_number=2
    )
    match connector.translate(record=raw):
        case Untranslatable(reason=reason):
            return {"not_understood": reason}
        case Translated(noun=TimeEntry() as hour, is_deleted=is_deleted):
            values = {name: as_json(getattr(hour, name)) for name in TIME_FIELDS}
            return {**values, "is_deleted": is_deleted}
        case other:
            raise AssertionError(f"{other} is no hour")


def _bodies(subject: Subject, system: str) -> Iterator[tuple[str, str]]:
    for stream in (each.name for each in subject.manifest.streams if each.noun == "time_entry"):
        fixtures = [each.body.decode() for each in subject.fixtures(stream=stream).values()]
        for body in (*fixtures, *_varied(fixtures[0], system)):
            yield stream, body


def _varied(body: str, system: str) -> Iterator[str]:
    for name, values in _JSON.get(system, {}).items():
        told = json.loads(body)
        assert name in told
        for value in values:
            yield json.dumps({**told, name: value})
    for piece, texts in _TEXT.get(system, {}).items():
        assert piece in body
        for text in texts:
            yield body.replace(piece, text, 1)


def _path(system: str) -> Path:
    return FOLDER / f"{system}.json"
