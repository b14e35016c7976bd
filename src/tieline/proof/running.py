"""Take over the contracts that ran before: told by two people, found in the systems, linked; and how they stand."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from psycopg import Connection

from tieline.kernel.errors import MendTieline
from tieline.proof import watch
from tieline.runtime.database import Row
from tieline.sandbox.firm_model import Deal
from tieline.services.adopting import adopt, decide_sure, shown_sure
from tieline.services.deciding import Decider, approve_and_carry_out
from tieline.services.forecast import read_outlook
from tieline.services.installation import entity_codes
from tieline.services.invoice_readiness import compute_readiness, list_readiness
from tieline.services.period_close import Period, list_periods
from tieline.services.proposing_links import EVERYTHING, Tally, propose_links, tally
from tieline.services.running_contracts import preview_contracts, propose_contracts
from tieline.services.system import System

FILE_NAME = "running-contracts.csv"
_SECONDS_MAX = 120
_STAFFED = """
    SELECT count(*) FROM assignment a JOIN project USING (project_id)
    WHERE a.superseded_at IS NULL AND project_code = ANY (%s)
"""
_ADOPTED = """
    SELECT count(*) FROM project p WHERE project_code = ANY (%s) AND 2 = (
        SELECT count(DISTINCT c.kind) FROM crosswalk x JOIN connection c USING (connection_key)
        WHERE x.noun = 'project' AND x.our_id = p.project_id AND x.superseded_at IS NULL
          AND c.kind IN ('erp', 'time'))
"""
_BECAUSE = "what runs at go-live"


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How many running contracts stand how at the cut-off, and those that stand otherwise than they should."""

    counts: Mapping[str, int]
    misjudged: tuple[str, ...]


def tell_contracts(system: System, *, body: bytes, progress: watch.Progress) -> None:
    """Tell of contracts by a file that a second person agrees to, once every client in it is known."""

    def mistakes() -> int:
        with system.database.transaction() as connection:
            return len(preview_contracts(connection, body=body).mistakes)

    watch.wait_for(
        "the clients of running contracts",
        lambda: mistakes() == 0,
        seconds_max=_SECONDS_MAX,
        progress=progress,
        tell=lambda: f"{mistakes()} rows name what is not known yet",
    )
    now = system.clock.now()
    with system.database.transaction() as connection:
        proposal = propose_contracts(
            connection, name=FILE_NAME, body=body, by="controller", reason=_BECAUSE, now=now
        )
        approve_and_carry_out(
            connection,
            proposal_id=proposal.proposal_id,
            reason=_BECAUSE,
            by=Decider(login="finance"),
            connectors=system.connectors,
            now=now,
        )


def link_contracts(
    system: System,
    *,
    running: Sequence[Deal],
    staffed: int,
    progress: watch.Progress,
    meanwhile: Callable[[], object],
) -> int:
    """Link what is sure once all of it and its ``staffed`` people were read; return how many links.

    ``meanwhile`` is done with every look.

    :raises MendTieline: something of it was refused.
    """
    codes, projects = [contract.project_code for contract in running], len(running)
    bookable = sum(len({line.task for line in contract.lines}) for contract in running)
    billed = sum(len(contract.lines) for contract in running)
    # The project in both systems, its tasks in the time tool, and the ERP's tasks of each rate.
    wanted = 2 * projects + bookable + billed

    def is_there() -> bool:
        meanwhile()
        if watch.count(system.database, _STAFFED, codes) < staffed:
            return False
        with system.database.transaction() as connection:
            return _propose(connection, system).sure >= wanted

    watch.wait_for(
        "the projects of running contracts",
        is_there,
        seconds_max=_SECONDS_MAX,
        progress=progress,
    )
    with system.database.transaction() as connection:
        shown = shown_sure(connection, found=_propose(connection, system))
        done = adopt(
            connection,
            decisions=decide_sure(connection, filters=EVERYTHING, shown=shown),
            by="controller",
            reason=_BECAUSE,
            now=system.clock.now(),
            progress=_tell_nobody,
        )
    if done.refused:
        raise MendTieline(f"{len(done.refused)} links were refused: {done.refused[0]}")
    return done.linked


def periods_over(connection: Connection[Row], *, now: datetime) -> dict[str, list[Period]]:
    """Return the periods of each legal entity that are over, the newest last."""
    return {
        code: sorted(
            (
                each
                for each in list_periods(connection, entity_code=code)
                if each.ends_on <= now.date()
            ),
            key=lambda each: each.starts_on,
        )
        for code in entity_codes(connection)
    }


def _tell_nobody(_done: int, _total: int) -> None:
    """Stay silent: what is adopted here is a few hundred records."""


def _propose(connection: Connection[Row], system: System) -> Tally:
    propose_links(connection, by="controller", now=system.clock.now(), progress=_tell_nobody)
    return tally(connection)


def count_adopted(system: System, *, running: Sequence[Deal]) -> int:
    """Count the contracts whose project is known in the ERP and in the time tool."""
    return watch.count(system.database, _ADOPTED, [contract.project_code for contract in running])


def see_standing(system: System, *, expected: Mapping[str, str]) -> Standing:
    """Compare how each running contract stands with how it should, in its company's newest period that is over."""
    now = system.clock.now()
    with system.database.transaction() as connection:
        outlook = read_outlook(connection, systems=system.systems)
        compute_readiness(connection, connectors=system.connectors, outlook=outlook, now=now)
        newest = {periods[-1].period_id for periods in periods_over(connection, now=now).values()}
        found = {
            row.contract_code: row.state
            for row in list_readiness(connection)
            if row.contract_code in expected and row.period_id in newest
        }
    return Standing(
        counts=Counter(found.values()),
        misjudged=tuple(
            f"contract {code} is {found.get(code, 'not there')}, not {state}"
            for code, state in sorted(expected.items())
            if found.get(code) != state
        ),
    )
