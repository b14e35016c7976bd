"""What callers get: described words; money, rates and instants are text, durations whole seconds."""

from datetime import date, datetime
from typing import Any, Literal, Self
from uuid import UUID

from pydantic import BaseModel

from tieline.casework import CaseSummary
from tieline.governance import Proposal
from tieline.policy import ReleaseLine
from tieline.posting import StandingStop
from tieline.posting.handing_over import ImportFile
from tieline.reconciliation import Check, CheckResult, Standing
from tieline.register import StandingDrift
from tieline.services.accruals import AccrualLine
from tieline.services.adopting import GoLive, Stage
from tieline.services.at_risk import OpenRisk
from tieline.services.changes import ChangeSum, Correction, Credit, PostedChange
from tieline.services.client_pairs import Waiting
from tieline.services.deals import DealPlan, DealPlanDetail
from tieline.services.deciding import DraftRelease
from tieline.services.delivery import ProjectStanding
from tieline.services.handover_drawing import CheckAnswer
from tieline.services.handover_forecast import HandoverForecast
from tieline.services.invoice_readiness import Readiness
from tieline.services.missing_time import Approver, MissingPerson
from tieline.services.period_close import InFlight, Period, Reopened
from tieline.services.policy_files import PolicyFile
from tieline.services.proposing_links import Adoptable
from tieline.services.provisioning_fields import Write
from tieline.services.register_lists import ListedAssignment, ListedClient
from tieline.services.replaying import Moved, ReplayPlan
from tieline.services.revenue_status import RevenueStatus
from tieline.services.sending_again import Again, CaseAgain
from tieline.services.unconfirmed import Unconfirmed
from tieline.services.what_if import WhatIf
from tieline.services.what_if_runs import Asked
from tieline.validation import Broken


class Health(BaseModel):
    status: str
    version: str


class RuleBroken(BaseModel):
    code: str
    severity: str
    message: str
    fix: str

    @classmethod
    def of(cls, broken: Broken) -> Self:
        """Return what a caller is told of a rule that does not hold."""
        return cls(
            code=broken.code,
            severity=broken.severity,
            message=broken.message,
            fix=broken.fix_hint,
        )


class VerdictOnEntry(BaseModel):
    source_ref: str
    outcome: str
    amount: str | None = None
    currency: str | None = None
    reasons: list[RuleBroken]


class Verdicts(BaseModel):
    verdicts: list[VerdictOnEntry]


class Cases(BaseModel):
    cases: tuple[CaseSummary, ...]


class UnconfirmedWrites(BaseModel):
    writes: tuple[Unconfirmed, ...]


class CaseAssigned(BaseModel):
    case_id: UUID
    assigned_to: str


class CaseReplayed(BaseModel):
    case_id: UUID
    replayed: int


class CaseOutlook(BaseModel):
    """What sending a case again would do; refused (closed, nothing, held) says why it stays as it is."""

    case_id: UUID
    reason: str
    thing_kind: str
    thing_key: str
    entity_code: str | None
    hours: int
    still_held: int
    held_by: tuple[str, ...]
    writes: int
    dropped: int
    records: int
    refused: str | None

    @classmethod
    def of(cls, each: CaseAgain) -> Self:
        """Return what a caller is told of one case."""
        case = each.case
        return cls(
            case_id=case.case_id,
            reason=case.reason,
            thing_kind=case.thing_kind,
            thing_key=case.thing_key,
            entity_code=case.entity_code,
            hours=each.hours,
            still_held=each.still_held,
            held_by=each.held_by,
            writes=each.writes,
            dropped=each.dropped,
            records=each.records,
            refused=each.refused,
        )


class CasesOutlook(BaseModel):
    """What sending cases again would do; an hour of two cases counts once in hours and still_held."""

    digest: str
    cases: list[CaseOutlook]
    hours: int
    still_held: int
    moved: tuple[Moved, ...]

    @classmethod
    def of(cls, shown: Again) -> Self:
        """Return what a caller is told of a preview."""
        return cls(
            digest=shown.digest,
            cases=[CaseOutlook.of(each) for each in shown.cases],
            hours=shown.hours,
            still_held=shown.still_held,
            moved=shown.moved,
        )


class CasesSentAgain(BaseModel):
    case_ids: list[UUID]


class CaseDismissed(BaseModel):
    case_id: UUID
    state: str


class TieOut(BaseModel):
    """Approved = posted + pending + held + excluded + handed over, in seconds."""

    entity_code: str
    period_code: str
    period_state: str
    cut_off_at: datetime
    entries: int
    approved_seconds: int
    posted_seconds: int
    pending_seconds: int
    held_seconds: int
    excluded_seconds: int
    handed_over_seconds: int


class Close(BaseModel):
    """The lines, and what sources and targets said themselves; asked_at null: never asked."""

    periods: list[TieOut]
    checks: tuple[Check, ...]
    differences: tuple[Standing, ...]


class StandingChecks(BaseModel):
    """What each check says ('' is our own books), and the scopes into which nothing is sent."""

    checks: tuple[CheckResult, ...]
    not_checked: int
    stops: tuple[StandingStop, ...]


class ReplayPlanned(BaseModel):
    """What a replay would do, and whether a second person must agree to it."""

    plan: ReplayPlan
    needs_second_person: bool


class Periods(BaseModel):
    """Fiscal periods, and those that are open again with what came in since."""

    periods: tuple[Period, ...]
    reopened: tuple[Reopened, ...] = ()


class Accrual(BaseModel):
    """An amount to accrue at the end of a period, and what takes it back in the next."""

    line: AccrualLine
    reversal_amount: str | None


class PeriodAccruals(BaseModel):
    """What of a period is not in the ERP; ``adds_up`` says that the tie-out says so too."""

    period: Period
    lines: list[Accrual]
    amounts: dict[str, str]
    approved_seconds: int
    tie_out_seconds: int
    adds_up: bool


class Changes(BaseModel):
    """Hours that were posted and are otherwise now, with the net per period and currency."""

    sums: tuple[ChangeSum, ...]
    changes: tuple[PostedChange, ...]
    total: int
    credits: tuple[Credit, ...]


class Corrections(BaseModel):
    """What agreeing to changes would do."""

    corrections: tuple[Correction, ...]


class ChangesAgreed(BaseModel):
    """How many needed no second person, and the proposals that wait for one."""

    agreed: int
    proposal_ids: list[UUID]


class PeriodInFlight(BaseModel):
    """A period and what still moves in it, by kind and currency."""

    period: Period
    in_flight: tuple[InFlight, ...]


class ContractsReadiness(BaseModel):
    contracts: tuple[Readiness, ...]


class ImportFiles(BaseModel):
    """Files that people load while a target is down; amounts on the cover are decimal text."""

    files: tuple[ImportFile, ...]


class ContractReleased(BaseModel):
    contract_id: UUID
    period_code: str
    lock_id: UUID
    carried_seconds: int
    carried_amount: str


class InvoiceAsked(BaseModel):
    contract_id: UUID
    period_code: str
    state: str


class MissingHours(BaseModel):
    """Who has not handed in or approved time; null seconds were not checked, null worth is not known."""

    missing_seconds: int
    unapproved_seconds: int
    worths: dict[str, str]
    unpriced_seconds: int
    unknown_people: int
    people: tuple[MissingPerson, ...]
    approvers: tuple[Approver, ...]


class DeliveryHours(BaseModel):
    """How running projects stand; totals are of all that fit the filter, null seconds were told by nobody."""

    sold_seconds: int
    planned_seconds: int | None
    booked_seconds: int
    approved_seconds: int
    billed_seconds: int
    assignments_ending: int
    assignments_exceeded: int
    people_without_assignment: int
    entities_without_staffing: tuple[str, ...]
    projects_in_all: int
    projects: tuple[ProjectStanding, ...]


class Adoption(BaseModel):
    """What connected systems hold and no link of ours is, and how far each of them is.

    It is as was proposed at ``proposed_at``, or null while nothing was; ``is_being_proposed`` says that it is being
    proposed again.
    """

    proposed_at: datetime | None
    is_being_proposed: bool
    not_decided: int
    sure: int
    stages: tuple[Stage, ...]
    go_lives: tuple[GoLive, ...]
    proposals_in_all: int
    proposals: tuple[Adoptable, ...]


class AdoptionAsked(BaseModel):
    """Links are being proposed again; ``proposed_at`` of the list tells when they are."""

    is_being_proposed: bool


class AdoptionDecided(BaseModel):
    """What was linked and left, what was not linked and why, and how many hours are looked at again."""

    linked: int
    left: int
    refused: tuple[str, ...]
    looked_at_again: int


class EarlyHour(BaseModel):
    """An hour that is not approved, as it would be decided if it were; it is never posted by this."""

    entry_id: UUID
    connection_key: str
    source_ref: str
    person_id: UUID | None
    project_code: str | None
    entity_code: str | None
    approver_id: UUID | None
    manager_ids: list[UUID]
    work_date: date
    seconds: int
    amount: str | None
    currency: str | None
    outcome: str
    is_early: Literal[True]
    reasons: list[RuleBroken]


class EarlyHours(BaseModel):
    """What would be held of the hours that nobody has approved yet."""

    entries: int
    seconds: int
    held_entries: int
    held_seconds: int
    held_amounts: dict[str, str]
    by_reason: dict[str, int]
    hours: list[EarlyHour]


class PeopleReminded(BaseModel):
    messages: int
    told_today_already: int
    without_an_address: list[UUID]


class DeputyProposed(BaseModel):
    proposal_id: UUID


class Revenue(BaseModel):
    projects: tuple[RevenueStatus, ...]


class Clients(BaseModel):
    clients: tuple[ListedClient, ...]


class Pairs(BaseModel):
    """The pairs that wait for an answer; those that the caller's person put off come last."""

    pairs: tuple[Waiting, ...]


class PairAnswered(BaseModel):
    """What an answer did: at once, or as a proposal that waits for a second person."""

    case_id: UUID | None
    answer: str
    waits_for_second: bool


class ClientsMerged(BaseModel):
    """A merge, or its undoing, that was carried out; or the proposal that waits for a second person."""

    merge_id: UUID | None
    proposal_id: UUID | None
    records: tuple[str, ...]


class Assignments(BaseModel):
    """Who is on which project; a day is civil, and ``ends_on`` is the first day after."""

    assignments: tuple[ListedAssignment, ...]


class Deals(BaseModel):
    deals: tuple[DealPlan, ...]
    forecast: HandoverForecast


class DealAsked(BaseModel):
    plan_id: UUID
    state: str


class WayStep(BaseModel):
    at: datetime | None
    system: str
    what: str
    facts: dict[str, Any]
    link: str | None


class Way(BaseModel):
    kind: str
    ref: str
    steps: list[WayStep]


class ConnectionStatus(BaseModel):
    connection_key: str
    system: str
    kind: str
    mode: str
    paused: bool
    read_at: datetime | None
    last_error: str | None
    breaker: str | None


class Connections(BaseModel):
    connections: list[ConnectionStatus]


class ConnectionPaused(BaseModel):
    connection_key: str
    paused: bool


class Proposals(BaseModel):
    proposals: tuple[Proposal, ...]
    releases: tuple[DraftRelease, ...]


class ProposalDecided(BaseModel):
    proposal_id: UUID
    state: str
    things: int


class ReleaseDecided(BaseModel):
    release_id: int
    state: str


class Releases(BaseModel):
    releases: tuple[ReleaseLine, ...]


class ReleaseShown(BaseModel):
    """A release, what it changes in words, and the policy that it is."""

    line: ReleaseLine
    changes: tuple[str, ...]
    policy: PolicyFile


class ReleaseDrafted(BaseModel):
    release_id: int
    state: str
    based_on: int
    changes: tuple[str, ...]


class WhatIfAsked(BaseModel):
    what_if_id: UUID
    state: str


class WhatIfs(BaseModel):
    what_ifs: tuple[Asked, ...]


class WhatIfAnswered(BaseModel):
    """A question, how far it is, and its answer; ``answer`` is null until it is done."""

    asked: Asked
    answer: WhatIf | None


class Drifts(BaseModel):
    drifts: tuple[StandingDrift, ...]


class HintsTaken(BaseModel):
    marked: int


class SystemWrites(BaseModel):
    system: str
    writes: tuple[Write, ...]


class DealPlanShown(BaseModel):
    deal: DealPlanDetail
    kind: str
    changes: tuple[str, ...]
    digest: str
    systems: list[SystemWrites]
    checks: tuple[CheckAnswer, ...]
    risk: OpenRisk | None


class DealApplied(BaseModel):
    plan_id: UUID | None
    state: str
    proposal_id: UUID | None
