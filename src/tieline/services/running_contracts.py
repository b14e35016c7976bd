"""Tell Tieline of contracts that run already: a file with a row per rate, agreed to by two people.

Pattern: one transaction. Vendor calls: none. What the file names stands in the systems already and is linked
by adopting it; nothing of it is created anywhere.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from psycopg import Connection
from psycopg.types.json import Jsonb

from tieline.canonical import COST_PLUS
from tieline.governance import Proposal, list_proposals, propose, record_audit
from tieline.kernel.errors import UserMistake
from tieline.register import (
    MARKUP,
    Cells,
    Empty,
    FileColumn,
    Kind,
    Meant,
    Mistake,
    Noun,
    read_cells,
    stored,
    understand,
)
from tieline.runtime.database import Row
from tieline.runtime.sql import load

TELL = "register.running_contracts"
ROWS_MAX = 20_000
_OBJECT = "register:running-contracts"
_STORE = load("tieline.services", "running_contracts")
_METHODS = ("time_and_materials", "capped_time_and_materials", "fixed_fee", COST_PLUS)


def _text(name: str, says: str, *, stored_as: str = "", empty: Empty = Empty.REFUSED) -> FileColumn:
    return FileColumn(name=name, kind=Kind.TEXT, says=says, stored_as=stored_as, empty=empty)


def _day(name: str, says: str, *, empty: Empty = Empty.REFUSED) -> FileColumn:
    return FileColumn(name=name, kind=Kind.DAY, says=says, empty=empty)


_OF_CONTRACT = (
    _text("name", "What the contract and its project are called."),
    FileColumn(
        name="client", kind=Kind.CLIENT, says="Name or tax number.", stored_as="client_id"
    ),
    FileColumn(
        name="entity", kind=Kind.ENTITY, says="Who bills it.", stored_as="entity_code"
    ),
    FileColumn(
        name="billing_method", kind=Kind.TEXT, says="How it is billed.", words=_METHODS
    ),
    FileColumn(name="currency", kind=Kind.CURRENCY, says="Such as EUR."),
    FileColumn(
        name="cap_amount", kind=Kind.NUMBER, says="What may not be exceeded.",
        empty=Empty.UNKNOWN, minimum=0,
    ),
    _text("purchase_order", "The client's number.", empty=Empty.UNKNOWN),
    FileColumn(
        name="is_purchase_order_required", kind=Kind.YES_NO, says="Empty: no.", empty=Empty.UNKNOWN
    ),
    _text("practice", "Whose work it is.", empty=Empty.UNKNOWN),
    _text("tax_treatment", "As the entity calls it.", empty=Empty.UNKNOWN),
    _text("rate_card", "The card that goes before others.", empty=Empty.UNKNOWN),
    _day("contract_starts_on", "Its first day."),
    _day("contract_ends_on", "The first day that is not of it; empty: open.", empty=Empty.UNKNOWN),
    _text("project", "The code that people book on."),
)  # fmt: skip
RUNNING_CONTRACTS = Noun(
    name="running-contracts",
    says="Contracts that run already: a row per rate.",
    table="contract_line",
    key=("contract", "task_name", "labor_category"),
    columns=(
        _text("contract", "The contract's code; its other columns are the same in each of its rows."),
        *_OF_CONTRACT,
        _text("task", "The task, as people book on it.", stored_as="task_name"),
        _text("labor_category", "As what; empty: everybody.", empty=Empty.EVERY),
        FileColumn(name="rate_amount", kind=Kind.NUMBER, says="What one hour costs.", minimum=0),
        MARKUP,
        FileColumn(
            name="sold_hours", kind=Kind.NUMBER, says="How many were sold.",
            empty=Empty.UNKNOWN, minimum=0,
        ),
    ),
    moves_money=True,
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningContracts:
    """What a file tells: how many contracts with how many rates, and every line that cannot be meant."""

    contracts: int
    rates: int
    mistakes: tuple[Mistake, ...]


def preview_contracts(connection: Connection[Row], *, body: bytes) -> RunningContracts:
    """Say what a file would tell; nothing is changed.

    :raises UserMistake: it is no such file.
    """
    meant, mistakes = _understand(connection, read_cells(body, noun=RUNNING_CONTRACTS))
    return RunningContracts(
        contracts=len({row.values["contract"] for row in meant}),
        rates=len(meant),
        mistakes=tuple(mistakes),
    )


def propose_contracts(
    connection: Connection[Row],
    *,
    name: str,
    body: bytes,
    by: str,
    reason: str,
    now: datetime,
) -> Proposal:
    """Ask a second person to agree to the contracts of a file; as the worker.

    :raises UserMistake: a line of it cannot be meant, or it was proposed already.
    """
    rows = read_cells(body, noun=RUNNING_CONTRACTS)
    if len(rows) > ROWS_MAX:
        raise UserMistake(f"a proposal holds {ROWS_MAX} rows at most: cut the file in two")
    content = _content(_meant(connection, rows))
    for waiting in list_proposals(connection, kind=TELL, object=_OBJECT):
        if waiting.payload["content"] == content:
            raise UserMistake(f"{waiting.proposed_by} has proposed it already")
    return propose(
        connection,
        kind=TELL,
        object=_OBJECT,
        entity_code=None,
        payload={
            "file_name": name,
            "rows": [[row.line, dict(row.cells)] for row in rows],
            "content": content,
        },
        by=by,
        reason=reason,
        now=now,
    )


def carry_out_contracts(connection: Connection[Row], proposal: Proposal, now: datetime) -> int:
    """Store the contracts of an approved proposal; as the worker.

    :raises UserMistake: its rows mean something else by now, or stand already.
    """
    rows = [Cells(line=line, cells=cells) for line, cells in proposal.payload["rows"]]
    meant = _meant(connection, rows)
    if _content(meant) != proposal.payload["content"]:
        raise UserMistake(
            "a name in the file means something else by now: turn it down and propose it anew"
        )
    found = connection.execute(_STORE, {"rows": Jsonb(_plain(meant)), "now": now}).fetchone()
    assert found is not None
    record_audit(
        connection,
        now=now,
        actor=proposal.approved_by or proposal.proposed_by,
        action="register.contracts_told",
        object=_OBJECT,
        entity_code=None,
        reason=proposal.reason,
        data={
            "file_name": proposal.payload["file_name"],
            "contracts": found["contracts"],
            "proposed_by": proposal.proposed_by,
        },
    )
    contracts: int = found["contracts"]
    return contracts


def _meant(connection: Connection[Row], rows: Sequence[Cells]) -> list[Meant]:
    meant, mistakes = _understand(connection, rows)
    if mistakes:
        first, more = mistakes[0], len(mistakes) - 1
        where = f"line {first.line}" + (f", {first.column}" if first.column else "")
        raise UserMistake(
            f"{where}: {first.sentence}" + (f"; and {more} more mistakes" if more else "")
        )
    if not meant:
        raise UserMistake("the file names no contract")
    return meant


def _understand(
    connection: Connection[Row], rows: Sequence[Cells]
) -> tuple[list[Meant], list[Mistake]]:
    meant, mistakes = understand(connection, noun=RUNNING_CONTRACTS, rows=rows)
    standing = {
        kind: {row["code"]: None for row in connection.execute(statement).fetchall()}
        for kind, statement in (
            ("contract", "SELECT contract_code AS code FROM contract"),
            ("project", "SELECT project_code AS code FROM project"),
        )
    }
    mistakes += [
        Mistake(line=row.line, column=kind, sentence=f"{row.values[kind]} is a {kind} already")
        for row in meant
        for kind, codes in standing.items()
        if row.values[kind] in codes
    ]
    mistakes += [*_disagreeing(meant), *_marked_up_wrongly(meant)]
    return meant, sorted(mistakes, key=lambda each: (each.line, each.column))


def _disagreeing(meant: Sequence[Meant]) -> list[Mistake]:
    """Name rows that contradict an earlier one: of their contract, its project or their rate."""
    first_of: dict[tuple[str, ...], Meant] = {}
    mistakes = []
    for row in meant:
        first = first_of.setdefault(("contract", row.values["contract"]), row)
        mistakes += [
            Mistake(
                line=row.line,
                column=column.name,
                sentence=f"line {first.line} says another of contract {row.values['contract']}",
            )
            for column in _OF_CONTRACT
            if row.values[column.column] != first.values[column.column]
        ]
        owner = first_of.setdefault(("project", row.values["project"]), row)
        if owner.values["contract"] != row.values["contract"]:
            sentence = f"it is of contract {owner.values['contract']} on line {owner.line}"
            mistakes.append(Mistake(line=row.line, column="project", sentence=sentence))
        rate = (*(row.values[name] for name in RUNNING_CONTRACTS.key), str(row.values["starts_on"]))
        same = first_of.setdefault(("rate", *rate), row)
        if same is not row:
            sentence = f"line {same.line} has a rate of this from the same day on"
            mistakes.append(Mistake(line=row.line, column="", sentence=sentence))
    return mistakes


def _marked_up_wrongly(meant: Sequence[Meant]) -> list[Mistake]:
    """Name rows of a contract that bills costs without a markup, and markups that nobody would bill."""
    sentences = {
        (True, True): "the contract bills costs: name the markup, 0 where costs alone are paid",
        (False, False): "only a contract of the method cost_plus has a markup",
    }
    mistakes = []
    for row in meant:
        bills_costs = row.values["billing_method"] == COST_PLUS
        sentence = sentences.get((bills_costs, row.values["markup_percent"] is None))
        if sentence is not None:
            mistakes.append(Mistake(line=row.line, column=MARKUP.name, sentence=sentence))
    return mistakes


def _plain(meant: Sequence[Meant]) -> list[Mapping[str, Any]]:
    return [{name: stored(value) for name, value in row.values.items()} for row in meant]


def _content(meant: Sequence[Meant]) -> str:
    return hashlib.sha256(json.dumps(_plain(meant), sort_keys=True).encode()).hexdigest()
