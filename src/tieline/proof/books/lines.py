"""Calls to the books: store, find and void lines by reference."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any
from uuid import UUID

import httpx

from tieline.canonical import TimeLineCommand
from tieline.kernel.errors import AlreadyExists, OutcomeUnknown, Refused, StreamBroken, TielineError
from tieline.kernel.limits import Limit, LimitKind
from tieline.sdk import (
    Capabilities,
    CheckItem,
    CheckReport,
    ColumnKind,
    Connection,
    ImportColumn,
    ImportLayout,
    ImportLine,
    LineAnswer,
    LineTotal,
    NounWrite,
    Receipt,
    RefusedLine,
    StoredLine,
    Strategy,
    Undo,
    Untranslatable,
)
from tieline.sdk.http import HttpClient

TOKEN = "token"  # noqa: S105 - the name of a secret
_BATCH_LINES_MAX = 200
_STANDS_ALREADY = "vendor.409"
_UNDO = {Strategy.ONCE_THEN_CASE: Undo.NONE, Strategy.IMPORT_BATCH: Undo.COUNTER_LINE}


def manifest_of(system: str, strategy: Strategy) -> Capabilities:
    """Return what books of a kind declare."""
    return Capabilities(
        system=system,
        kind="erp",
        tier="bronze",
        owners=("proof",),
        permissions=("write lines",),
        streams=(),
        writes=(
            NounWrite(
                noun=TimeLineCommand.noun,
                strategy=strategy,
                undo=_UNDO.get(strategy, Undo.VOID_BY_KEY),
                batch_lines_max=_BATCH_LINES_MAX,
                quantum_seconds=1,
            ),
        ),
        limits=(
            Limit(
                name="courtesy",
                kind=LimitKind.WINDOW,
                calls=1000,
                window_seconds=1,
                source="the books of a proof have none",
            ),
        ),
        settle_seconds=3,
        record_urls={},
        config_keys=("has_references",),
        secret_names=(TOKEN,),
    )


def build(
    connection: Connection, *, transport: httpx.BaseTransport | None = None
) -> BooksConnector:
    """Make the connector of one set of books."""
    # Books without references could never say what was loaded: they get no file.
    kind = LoadedBooks if connection.config.get("has_references", True) else BooksConnector
    return kind(connection=connection, client=_client(connection, transport))


def build_of_documents(
    connection: Connection, *, transport: httpx.BaseTransport | None = None
) -> BooksConnector:
    """Make the connector of books that show nothing but documents: what was loaded has no number."""
    return BooksConnector(connection=connection, client=_client(connection, transport))


def _client(connection: Connection, transport: httpx.BaseTransport | None) -> HttpClient:
    token = connection.secrets.get(TOKEN, "")
    return HttpClient(
        connection=connection,
        headers={"Authorization": f"Bearer {token}"},
        transport=transport,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class BooksConnector:
    """One set of books."""

    connection: Connection
    client: HttpClient

    def check(self) -> CheckReport:
        """Ask for the totals of a day."""
        try:
            self.line_totals(entity_code="", starts_on=date(2026, 1, 1), ends_on=date(2026, 1, 2))
        except TielineError as error:
            return CheckReport(items=(CheckItem(name="totals", is_good=False, fix=f"{error}."),))
        return CheckReport(items=(CheckItem(name="totals", is_good=True),))

    def write_lines(
        self, *, entity_code: str, lines: Sequence[TimeLineCommand]
    ) -> list[LineAnswer]:
        """Store a batch as one call; books that answer line by line may take a part of it."""
        content = {"lines": [self.as_line(line) for line in lines]}
        return self._store("/v1/lines", content, lines)

    def import_lines(
        self, *, entity_code: str, number: UUID, lines: Sequence[TimeLineCommand]
    ) -> list[LineAnswer]:
        """Store a document under its number, all or nothing."""
        content = {"number": str(number), "lines": [self.as_line(line) for line in lines]}
        return self._store("/v1/documents", content, lines)

    def read_import(self, *, entity_code: str, number: UUID) -> list[StoredLine]:
        """Return the lines of every document of a number."""
        answer = self.client.read_json(path="/v1/documents", query=(("number", str(number)),))
        documents = answer.get("documents") if isinstance(answer, dict) else None
        if not isinstance(documents, list):
            raise StreamBroken("the books answered without documents")
        return [_stored(line, entity_code) for document in documents for line in document["lines"]]

    def _store(
        self, path: str, content: dict[str, Any], lines: Sequence[TimeLineCommand]
    ) -> list[LineAnswer]:
        try:
            answer = self.client.write_json(method="POST", path=path, content=content)
        except Refused as refusal:
            if refusal.reason == _STANDS_ALREADY:
                raise AlreadyExists(str(refusal), reason="target.exists") from refusal
            raise
        if not isinstance(answer, dict):
            raise OutcomeUnknown("the books answered without ids")
        if isinstance(answer.get("results"), list):
            return [_answer(one, lines) for one in answer["results"]]
        ids = answer.get("ids")
        if not isinstance(ids, list):
            raise OutcomeUnknown("the books answered without ids")
        return [Receipt(target_code=str(number)) for number in ids]

    def read_lines(self, *, entity_code: str, keys: Sequence[UUID]) -> list[StoredLine]:
        """Return the lines that stand under the keys."""
        answer = self.client.read_json(
            method="POST",
            path="/v1/lines/search",
            content={"references": [str(key) for key in keys]},
        )
        found = answer.get("lines") if isinstance(answer, dict) else None
        if not isinstance(found, list):
            raise StreamBroken("the books answered without lines")
        return [_stored(line, entity_code) for line in found]

    def void_lines(self, *, entity_code: str, keys: Sequence[UUID]) -> None:
        """Take lines back by key."""
        content = {"references": [str(key) for key in keys]}
        self.client.write(method="POST", path="/v1/lines/void", content=content)

    def line_totals(self, *, entity_code: str, starts_on: date, ends_on: date) -> list[LineTotal]:
        """Return the sum of the work dates in [starts_on, ends_on); the books know no projects."""
        answer = self.client.read_json(
            path="/v1/totals",
            query=(("from", starts_on.isoformat()), ("to", ends_on.isoformat())),
        )
        return [
            LineTotal(project_code="", seconds=total["seconds"], lines=total["lines"])
            for total in answer["totals"]
        ]

    def standing_lines(
        self, *, entity_code: str, starts_on: date, ends_on: date
    ) -> Iterator[Sequence[StoredLine]]:
        """Show every line of the days, page by page."""
        days = (("from", starts_on.isoformat()), ("to", ends_on.isoformat()))
        after = "0"
        while True:
            answer = self.client.read_json(path="/v1/lines", query=(*days, ("after", after)))
            found = answer.get("lines") if isinstance(answer, dict) else None
            if not isinstance(found, list):
                raise StreamBroken("the books answered without lines")
            if not found:
                return
            yield [_stored(line, entity_code) for line in found]
            after = str(found[-1]["id"])

    def billing_invoices(self, *, entity_code: str, invoice_codes: Sequence[str]) -> frozenset[str]:
        """Return none: the books make no invoices."""
        return frozenset()

    def as_line(self, line: TimeLineCommand) -> dict[str, Any]:
        """Return a line in the books' own words."""
        content = {
            "person": line.person_code,
            "task": line.task_code,
            "date": line.work_date.isoformat(),
            "seconds": line.seconds,
        }
        if self.connection.config.get("has_references", True):
            content["reference"] = str(line.business_key)
        return content


class LoadedBooks(BooksConnector):
    """Books whose people load lines from a file, each under its reference."""

    def import_layout(self) -> ImportLayout:
        """Return the columns that ``/v1/import`` reads."""
        return _LAYOUT

    def import_row(self, *, line: ImportLine) -> tuple[str, ...] | Untranslatable:
        """Return a line's values in the order of the columns."""
        words = self.as_line(line.command)
        return tuple(str(words[column.name]) for column in _LAYOUT.columns)

    def find_loaded(
        self, *, entity_code: str, lines: Sequence[TimeLineCommand], since: datetime
    ) -> list[StoredLine]:
        """Return the lines that stand under their references."""
        return self.read_lines(entity_code=entity_code, keys=[line.business_key for line in lines])

    def adopt_lines(self, *, entity_code: str, lines: Sequence[StoredLine]) -> None:
        """Change nothing: the reference came with the file."""


_LAYOUT = ImportLayout(
    columns=(
        ImportColumn(name="person", kind=ColumnKind.WORD),
        ImportColumn(name="task", kind=ColumnKind.WORD),
        ImportColumn(name="date", kind=ColumnKind.NUMBER),
        ImportColumn(name="seconds", kind=ColumnKind.NUMBER),
        ImportColumn(name="reference", kind=ColumnKind.TEXT, carries_key=True),
    ),
    dates="YYYY-MM-DD",
    durations="whole seconds",
    lines_max=5000,
    steps=("Send the file to /v1/import once: all lines are stored, or none.",),
)


def _answer(told: dict[str, Any], lines: Sequence[TimeLineCommand]) -> LineAnswer:
    key = lines[told["line"]].business_key
    if "refused" in told:
        return RefusedLine(business_key=key, reason="target.refused", may_pass=told["retry"])
    return Receipt(target_code=str(told["id"]), business_key=key)


def _stored(line: dict[str, Any], entity_code: str) -> StoredLine:
    return StoredLine(
        business_key=UUID(line["reference"][:36]) if line.get("reference") else None,
        target_code=str(line["id"]),
        entity_code=entity_code,
        person_code=line["person"],
        task_code=line["task"],
        work_date=date.fromisoformat(line["date"]),
        seconds=line["seconds"],
        invoice_code=None,
    )
