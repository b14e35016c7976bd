"""Which client is this record? One person says it, another agrees, and the link is made.

Pattern: proposed on a case, carried out by the approval; one transaction each. Vendor calls: none. A
link decides whose contract pays, so that it takes two people; the next pass over clients goes on.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg import Connection

from tieline.casework import close_case, get_case
from tieline.governance import Proposal, list_proposals, propose
from tieline.kernel.errors import UserMistake
from tieline.services.client_matching import DUPLICATE_IN_SOURCE, SAME_CLIENT_UNCLEAR
from tieline.services.client_sync import SameClientRefused, decide_same_client

SAME_CLIENT = "client.same_client"
DECIDED_REASONS = (SAME_CLIENT_UNCLEAR, DUPLICATE_IN_SOURCE)

Row = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientRecord:
    """A company of a CRM or a party of an ERP that no client stands for yet."""

    connection_key: str
    source_ref: str
    version: int
    name: str
    vat_number: str | None
    street: str | None
    postal_code: str | None
    city: str | None
    country_code: str | None
    domain: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownClient:
    """A client of ours; ``score`` says how alike it is, ``known_as`` its records elsewhere."""

    client_id: UUID
    score: int | None
    name: str
    vat_number: str | None
    street: str | None
    postal_code: str | None
    city: str | None
    country_code: str | None
    domain: str | None
    known_as: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """A record and the clients it may be, the most alike first."""

    record: ClientRecord
    candidates: tuple[KnownClient, ...]


def read_question(connection: Connection[Row], *, case_id: UUID) -> Question:
    """Return what a case asks.

    :raises LookupError: there is no such case in sight, or it does not ask which client it is.
    """
    case = get_case(connection, case_id=case_id).case
    row = connection.execute("SELECT * FROM page_case_record(%s)", (case_id,)).fetchone()
    if case.reason not in DECIDED_REASONS or row is None:
        raise LookupError(f"case {case_id} does not ask which client a record is")
    found = connection.execute(
        "SELECT * FROM page_case_candidates(%s) ORDER BY score DESC, client_id", (case_id,)
    ).fetchall()
    return Question(
        record=ClientRecord(**row), candidates=tuple(_known_client(each) for each in found)
    )


def find_client(connection: Connection[Row], *, client_id: UUID) -> KnownClient | None:
    """Return one client, following a merge, or None."""
    row = connection.execute("SELECT * FROM page_client(%s)", (client_id,)).fetchone()
    return None if row is None else _known_client(row)


def propose_same_client(
    connection: Connection[Row],
    *,
    case_id: UUID,
    client_id: UUID | None,
    reason: str,
    by: str,
    now: datetime,
    through: str = "",
) -> Proposal:
    """Say which client the record of a case is, or (None) that it is a new one.

    :raises LookupError: there is no such case in sight.
    :raises UserMistake: it is not open, was proposed already, or the client cannot be it.
    """
    case = get_case(connection, case_id=case_id).case
    if case.state != "open":
        raise UserMistake(f"case {case_id} is {case.state}")
    for waiting in list_proposals(connection, kind=SAME_CLIENT, object=f"case:{case_id}"):
        raise UserMistake(f"{waiting.proposed_by} has proposed it already")
    record = read_question(connection, case_id=case_id).record
    chosen = None if client_id is None else _chosen(connection, client_id, record)
    return propose(
        connection,
        kind=SAME_CLIENT,
        object=f"case:{case_id}",
        entity_code=case.entity_code,
        payload={
            "case_id": str(case_id),
            "connection_key": record.connection_key,
            "source_ref": record.source_ref,
            "version": record.version,
            "client_id": None if chosen is None else str(chosen.client_id),
        },
        by=by,
        reason=reason,
        now=now,
        through=through,
    )


def carry_out_same_client(connection: Connection[Row], proposal: Proposal, now: datetime) -> int:
    """Link or make the client of an approved proposal, and close its case; as the worker.

    :raises UserMistake: the record or the client changed since it was proposed.
    """
    assert proposal.approved_by is not None
    payload = proposal.payload
    case_id = UUID(payload["case_id"])
    row = connection.execute("SELECT version FROM page_case_record(%s)", (case_id,)).fetchone()
    if row is None or row["version"] != payload["version"]:
        raise UserMistake(
            f"{payload['connection_key']} {payload['source_ref']} changed since it was proposed:"
            " turn it down, look again and propose it anew"
        )
    decided = decide_same_client(
        connection,
        connection_key=payload["connection_key"],
        source_ref=payload["source_ref"],
        client_id=UUID(payload["client_id"]) if payload["client_id"] else None,
        proposed_by=proposal.proposed_by,
        approved_by=proposal.approved_by,
        now=now,
    )
    if isinstance(decided, SameClientRefused):
        raise UserMistake(decided.message)
    close_case(connection, case_id=case_id, because="decided", now=now)
    return 1


def _chosen(connection: Connection[Row], client_id: UUID, record: ClientRecord) -> KnownClient:
    chosen = find_client(connection, client_id=client_id)
    if chosen is None:
        raise UserMistake(f"there is no client {client_id}")
    for known in chosen.known_as:
        if known.startswith(f"{record.connection_key}:"):
            raise UserMistake(
                f"client {chosen.client_id} is {known} already: merge the two records in"
                f" {record.connection_key}, or say that this is a new client"
            )
    return chosen


def _known_client(row: Row) -> KnownClient:
    return KnownClient(**{**row, "known_as": tuple(row["known_as"] or ())})
