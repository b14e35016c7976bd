"""Write, find and take back records by key; read who is employed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from tieline.canonical import Command, Person
from tieline.kernel.errors import AlreadyExists, OutcomeUnknown, Refused
from tieline.kernel.limits import Limit, LimitKind
from tieline.sdk import (
    Capabilities,
    CheckItem,
    CheckReport,
    Connection,
    NounWrite,
    Page,
    RawRecord,
    Receipt,
    Stored,
    Strategy,
    Translated,
    Undo,
)
from tieline.sdk.capabilities import StreamDeclaration
from tieline.sdk.http import HttpClient
from tieline.sdk.slices import decode_exact, encode_exact

SYSTEM = "provisioning_erp"
_NOUNS = ("client", "contract", "project", "task", "employee")
_RECORDS = "/v1/records"

MANIFEST = Capabilities(
    system=SYSTEM,
    kind="erp",
    tier="bronze",
    owners=("benchmark",),
    permissions=("write records",),
    streams=tuple(
        StreamDeclaration(
            name=name, noun=noun, announces_deletes=False, has_total=True, overlap_seconds=0
        )
        for name, noun in (("parties", "client"), ("employees", "person"))
    ),
    writes=tuple(
        NounWrite(
            noun=noun,
            strategy=Strategy.UNIQUE_FIELD,
            undo=Undo.VOID_BY_KEY,
            batch_lines_max=1,
            quantum_seconds=1,
        )
        for noun in _NOUNS
    ),
    limits=(
        # What Tryton's connector keeps to.
        Limit(
            name="courtesy",
            kind=LimitKind.WINDOW,
            calls=600,
            window_seconds=10,
            source="our own courtesy",
        ),
    ),
    settle_seconds=3,
    record_urls={},
    config_keys=(),
    secret_names=("token",),
)


def build(connection: Connection) -> RecordsConnector:
    """Make the connector."""
    headers = {"Authorization": f"Bearer {connection.secrets.get('token', '')}"}
    return RecordsConnector(client=HttpClient(connection=connection, headers=headers))


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordsConnector:
    """One such ERP."""

    client: HttpClient

    def check(self) -> CheckReport:
        """Ask who is employed."""
        self.client.read_json(path="/v1/employees")
        return CheckReport(items=(CheckItem(name="employees", is_good=True),))

    def pages(self, *, stream: str, cursor: str | None, is_full: bool) -> Iterator[Page]:
        """Yield a stream as one page."""
        told = self.client.read_json(path=f"/v1/{stream}")["results"]
        records = tuple(
            RawRecord(
                object=stream,
                source_ref=str(row["id"]),
                body=encode_exact(row),
                source_at=None,
            )
            for row in told
        )
        yield Page(records=records, cursor="read", total=len(records), is_last=True)

    def translate(self, *, record: RawRecord) -> Translated:
        """Return an employee."""
        row = decode_exact(record.body)
        return Translated(
            noun=Person(
                name=row["name"],
                email=row["email"],
                employee_code=row["code"],
                entity_code=row["entity"],
                is_active=True,
                employed_from=None,
                employed_to=None,
                cost_rate=None,
                extras={"party_code": row["party"]},
            )
        )

    def write(self, *, command: Command) -> Receipt:
        """Create a record under its key."""
        content = {
            "noun": command.noun,
            "key": str(command.business_key),
            "content": dict(command.content()),
        }
        try:
            made = self.client.write_json(method="POST", path=_RECORDS, content=content)
        except Refused as refusal:
            if refusal.reason == "vendor.409":
                raise AlreadyExists(str(refusal), reason="target.exists") from refusal
            raise
        if not isinstance(made, dict):
            raise OutcomeUnknown("the ERP answered without a number")
        return Receipt(target_code=str(made["id"]))

    def probe(self, *, command: Command) -> Sequence[Stored]:
        """Return what stands under the key."""
        query = (("key", str(command.business_key)),)
        found: list[dict[str, Any]] = self.client.read_json(path=_RECORDS, query=query)["results"]
        return [Stored(target_code=str(row["id"]), content=row["content"]) for row in found]

    def undo(self, *, noun: str, entity_code: str, target_code: str, business_key: UUID) -> str:
        """Delete what stands under the key."""
        self.client.write(method="DELETE", path=_RECORDS, query=(("key", str(business_key)),))
        return "deleted"
