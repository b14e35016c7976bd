"""What people of the firm press on the board, and what must stand in the product before they do."""

from __future__ import annotations

from uuid import UUID

from tieline.governance import open_web_transaction
from tieline.kernel.errors import MendTieline
from tieline.proof.incidents import AGENCY
from tieline.proof.story import Story
from tieline.register import Link, LinkTaken, link
from tieline.sandbox.firm import Firm
from tieline.sandbox.firm_agency import PROJECT, TASK
from tieline.services.deciding import Decider, approve_and_carry_out
from tieline.services.installation import entity_codes
from tieline.services.period_close import list_periods, propose_close
from tieline.services.reference_files import load_file, read_file
from tieline.services.system import System

_BECAUSE = "the agency's own words, as its contract says them"
_OVER = "the month is over and reported"
REPORTING_CURRENCY = "EUR"
_TREASURY = "Halden Roe treasury"
_RATES = {"CHF": "1.05", "GBP": "1.15", "PLN": "0.235", "USD": "0.92"}
_RATES_OF_THE_MONTH = "the month's rates"


def load_rates(system: System, firm: Firm) -> None:
    """Load what other currencies are worth in the one that the firm reports in, by two people."""
    now = system.clock.now()
    lines = [
        f"{currency},{REPORTING_CURRENCY},{factor},{_TREASURY},{firm.month}"
        for currency, factor in _RATES.items()
    ]
    body = "\n".join(("from_currency,to_currency,factor,source,starts_on", *lines)).encode()
    # Rates hold for the whole firm: whoever agrees to them sees all of it.
    seen = [entity.code for entity in firm.entities]
    with open_web_transaction(system.database, entities=seen) as connection:
        loaded = load_file(
            connection,
            file=read_file(noun="fx-rates", name="rates.csv", body=body, is_whole=True),
            by="controller",
            reason=_RATES_OF_THE_MONTH,
            now=now,
        )
        assert loaded.proposal_id is not None
        approve_and_carry_out(
            connection,
            proposal_id=loaded.proposal_id,
            reason=_RATES_OF_THE_MONTH,
            by=Decider(login="finance"),
            connectors=system.connectors,
            now=now,
        )


def close_past_periods(system: System, story: Story) -> int:
    """Close every period that was over before the story's month, by two people; return how many.

    A company that bills nobody but the others has closed the month as well, once its cut-off has passed. Munich
    closes its own in the ERP, too.
    """
    now = system.clock.now()
    closed, billing = 0, set(story.firm.entity_of_project.values())
    with system.database.transaction() as connection:
        for entity_code in entity_codes(connection):
            for period in list_periods(connection, entity_code=entity_code):
                is_done = entity_code not in billing and period.cut_off_at <= now
                is_over = period.ends_on <= story.firm.month or is_done
                if not is_over or period.state != "open":
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
