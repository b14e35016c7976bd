"""What people of the firm press on the board, and what must stand in the product before they do."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from tieline.governance import open_web_transaction
from tieline.kernel.errors import MendTieline
from tieline.proof.incidents import AGENCY
from tieline.proof.running import periods_over
from tieline.proof.story import Story
from tieline.register import Link, LinkTaken, link
from tieline.sandbox.firm import Firm
from tieline.sandbox.firm_agency import PROJECT, TASK
from tieline.sandbox.firm_terms import TermsFile
from tieline.services.deciding import Decider, approve_and_carry_out
from tieline.services.period_close import propose_close
from tieline.services.reference_files import load_file, read_file
from tieline.services.system import System

_BECAUSE = "the agency's own words, as its contract says them"
_OVER = "the month is over and reported"
REPORTING_CURRENCY = "EUR"
RATES = {"CHF": "1.05", "GBP": "1.15", "PLN": "0.235", "USD": "0.92"}
"""What another currency is worth in the one that the firm reports in."""


def load_terms(system: System, firm: Firm, *, files: Sequence[TermsFile]) -> None:
    """Load what no system tells, each file by two people."""
    now = system.clock.now()
    # Some of it holds for the whole firm: whoever agrees to that sees all of it.
    seen = [entity.code for entity in firm.entities]
    with open_web_transaction(system.database, entities=seen) as connection:
        for file in files:
            loaded = load_file(
                connection,
                file=read_file(
                    noun=file.noun, name=f"{file.noun}.csv", body=file.body.encode(), is_whole=True
                ),
                by="controller",
                reason=file.because,
                now=now,
            )
            assert loaded.proposal_id is not None
            approve_and_carry_out(
                connection,
                proposal_id=loaded.proposal_id,
                reason=file.because,
                by=Decider(login="finance"),
                connectors=system.connectors,
                now=now,
            )


def close_past_periods(system: System, story: Story) -> int:
    """Close every period that is over, by two people, but the newest of a company that bills; return how many.

    A company that bills nobody but the others has closed that as well, once its cut-off has passed. Munich closes
    the month before in the ERP, too.
    """
    now = system.clock.now()
    closed, billing = 0, set(story.firm.entity_of_project.values())
    with system.database.transaction() as connection:
        for entity_code, over in periods_over(connection, now=now).items():
            for period in over:
                is_newest = period is over[-1]
                is_done = entity_code not in billing and period.cut_off_at <= now
                if (is_newest and not is_done) or period.state != "open":
                    continue
                proposal = propose_close(
                    connection, period_id=period.period_id, reason=_OVER, by="controller", now=now
                )
                approve_and_carry_out(
                    connection,
                    proposal_id=proposal.proposal_id,
                    reason=_OVER,
                    by=Decider(login="finance"),
                    connectors=system.connectors,
                    now=now,
                )
                closed += 1
    story.close_month_before()
    return closed


def link_agency(system: System, story: Story) -> int:
    """Say who and what the agency's words mean, as its contract does; return how many links."""
    emails = {person.email for person in story.firm.people if person.is_from_agency}
    now = system.clock.now()
    with system.database.transaction() as connection:
        people = connection.execute(
            """
            SELECT person_id, email FROM subject s JOIN person p ON p.person_id = s.subject_id
            WHERE email = ANY (%s)
            """,
            (sorted(emails),),
        ).fetchall()
        ours = connection.execute(
            """
            SELECT p.project_id, t.task_id FROM project p
            JOIN task t USING (project_id) WHERE p.project_code = %s AND t.task_name = %s
            """,
            (PROJECT, TASK),
        ).fetchone()
        if ours is None or len(people) != len(emails):
            raise MendTieline(f"{PROJECT} or the agency's people are not known yet")
        wanted = [("person", row["email"], row["person_id"]) for row in people]
        wanted += [
            ("project", PROJECT, ours["project_id"]),
            ("task", f"{PROJECT}/{TASK}", ours["task_id"]),
        ]
        for noun, source_ref, our_id in wanted:
            answer = link(
                connection,
                wanted=_agency_link(noun, source_ref, our_id),
                because=_BECAUSE,
                now=now,
            )
            if isinstance(answer, LinkTaken):
                raise MendTieline(f"{noun} {source_ref} is linked to something else already")
    return len(wanted)


def _agency_link(noun: str, source_ref: str, our_id: UUID) -> Link:
    return Link(connection_key=AGENCY, noun=noun, source_ref=source_ref, our_id=our_id)
