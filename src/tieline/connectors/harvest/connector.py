"""Harvest over HTTP: pages, single records and writes; knows headers, no business words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID

import httpx

from tieline.canonical import (
    AssignmentCommand,
    ClientCommand,
    Command,
    FieldCommand,
    ProjectCommand,
    TaskCommand,
)
from tieline.connectors.harvest import translate as words
from tieline.kernel.errors import (
    AlreadyExists,
    AskPerson,
    MendTieline,
    NotExecuted,
    Refused,
    StreamBroken,
    TielineError,
    TryAgain,
)
from tieline.sdk import (
    Capabilities,
    CheckItem,
    CheckReport,
    Connection,
    Page,
    RawRecord,
    Receipt,
    Stored,
    Translated,
    Untranslatable,
    load_manifest,
    stands,
)
from tieline.sdk.http import HttpClient, NotFound, as_stream_error
from tieline.sdk.reach import believed, reached
from tieline.sdk.slices import NotJson, array_slices, decode_page

MANIFEST: Capabilities = load_manifest(__package__)
PAGE_RECORDS_MAX = 2000
PAGES_MAX = 10_000
_ROLES = frozenset({"administrator", "manager"})
_USER_AGENT = "Tieline (https://tieline.dev)"


def build(
    connection: Connection, *, transport: httpx.BaseTransport | None = None
) -> HarvestConnector:
    """Make the connector of one Harvest account."""
    headers = {
        "Authorization": f"Bearer {connection.secrets['access_token']}",
        "Harvest-Account-Id": connection.secrets["account_id"],
        "User-Agent": _USER_AGENT,
        "Accept": "application/json",
    }
    return HarvestConnector(
        connection=connection,
        http=HttpClient(connection=connection, headers=headers, transport=transport),
        mapping=words.mapped(connection.config),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class HarvestConnector:
    """Read and write one Harvest account."""

    connection: Connection
    http: HttpClient
    mapping: words.Mapped

    def check(self) -> CheckReport:
        """Try credentials, role, approvals and the names in the mapping."""
        items = [
            CheckItem(name="mapping", is_good=False, fix=mistake)
            for mistake in words.mapping_mistakes(self.connection.config)
        ] or [CheckItem(name="mapping", is_good=True)]
        try:
            person = self.http.read_json(path=_path("users/me"))
            company = self.http.read_json(path=_path("company"))
        except TielineError as error:
            return CheckReport(
                items=(
                    *items,
                    CheckItem(name="credentials", is_good=False, fix=str(error)),
                )
            )
        has_role = bool(_ROLES & set(person.get("access_roles") or ()))
        has_approval = bool(company.get("approval_feature"))
        return CheckReport(
            items=(
                *items,
                CheckItem(name="credentials", is_good=True),
                CheckItem(
                    name="role",
                    is_good=has_role,
                    fix="" if has_role else "Give the token's person the manager role.",
                ),
                CheckItem(
                    name="approval",
                    is_good=has_approval,
                    fix="" if has_approval else "Switch on timesheet approval in Harvest.",
                ),
            )
        )

    # -- reading -----------------------------------------------------------------------------------

    def pages(self, *, stream: str, cursor: str | None, is_full: bool) -> Iterator[Page]:
        """Yield a stream from its cursor; the cursor moves only with a page that ends a read."""
        overlap = timedelta(seconds=MANIFEST.stream_of(stream).overlap_seconds)
        since = None if is_full else believed(_cursor_instant(cursor), connection=self.connection)
        query = [] if since is None else [("updated_since", _instant(since - overlap))]
        if stream == "time_entries" and "reads_from" in self.connection.config:
            query.append(("from", str(self.connection.config["reads_from"])))
        return self._window(stream, query, _cursor(since))

    def window_pages(self, *, stream: str, starts_on: date, ends_on: date) -> Iterator[Page]:
        """Yield all hours of the work dates [starts_on, ends_on), for comparing and deletes."""
        last_day = ends_on - timedelta(days=1)
        query = [("from", starts_on.isoformat()), ("to", last_day.isoformat())]
        return self._window(stream, query, None)

    def read_one(self, *, object: str, source_ref: str) -> RawRecord | None:
        """Return the record as it is now, or None for the vendor's 404 or 410."""
        try:
            reply = self.http.read(path=_record_path(object, source_ref))
        except NotFound:
            return None
        return self._raw(object, reply.body)

    def translate(self, *, record: RawRecord) -> Translated | Untranslatable:
        """Return the canonical form; pure."""
        return words.translate(record=record, mapping=self.mapping)

    def _window(
        self, stream: str, query: list[tuple[str, str]], cursor: str | None
    ) -> Iterator[Page]:
        seen: set[str] = set()
        newest = _cursor_instant(cursor)
        total: int | None = None
        for number in range(1, PAGES_MAX + 1):
            page, records = self._page(_path(stream), stream, query, number)
            total = page["total_entries"] if total is None else total
            _check_page(stream, page, number=number, total=total)
            refs = {record.source_ref for record in records}
            if len(refs) < len(records) or refs & seen:
                raise StreamBroken(f"{stream} sent a record twice in one read")
            seen |= refs
            is_last = page["next_page"] is None
            if is_last and len(seen) != total:
                raise StreamBroken(f"{stream} has {total} records but sent {len(seen)}")
            newest = _newest(newest, records)
            yield Page(
                records=records,
                cursor=self._cursor_of(newest) if is_last else (cursor or ""),
                total=total,
                is_last=is_last,
            )
            if is_last:
                return
        raise StreamBroken(f"{stream} has more than {PAGES_MAX} pages")

    def _cursor_of(self, newest: datetime | None) -> str:
        return _cursor(None if newest is None else reached(newest, http=self.http))

    def _page(
        self, path: str, field: str, query: Sequence[tuple[str, str]], number: int
    ) -> tuple[Mapping[str, Any], tuple[RawRecord, ...]]:
        asked = [*query, ("page", str(number)), ("per_page", str(PAGE_RECORDS_MAX))]
        try:
            reply = self.http.read(path=path, query=asked)
        except Refused as error:
            raise as_stream_error(error) from error
        try:
            page = decode_page(reply.body)
            slices = array_slices(reply.body, field=field)
            records = tuple(self._raw(field, body) for body in slices)
            _ = page["total_entries"], page["next_page"], page["page"]
        except (NotJson, KeyError, TypeError) as error:
            raise StreamBroken(f"{field} sent a page that cannot be read") from error
        return page, records

    def _raw(self, object_name: str, body: bytes) -> RawRecord:
        source_ref, source_at = words.naming(object_name, body)
        return RawRecord(object=object_name, source_ref=source_ref, body=body, source_at=source_at)

    def _every(
        self, path: str, field: str, query: Sequence[tuple[str, str]] = ()
    ) -> list[Mapping[str, Any]]:
        found: list[Mapping[str, Any]] = []
        for number in range(1, PAGES_MAX + 1):
            page, _ = self._page(path, field, query, number)
            _check_page(field, page, number=number, total=page["total_entries"])
            found += page[field]
            if page["next_page"] is None:
                if len({row["id"] for row in found}) != page["total_entries"]:
                    raise StreamBroken(f"{field} has {page['total_entries']} but sent others")
                return found
        raise StreamBroken(f"{field} has more than {PAGES_MAX} pages")

    # -- writing -----------------------------------------------------------------------------------

    def write(self, *, command: Command) -> Receipt:
        """Send once; what stands already is told, never changed."""
        try:
            return self._write(command)
        except NotExecuted:
            raise
        except AskPerson as error:
            if isinstance(error.__cause__, NotFound):
                raise error.__cause__ from error
            raise
        except TryAgain as error:
            # Only the looking around before a write raises this: nothing was written.
            raise NotExecuted(str(error), retry_after_seconds=error.retry_after_seconds) from error

    def _write(self, command: Command) -> Receipt:
        match command:
            case ClientCommand():
                made = self._create(_path("clients"), words.client_body(command))
                return Receipt(target_code=str(made["id"]))
            case ProjectCommand():
                made = self._create(_path("projects"), words.project_body(command))
                return Receipt(target_code=str(made["id"]))
            case TaskCommand():
                return self._write_task(command)
            case AssignmentCommand():
                return self._write_assignment(command)
            case FieldCommand():
                place = f"{command.object}/{command.record_code}"
                self.http.write_json(
                    method="PATCH", path=_path(place), content=words.field_body(command)
                )
                return Receipt(target_code=command.record_code)
            case _:
                raise MendTieline(f"Harvest does not write {command.noun}")

    def probe(self, *, command: Command) -> Sequence[Stored]:
        """Return every record that stands under the command's key or natural pair."""
        match command:
            case ClientCommand():
                rows = self._every(_path("clients"), "clients")
                return [
                    Stored(target_code=str(row["id"]), content=words.client_content(row))
                    for row in rows
                    if words.has_key(row["address"], key=command.business_key)
                ]
            case ProjectCommand():
                rows = self._every(_path("projects"), "projects", _of_client(command.client_code))
                return [
                    Stored(target_code=str(row["id"]), content=words.project_content(row))
                    for row in rows
                    if words.has_key(row["notes"], key=command.business_key)
                ]
            case TaskCommand():
                return [
                    Stored(
                        target_code=words.source_ref("task_assignments", row),
                        content=words.task_content(row, command=command),
                    )
                    for row in self._task_assignments(command)
                    if row["is_active"]
                ]
            case AssignmentCommand():
                return [
                    Stored(
                        target_code=words.source_ref("user_assignments", row),
                        content=words.assignment_content(row),
                    )
                    for row in self._user_assignments(command)
                    if row["is_active"]
                ]
            case FieldCommand():
                record = self._read_record(f"{command.object}/{command.record_code}")
                if record is None:
                    return []
                held = {name: words.field_of(record, name) for name in command.values}
                return stands(command=command, held=held)
            case _:
                raise MendTieline(f"Harvest does not write {command.noun}")

    def read_back(self, *, command: Command, target_code: str) -> Sequence[Stored]:
        """Return the record of a number, where it carries the command's key: an account may have thousands of clients."""
        match command:
            case ClientCommand():
                record = self._read_record(f"clients/{target_code}")
                if record is None or not words.has_key(record["address"], key=command.business_key):
                    return []
                return [Stored(target_code=target_code, content=words.client_content(record))]
            case _:
                return self.probe(command=command)

    def undo(self, *, noun: str, entity_code: str, target_code: str, business_key: UUID) -> str:
        """Delete what nothing hangs on, else archive it; absent is fine."""
        # Harvest's own number says enough: it has no companies and no keys.
        _ = entity_code, business_key
        match noun:
            case "client":
                return self._remove(f"clients/{target_code}", keyed="address")
            case "project":
                return self._remove_project(target_code)
            case "task":
                return self._remove(_assignment_path("task_assignments", target_code), keyed=None)
            case "assignment":
                return self._remove(_assignment_path("user_assignments", target_code), keyed=None)
            case _:
                raise MendTieline(f"Harvest does not write {noun}")

    def _create(self, path: str, body: Mapping[str, Any]) -> Mapping[str, Any]:
        made: Mapping[str, Any] = self.http.write_json(method="POST", path=path, content=body)
        return made

    def _write_task(self, command: TaskCommand) -> Receipt:
        standing = self._task_assignments(command)
        path = f"projects/{command.project_code}/task_assignments"
        for row in standing:
            if row["is_active"]:
                code = words.source_ref("task_assignments", row)
                raise AlreadyExists(
                    f"{command.name} is already on project {command.project_code}",
                    reason="harvest.exists",
                    target_code=code,
                )
        if standing:
            terms = words.task_assignment_terms(command)
            self.http.write_json(
                method="PATCH", path=_path(f"{path}/{standing[0]['id']}"), content=terms
            )
            return Receipt(target_code=words.source_ref("task_assignments", standing[0]))
        task_id = self._task_id(command)
        body = words.task_assignment_body(command, task_id=task_id)
        made = self._create(_path(path), body)
        return Receipt(target_code=f"{command.project_code}/{made['id']}")

    def _task_id(self, command: TaskCommand) -> int:
        """Return the account's task of that name; make it where there is none.

        Should its answer be lost, the next attempt finds it by its name.
        """
        named = [
            row
            for row in self._every(_path("tasks"), "tasks", [("is_active", "true")])
            if row["name"] == command.name
        ]
        if len(named) > 1:
            raise Refused(
                f"Harvest has {len(named)} tasks named {command.name}; merge them",
                reason="harvest.ambiguous_task",
            )
        if named:
            return int(named[0]["id"])
        body = {"name": command.name, "billable_by_default": command.is_billable}
        return int(self._create(_path("tasks"), body)["id"])

    def _write_assignment(self, command: AssignmentCommand) -> Receipt:
        path = f"projects/{command.project_code}/user_assignments"
        for row in self._user_assignments(command):
            code = words.source_ref("user_assignments", row)
            if row["is_active"]:
                raise AlreadyExists(
                    f"person {command.person_code} is already on project {command.project_code}",
                    reason="harvest.exists",
                    target_code=code,
                )
            self.http.write_json(
                method="PATCH",
                path=_path(f"{path}/{row['id']}"),
                content={"is_active": True},
            )
            return Receipt(target_code=code)
        made = self._create(_path(path), {"user_id": int(command.person_code)})
        return Receipt(target_code=f"{command.project_code}/{made['id']}")

    def _task_assignments(self, command: TaskCommand) -> list[Mapping[str, Any]]:
        path = _path(f"projects/{command.project_code}/task_assignments")
        rows = self._every(path, "task_assignments")
        return [row for row in rows if row["task"]["name"] == command.name]

    def _user_assignments(self, command: AssignmentCommand) -> list[Mapping[str, Any]]:
        path = _path(f"projects/{command.project_code}/user_assignments")
        rows = self._every(path, "user_assignments", [("user_id", command.person_code)])
        return [row for row in rows if str(row["user"]["id"]) == command.person_code]

    def _remove_project(self, target_code: str) -> str:
        """Take a project back: archived first, so that nobody books while we look for hours.

        The vendor deletes a project together with its hours; one that has any stays archived.
        """
        record = self._read_record(f"projects/{target_code}")
        if record is None:
            return "absent"
        self._archive(f"projects/{target_code}", record, keyed="notes")
        page, _ = self._page(
            _path("time_entries"), "time_entries", [("project_id", target_code)], 1
        )
        if page["total_entries"] > 0:
            return "archived"
        self.http.write(method="DELETE", path=_path(f"projects/{target_code}"))
        return "deleted"

    def _remove(self, place: str, *, keyed: str | None) -> str:
        try:
            self.http.write(method="DELETE", path=_path(place))
        except NotFound:
            return "absent"
        except Refused:
            record = self._read_record(place)
            if record is None:
                return "absent"
            self._archive(place, record, keyed=keyed)
            return "archived"
        return "deleted"

    def _archive(self, place: str, record: Mapping[str, Any], *, keyed: str | None) -> None:
        change: dict[str, Any] = {"is_active": False}
        if keyed is not None:
            change[keyed] = words.without_key(record[keyed])
        self.http.write_json(method="PATCH", path=_path(place), content=change)

    def _read_record(self, place: str) -> Mapping[str, Any] | None:
        try:
            record: Mapping[str, Any] = self.http.read_json(path=_path(place))
        except NotFound:
            return None
        return record


def _path(place: str) -> str:
    return f"/v2/{place}"


def _record_path(object_name: str, source_ref: str) -> str:
    if object_name in ("task_assignments", "user_assignments"):
        return _path(_assignment_path(object_name, source_ref))
    return _path(f"{object_name}/{_number(source_ref)}")


def _assignment_path(object_name: str, code: str) -> str:
    project, _, assignment = code.partition("/")
    return f"projects/{_number(project)}/{object_name}/{_number(assignment)}"


def _number(text: str) -> str:
    if not text.isdecimal():
        raise AskPerson(f"{text!r} is not a number of a Harvest record")
    return text


def _of_client(client_code: str) -> list[tuple[str, str]]:
    return [("client_id", client_code)]


def _check_page(stream: str, page: Mapping[str, Any], *, number: int, total: int) -> None:
    if page["page"] != number:
        raise StreamBroken(f"{stream} was asked for page {number} and sent {page['page']}")
    if page["total_entries"] != total:
        raise StreamBroken(f"{stream} changed from {total} to {page['total_entries']} records")


def _cursor_instant(cursor: str | None) -> datetime | None:
    return datetime.fromisoformat(cursor) if cursor else None


def _cursor(moment: datetime | None) -> str:
    return "" if moment is None else moment.astimezone(UTC).isoformat()


def _instant(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _newest(so_far: datetime | None, records: Sequence[RawRecord]) -> datetime | None:
    moments = [record.source_at for record in records if record.source_at is not None]
    return max(moments if so_far is None else [*moments, so_far], default=None)
