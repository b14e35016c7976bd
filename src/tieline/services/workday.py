"""What the workers do all day: the handlers of durable work and the jobs on a schedule."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

from psycopg import Connection

from tieline.casework import keep_cases
from tieline.notices import purge_notices
from tieline.posting.pace import purge_paces
from tieline.runtime.database import Row
from tieline.runtime.disk import folders_we_fill
from tieline.runtime.housekeeping import keep_raw_partitions, purge, take_statistics
from tieline.runtime.telemetry import new_correlation_id
from tieline.runtime.work import (
    BILLING,
    CUT_OFF,
    PROVISIONING,
    REFERENCE,
    Again,
    Done,
    Handler,
    Outcome,
    Steps,
)
from tieline.runtime.worker import Job
from tieline.services.aligning import ALIGN, Aligning
from tieline.services.client_merging import MERGE_BY_HAND, REPOINT, Repointing, find_by_hand
from tieline.services.client_sync import CLIENT_REASONS, sync_clients
from tieline.services.conservation_checks import ASK_SOURCE, ASK_TARGET, ConservationChecks
from tieline.services.fallback import Fallback
from tieline.services.forecast import read_outlook
from tieline.services.handover_forecast import RUNS_AT_ONCE
from tieline.services.invoice_readiness import compute_readiness
from tieline.services.invoicing import DRAFT_INVOICE, Invoicing
from tieline.services.leg_checks import LegChecks
from tieline.services.line_checks import ASK_LINES, LineChecks
from tieline.services.message_desk import SEND_NOTICE
from tieline.services.messaging import LINK_PURPOSE, Messaging
from tieline.services.preflight import Preflights
from tieline.services.project_provisioning import (
    PLAN_REASONS,
    PROVISION,
    Provisioning,
    plan_deals,
    schedule_plans,
)
from tieline.services.proposing_links import PROPOSE_LINKS, Proposing
from tieline.services.reading import KEEP_REGISTER, READ_MARKED, Reading
from tieline.services.replaying import REPLAY, Replaying
from tieline.services.resource_assignment import PEOPLE_REASONS, sync_people
from tieline.services.restoring import Restoring
from tieline.services.revenue_reporting import REPORT_ACCOUNT, REPORT_REVENUE, RevenueReporting
from tieline.services.sealing import Sealing
from tieline.services.shown_plans import forget_unapplied
from tieline.services.standing_checks import StandingChecks
from tieline.services.system import System
from tieline.services.telling import Telling
from tieline.services.time_validation import JUDGE_BATCH, JUDGE_WAITING, POST_LINES
from tieline.services.what_if_runs import ANSWER_WHAT_IF, WhatIfRuns
from tieline.validation import own_deal_codes

CLASSES: Mapping[str, int] = {
    JUDGE_BATCH: BILLING,
    JUDGE_WAITING: BILLING,
    POST_LINES: BILLING,
    DRAFT_INVOICE: BILLING,
    REPLAY: BILLING,
    PROVISION: PROVISIONING,
    READ_MARKED: PROVISIONING,
    KEEP_REGISTER: PROVISIONING,
    REPORT_REVENUE: REFERENCE,
    REPORT_ACCOUNT: REFERENCE,
    ASK_SOURCE: REFERENCE,
    ASK_TARGET: REFERENCE,
    SEND_NOTICE: CUT_OFF,
    ASK_LINES: REFERENCE,
    ANSWER_WHAT_IF: REFERENCE,
    PROPOSE_LINKS: REFERENCE,
    ALIGN: REFERENCE,
    REPOINT: REFERENCE,
}

# What waits for replies most of its time, and holds up nothing else meanwhile.
OWN_SLOTS: Mapping[str, int] = {PROVISION: RUNS_AT_ONCE}

# Each step of these is kept in tables of theirs, in the transaction that ends it.
KEEPS_STEPS = frozenset({PROVISION, READ_MARKED, KEEP_REGISTER})

# So many connections are read beside each other, by all workers together.
_READERS = 4
_STATISTICS_SECONDS = 5
_HOUSEKEEPING_SECONDS = 600
# How soon somebody else keeps the register where whoever does so stands still; it is renewed meanwhile.
_REGISTER, _REGISTER_SECONDS = "register", 120
_REGISTER_EVERY_SECONDS = 2
_REGISTER_REST_TIMES = 2
_EVENTS_SECONDS = 2
# How long a row of the audit may stand unlinked.
_AUDIT_SECONDS = 2
# What reads whole tables may take a fifth of its time.
_REST_TIMES = 4
# What reads all there ever was, and nobody waits for, may take a twentieth.
_WHOLE_REST_TIMES = 20
_RESTORING_SECONDS = 2
_DISKS_SECONDS = 5
_PREFLIGHT_SECONDS = 60
# How old a proposed link may be that something has changed since.
_PROPOSALS_SECONDS = 30
# A step before a cut-off is told so much too late at most.
_MESSAGES_SECONDS = 15
# Rare enough that a burst of postings is told as one change.
_REVENUE_SECONDS = 30
# How often it is looked at whether a check is due; a check itself is made once an hour.
_CHECKS_SECONDS = 10
# How often our own books are held against themselves; 400,000 lines take a few seconds.
_OWN_BOOKS_SECONDS = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class Workday:
    """Bind the services of one process to its work."""

    system: System

    def handlers(self) -> dict[str, Handler]:
        """Return the handler of each kind of durable work."""
        time_validation = self.system.time_validation
        return {
            JUDGE_BATCH: time_validation.judge_batch,
            JUDGE_WAITING: time_validation.judge_waiting,
            POST_LINES: time_validation.post_lines,
            DRAFT_INVOICE: self._invoicing().draft,
            REPLAY: self.replaying().run_approved,
            PROVISION: self._provisioning().provision,
            READ_MARKED: self.reading().read_marked,
            KEEP_REGISTER: self.register_soon,
            REPORT_REVENUE: self._revenue().report,
            REPORT_ACCOUNT: self._revenue().report_account,
            ASK_SOURCE: self._checks().ask_source,
            ASK_TARGET: self._checks().ask_target,
            SEND_NOTICE: self.messaging().send,
            ASK_LINES: self.line_checks().ask,
            ANSWER_WHAT_IF: self.what_if_runs().answer,
            PROPOSE_LINKS: self.proposing().propose,
            ALIGN: self._aligning().align,
            REPOINT: self._repointing().repoint,
        }

    def proposing(self) -> Proposing:
        """Return what proposes links."""
        return Proposing(database=self.system.database, clock=self.system.clock)

    def what_if_runs(self) -> WhatIfRuns:
        """Return what answers questions about past days."""
        return WhatIfRuns(database=self.system.database, clock=self.system.clock)

    def jobs(self) -> Sequence[Job]:
        """Return what runs on a schedule, one worker at a time."""
        reading = self.reading()
        return (
            *(
                Job(name=f"poll-{number}", interval_seconds=1, function=reading.poll_due)
                for number in range(1, _READERS + 1)
            ),
            Job(name="marked", interval_seconds=1, function=reading.read_what_is_marked),
            Job(name="disks", interval_seconds=_DISKS_SECONDS, function=reading.watch_disks),
            Job(name="whole", interval_seconds=3, function=reading.read_whole),
            Job(
                name="register",
                interval_seconds=_REGISTER_EVERY_SECONDS,
                function=self.keep_register_alone,
                # What is read is followed by itself; this finds what was decided, and what had to wait.
                rest_times=_REGISTER_REST_TIMES,
            ),
            Job(
                name="time",
                interval_seconds=2,
                function=self.system.time_validation.schedule_waiting,
                # The net under lost wake-ups: it must come again soon after a lock held it up.
                rest_times=1,
            ),
            Job(
                name="time-left-out",
                interval_seconds=2,
                function=self.system.time_validation.plan_left_out,
                rest_times=_WHOLE_REST_TIMES,
            ),
            Job(
                name="proposals",
                interval_seconds=_PROPOSALS_SECONDS,
                function=self.proposing().schedule_changed,
                rest_times=_WHOLE_REST_TIMES,
            ),
            Job(
                name="readiness",
                interval_seconds=10,
                function=self.keep_readiness,
                rest_times=_REST_TIMES,
            ),
            Job(
                name="revenue",
                interval_seconds=_REVENUE_SECONDS,
                function=self._revenue().keep_revenue,
                rest_times=_REST_TIMES,
            ),
            Job(
                name="checks",
                interval_seconds=_CHECKS_SECONDS,
                function=self._checks().schedule_due,
            ),
            Job(
                name="own-books",
                interval_seconds=_OWN_BOOKS_SECONDS,
                function=self.standing_checks().look,
            ),
            Job(
                name="legs",
                interval_seconds=_OWN_BOOKS_SECONDS,
                function=self.leg_checks().look,
            ),
            Job(
                name="lines",
                interval_seconds=_CHECKS_SECONDS,
                function=self.line_checks().schedule_due,
            ),
            Job(name="twins", interval_seconds=_CHECKS_SECONDS, function=self._checks().find_twins),
            Job(
                name="fallback",
                interval_seconds=_PREFLIGHT_SECONDS,
                function=self.fallback().look_due,
            ),
            Job(
                name="preflight",
                interval_seconds=_PREFLIGHT_SECONDS,
                function=self.preflights().run_due,
            ),
            Job(name="audit", interval_seconds=_AUDIT_SECONDS, function=self.sealing().seal),
            Job(name="events", interval_seconds=_EVENTS_SECONDS, function=self.telling().tell),
            Job(
                name="restoring",
                interval_seconds=_RESTORING_SECONDS,
                function=self.restoring().follow_up,
            ),
            Job(
                name="messages",
                interval_seconds=_MESSAGES_SECONDS,
                function=self.messaging().write_due,
            ),
            Job(
                name="statistics",
                interval_seconds=_STATISTICS_SECONDS,
                function=lambda: take_statistics(self.system.database),
            ),
            Job(
                name="housekeeping",
                interval_seconds=_HOUSEKEEPING_SECONDS,
                function=self.keep_house,
            ),
        )

    def keep_house(self) -> None:
        """Remove what nobody reads again, and what sources sent longer ago than it may be kept."""
        now, keep_days = self.system.clock.now(), self.system.settings.raw_retention_days
        purge(self.system.database)
        keep_raw_partitions(self.system.database, today=now.date(), keep_days=keep_days)
        with self.system.database.transaction() as connection:
            forget_unapplied(connection, now=now)
            purge_paces(connection)
            purge_notices(connection, before=now - timedelta(days=keep_days))

    def reading(self) -> Reading:
        """Return what reads the connections."""
        return Reading(
            database=self.system.database,
            connectors=self.system.connectors,
            reader=self.system.reader,
            time_validation=self.system.time_validation,
            checks=self._checks(),
            clock=self.system.clock,
            folders=folders_we_fill(self.system.settings),
        )

    def register_soon(self, steps: Steps, _subject: str) -> Outcome:
        """Follow at once what was read; the job is the net under it."""
        is_kept = steps.run("keep", self.keep_register_alone)
        return Done() if is_kept else Again(due_in_seconds=1)

    def keep_register_alone(self) -> bool:
        """Keep the register unless another worker does so at this moment; say whether it was done."""
        leases = self.system.reader.leases
        with leases.held(name=_REGISTER, ttl_seconds=_REGISTER_SECONDS) as held:
            if held is None:
                return False
            self.keep_register(check=held.check)
        return True

    def keep_register(self, *, check: Callable[[], None] = lambda: None) -> None:
        """Bring clients, people and plans in line with what was read; ``check`` gives up where another does so."""
        correlation_id = new_correlation_id()
        now = self.system.clock.now()
        clients = sync_clients(self.system.database, now=now, correlation_id=correlation_id)
        check()
        people = sync_people(self.system.database, now=now)
        check()
        plans = plan_deals(self.system.database, now=now)
        check()
        with self.system.database.transaction() as connection:
            by_hand = find_by_hand(connection, connectors=self.system.connectors)
            own = own_deal_codes(connection)
            for requests, reasons in (
                (clients.cases, CLIENT_REASONS),
                (by_hand, (MERGE_BY_HAND,)),
                (people.cases, PEOPLE_REASONS),
                (plans.cases, (*PLAN_REASONS, *sorted(own))),
            ):
                keep_cases(
                    connection,
                    requests=requests,
                    reasons=reasons,
                    now=now,
                    correlation_id=correlation_id,
                )
            under_way = _under_way(connection)
            # What is new meanwhile is open when this comes again.
            ready = {key: read for key, read in plans.ready.items() if str(key) not in under_way}
            schedule_plans(connection, ready=ready)

    def keep_readiness(self) -> None:
        """Compute what stands between each contract and its invoice."""
        with self.system.database.transaction() as connection:
            compute_readiness(
                connection,
                connectors=self.system.connectors,
                outlook=read_outlook(connection, systems=self.system.systems),
                now=self.system.clock.now(),
            )

    def _provisioning(self) -> Provisioning:
        return Provisioning(
            database=self.system.database, poster=self.system.poster, clock=self.system.clock
        )

    def _aligning(self) -> Aligning:
        return Aligning(
            database=self.system.database, poster=self.system.poster, clock=self.system.clock
        )

    def _repointing(self) -> Repointing:
        return Repointing(
            database=self.system.database, poster=self.system.poster, clock=self.system.clock
        )

    def _checks(self) -> ConservationChecks:
        return ConservationChecks(
            database=self.system.database,
            connectors=self.system.connectors,
            clock=self.system.clock,
        )

    def replaying(self) -> Replaying:
        """Return what understands and judges again what was kept."""
        return Replaying(
            database=self.system.database,
            connectors=self.system.connectors,
            time_validation=self.system.time_validation,
            material_key=self.system.reader.material_key,
            clock=self.system.clock,
        )

    def line_checks(self) -> LineChecks:
        """Return what holds the lines of targets against what was booked."""
        return LineChecks(
            database=self.system.database,
            connectors=self.system.connectors,
            clock=self.system.clock,
        )

    def standing_checks(self) -> StandingChecks:
        """Return what holds our own books against themselves."""
        return StandingChecks(database=self.system.database, clock=self.system.clock)

    def _revenue(self) -> RevenueReporting:
        return RevenueReporting(
            database=self.system.database,
            poster=self.system.poster,
            clock=self.system.clock,
            reporting_currency=self.system.settings.reporting_currency,
        )

    def sealing(self) -> Sealing:
        """Return what keeps the audit linked."""
        return Sealing(database=self.system.database, home=self.system.settings.home)

    def preflights(self) -> Preflights:
        """Return what tries before a cut-off what the close will need."""
        return Preflights(
            database=self.system.database,
            connectors=self.system.connectors,
            systems=self.system.systems,
            clock=self.system.clock,
            home=self.system.settings.home,
        )

    def restoring(self) -> Restoring:
        """Return what follows when a backup was restored."""
        return Restoring(
            database=self.system.database,
            connectors=self.system.connectors,
            clock=self.system.clock,
            home=self.system.settings.home,
        )

    def leg_checks(self) -> LegChecks:
        """Return what holds both legs between companies against each other."""
        return LegChecks(database=self.system.database, clock=self.system.clock)

    def fallback(self) -> Fallback:
        """Return what asks about files that people load."""
        return Fallback(
            database=self.system.database,
            connectors=self.system.connectors,
            clock=self.system.clock,
        )

    def telling(self) -> Telling:
        """Return what tells other systems what happened."""
        return Telling(
            database=self.system.database,
            connectors=self.system.connectors,
            clock=self.system.clock,
        )

    def messaging(self) -> Messaging:
        """Return what brings messages to people."""
        return Messaging(
            database=self.system.database,
            connectors=self.system.connectors,
            budgets=self.system.budgets,
            clock=self.system.clock,
            speech=self.system.speech,
            digest_hour=self.system.settings.digest_hour,
            early_days=self.system.settings.early_days,
            link_key=self.system.master_key.derive(purpose=LINK_PURPOSE),
            pepper=self.system.pepper,
        )

    def _invoicing(self) -> Invoicing:
        return Invoicing(
            database=self.system.database,
            connectors=self.system.connectors,
            clock=self.system.clock,
        )


def _under_way(connection: Connection[Row]) -> frozenset[str]:
    """Return the plans that a worker is busy with, or takes up before this comes again."""
    rows = connection.execute(
        """
        SELECT subject FROM work_item WHERE kind = %s AND (state = 'running'
            OR state = 'waiting' AND due_at <= clock_timestamp() + make_interval(secs => %s))
        """,
        (PROVISION, _REGISTER_EVERY_SECONDS),
    ).fetchall()
    return frozenset(row["subject"] for row in rows)
