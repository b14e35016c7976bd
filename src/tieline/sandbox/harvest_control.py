"""The people of the account: they load, enter, approve, edit and delete, at instants of their own."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Any

from tieline.sandbox.harvest_model import (
    APPROVED,
    RESOURCES,
    TASK_ASSIGNMENTS,
    TIME_ENTRIES,
    USER_ASSIGNMENTS,
    Resource,
    Unprocessable,
    find_assignment,
    instant,
    read_fields,
)
from tieline.sandbox.process import SandboxClock
from tieline.sandbox.records import Change, Record, RecordStore
from tieline.sandbox.wire import Request, Response, decode_json, json_response

_LOCK_FIELDS = ("is_locked", "locked_reason", "is_billed")


class HarvestControl:
    """Do in one call what people do by hand in the product's pages."""

    def __init__(self, *, store: RecordStore, clock: SandboxClock) -> None:
        self._store = store
        self._clock = clock
        self._verbs: Mapping[str, Callable[[Mapping[str, Any]], object]] = {
            "load": self._load,
            "entries": self._enter,
            "approve": self._approve,
            "approve_week": self._approve_week,
            "unapprove": self._unapprove,
            "edit": self._edit,
            "delete": self._delete,
            "clock": self._set_clock,
        }

    def answer(self, request: Request) -> Response:
        """Answer one control request; the front has checked the token."""
        verb = request.path.removeprefix("/_sandbox/")
        if request.method == "GET" and verb == "journal":
            after = int(request.query.get("after", "0"))
            lines = self._store.journal(table=request.query.get("table"), after=after)
            return json_response({"journal": lines})
        if request.method == "GET" and verb == "weeks":
            return json_response({"weeks": self._weeks()})
        if request.method == "GET" and verb == "entries":
            return json_response({"hours": self._hours(request.query.get("keys", ""))})
        if request.method != "POST" or verb not in self._verbs:
            return json_response({"message": f"there is no control {verb}"}, status=404)
        try:
            body = decode_json(request.body)
            return json_response(self._verbs[verb](body))
        except (KeyError, TypeError) as error:
            raise Unprocessable(f"{verb} needs {error}") from error

    def _load(self, body: Mapping[str, Any]) -> object:
        """Load records by resource; ``key`` names a record in the answer."""
        at = self._at(body)
        ids: dict[str, dict[str, int]] = {}
        changes: list[Change] = []
        for name, rows in body.items():
            if name == "at":
                continue
            resource = _resource(name)
            for row in rows:
                record = self._new(resource, row, at)
                changes.append(_change(resource, record, at, "create"))
                ids.setdefault(name, {})[record["_key"]] = record["id"]
        self._store.commit(changes)
        return {"ids": ids}

    def _enter(self, body: Mapping[str, Any]) -> object:
        """Enter hours as people do; whoever is missing on a project is added to it by hand."""
        changes: list[Change] = []
        ids: dict[str, int] = {}
        linked: set[tuple[str, int, int]] = set()
        for row in body["entries"]:
            at = self._at(row if "at" in row else body)
            record = self._new(TIME_ENTRIES, row, at)
            changes += self._missing_links(record, at, linked)
            changes.append(_change(TIME_ENTRIES, record, at, "create"))
            ids[record["_key"]] = record["id"]
        self._store.commit(changes)
        return {"ids": ids}

    def _missing_links(
        self, record: Record, at: datetime, linked: set[tuple[str, int, int]]
    ) -> list[Change]:
        changes = []
        for resource, column in ((TASK_ASSIGNMENTS, "task_id"), (USER_ASSIGNMENTS, "user_id")):
            project_id, ref = record["project_id"], record[column]
            link = (column, project_id, ref)
            if link in linked:
                continue
            linked.add(link)
            if not find_assignment(
                self._store, resource, project_id=project_id, column=column, ref=ref
            ):
                made = self._new(resource, {"project_id": project_id, column: ref}, at)
                changes.append(_change(resource, made, at, "create"))
        return changes

    def _new(self, resource: Resource, row: Mapping[str, Any], at: datetime) -> Record:
        identity = self._store.next_id(resource.name, first=resource.first_id)
        record = {
            "id": identity,
            **resource.defaults,
            **_fields(resource, row),
            "created_at": instant(_moment(row["entered_at"]) if "entered_at" in row else at),
            "updated_at": instant(at),
            "_key": str(row.get("key", identity)),
        }
        self._check(resource, record)
        return record

    def _check(self, resource: Resource, record: Record) -> None:
        for column, table in resource.references.items():
            if record.get(column) not in self._store.table(table):
                raise Unprocessable(f"{column} {record.get(column)} does not exist")

    def _approve(self, body: Mapping[str, Any]) -> object:
        reason = str(body.get("locked_reason", APPROVED))
        return self._change_entries(body, {"is_locked": True, "locked_reason": reason}, "approve")

    def _approve_week(self, body: Mapping[str, Any]) -> object:
        """Approve all hours of a week that are handed in, as its approval page does."""
        week = date.fromisoformat(body["starts_on"])
        ids = [record["id"] for record in self._waiting() if _monday(record) == week]
        if not ids:
            raise Unprocessable(f"no hours of the week of {week} wait for approval")
        return self._approve({**body, "ids": ids})

    def _weeks(self) -> list[Mapping[str, object]]:
        """Return the weeks with hours that wait for approval, as the approval page lists them."""
        counts = Counter(_monday(record) for record in self._waiting())
        return [{"starts_on": week.isoformat(), "entries": counts[week]} for week in sorted(counts)]

    def _hours(self, keys: str) -> Mapping[str, object]:
        """Return the hours of the entries that are there, of those that are asked for, one a line."""
        wanted = set(keys.splitlines())
        entries = self._store.table(TIME_ENTRIES.name).values()
        return {entry["_key"]: entry["hours"] for entry in entries if entry["_key"] in wanted}

    def _waiting(self) -> list[Record]:
        today = self._clock.now().date()
        return [
            record
            for record in self._store.table(TIME_ENTRIES.name).values()
            if not record["is_locked"] and date.fromisoformat(record["spent_date"]) <= today
        ]

    def _unapprove(self, body: Mapping[str, Any]) -> object:
        return self._change_entries(body, {"is_locked": False, "locked_reason": None}, "unapprove")

    def _edit(self, body: Mapping[str, Any]) -> object:
        fields = _fields(TIME_ENTRIES, body["changes"])
        return self._change_entries({**body, "ids": [body["id"]]}, fields, "edit")

    def _change_entries(
        self, body: Mapping[str, Any], fields: Record, operation: str
    ) -> Mapping[str, object]:
        at = self._at(body)
        changes: list[Change] = []
        linked: set[tuple[str, int, int]] = set()
        for identity in body["ids"]:
            record = {**self._entry(identity), **fields, "updated_at": instant(at)}
            self._check(TIME_ENTRIES, record)
            changes += self._missing_links(record, at, linked)
            changes.append(_change(TIME_ENTRIES, record, at, operation))
        self._store.commit(changes)
        return {"changed": len(body["ids"])}

    def _delete(self, body: Mapping[str, Any]) -> object:
        at = self._at(body)
        changes = [
            Change(
                table=TIME_ENTRIES.name,
                record_id=self._entry(identity)["id"],
                record=None,
                at=at,
                by="person",
                operation="delete",
            )
            for identity in body["ids"]
        ]
        self._store.commit(changes)
        return {"deleted": len(changes)}

    def _entry(self, ref: int | str) -> Record:
        """Return an entry by its id or by the key it was loaded with."""
        table = self._store.table(TIME_ENTRIES.name)
        if isinstance(ref, int) and ref in table:
            return table[ref]
        for record in table.values():
            if record["_key"] == ref:
                return record
        raise Unprocessable(f"time entry {ref} does not exist")

    def _set_clock(self, body: Mapping[str, Any]) -> object:
        self._clock.set(_moment(body["now"]))
        return {"now": self._clock.now().isoformat()}

    def _at(self, body: Mapping[str, Any]) -> datetime:
        return _moment(body["at"]) if "at" in body else self._clock.now()


def _moment(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise Unprocessable(f"{text} says no zone")
    return moment.astimezone(UTC)


def _monday(record: Record) -> date:
    day = date.fromisoformat(record["spent_date"])
    return day - timedelta(days=day.weekday())


def _resource(name: str) -> Resource:
    if name not in RESOURCES:
        raise Unprocessable(f"there is no resource {name}")
    return RESOURCES[name]


def _fields(resource: Resource, row: Mapping[str, Any]) -> Record:
    fields = read_fields(resource, row)
    if resource in (TASK_ASSIGNMENTS, USER_ASSIGNMENTS) and "project_id" in row:
        fields["project_id"] = int(row["project_id"])
    if resource is TIME_ENTRIES:
        fields |= {name: row[name] for name in _LOCK_FIELDS if name in row}
    return fields


def _change(resource: Resource, record: Record, at: datetime, operation: str) -> Change:
    return Change(
        table=resource.name,
        record_id=record["id"],
        record=record,
        at=at,
        by="person",
        operation=operation,
    )
