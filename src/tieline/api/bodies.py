"""What callers send: described words and nothing else, strict in their types."""

from datetime import date
from typing import Annotated, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from tieline.services.policy_files import PolicyFile
from tieline.services.sending_again import CASES_AGAIN_MAX

ENTRIES_MAX = 100
LINKS_MAX = 2_000
TEXT_MAX = 200
REASON_MAX = 2000
SECONDS_MAX = 366 * 24 * 3600

Text = Annotated[str, Field(min_length=1, max_length=TEXT_MAX)]
Reason = Annotated[str, Field(min_length=1, max_length=REASON_MAX, pattern=r"\S")]
Digest = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


class StrictModel(BaseModel):
    """Take what is described and nothing else."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)


class EntryToValidate(StrictModel):
    """An hour as it would be booked, in the words of its connection."""

    connection_key: Text
    source_ref: Text
    person_ref: Text
    project_ref: Text | None
    task_ref: Text | None
    labor_category: Text | None = None
    work_date: Annotated[date, Field(strict=False)] | None
    seconds: Annotated[int, Field(ge=-SECONDS_MAX, le=SECONDS_MAX)]
    is_billable: bool | None
    is_approved: bool
    narrative_length: Annotated[int, Field(ge=0, le=100_000)]


class EntriesToValidate(StrictModel):
    """Up to a hundred hours."""

    entries: Annotated[list[EntryToValidate], Field(min_length=1, max_length=ENTRIES_MAX)]


class Assignment(StrictModel):
    """Who takes care of a case."""

    assigned_to: Text


class Because(StrictModel):
    """Why it is done."""

    reason: Reason


class CasesChosen(StrictModel):
    """Which open cases: these, or all in sight that fit the other words; no word means every one."""

    case_ids: Annotated[
        list[Annotated[UUID, Field(strict=False)]] | None,
        Field(min_length=1, max_length=CASES_AGAIN_MAX),
    ] = None
    reason: Text | None = None
    owner_queue: Text | None = None
    entity_code: Text | None = None
    assigned_to: Text | None = None


class CasesAgain(StrictModel):
    """The cases of a preview, its digest, and what was done about what held them."""

    case_ids: Annotated[
        list[Annotated[UUID, Field(strict=False)]], Field(min_length=1, max_length=CASES_AGAIN_MAX)
    ]
    digest: Digest
    reason: Reason


class Reopening(StrictModel):
    """Why a period is opened again, and the last day it should be open."""

    reason: Reason
    until_on: Annotated[date | None, Field(strict=False)] = None


class ChangesChosen(StrictModel):
    """Which changes, and why they are agreed to."""

    change_ids: Annotated[
        list[Annotated[UUID, Field(strict=False)]], Field(min_length=1, max_length=500)
    ]
    reason: Reason


class ChangesCredited(StrictModel):
    """Which changes a credit note of the ERP stands for."""

    change_ids: Annotated[
        list[Annotated[UUID, Field(strict=False)]], Field(min_length=1, max_length=500)
    ]
    credit_number: Annotated[str, Field(min_length=1, max_length=200)]
    reason: Reason


class Release(StrictModel):
    """Release a contract's period; an incomplete one says what is carried to the next and why."""

    carry_reason: Reason | None = None


class PeriodClosing(StrictModel):
    """Close a period; one in which something moves says why it stays behind."""

    reason: Reason | None = None


class SameClient(StrictModel):
    """Which client the record of a case is, and why; null says it is a new one."""

    client_id: Annotated[UUID, Field(strict=False)] | None
    reason: Reason


class PairAnswer(StrictModel):
    """Whether a record or client is the client of a candidate: same, different, or later."""

    client_id: Annotated[UUID, Field(strict=False)]
    answer: Literal["same", "different", "later"]
    reason: Reason


class MergeInto(StrictModel):
    """The client that another one becomes, and why."""

    into: Annotated[UUID, Field(strict=False)]
    reason: Reason


Day = Annotated[date, Field(strict=False)]


class ReplayFilter(StrictModel):
    """Which records; days are half-open: received in [since, until), worked in [worked_since, worked_until)."""

    connection_key: Text
    object: Text | None = None
    since: Day | None = None
    until: Day | None = None
    worked_since: Day | None = None
    worked_until: Day | None = None
    refs: Annotated[list[Text], Field(max_length=ENTRIES_MAX)] = Field(default_factory=list)


class Replay(ReplayFilter):
    """Which records, and why."""

    reason: Reason


class MissingReminded(StrictModel):
    """Remind who is missing time or is to approve, of a legal entity and period or of all that close next."""

    entity_code: Text | None = None
    period_code: Text | None = None
    reason: Reason


class Deputized(StrictModel):
    """Who approves for an approver on the days of [starts_on, ends_on): an address, employee code or id."""

    approver_id: Annotated[UUID, Field(strict=False)]
    deputy: Text
    starts_on: Day
    ends_on: Day
    reason: Reason


class RecordNamed(StrictModel):
    """A record of a connected system, as the list of proposals names it."""

    connection_key: Text
    noun: Text
    source_ref: Text

    def record(self) -> dict[str, str]:
        """Return what names the record."""
        return {
            "connection_key": self.connection_key,
            "noun": self.noun,
            "source_ref": self.source_ref,
        }


class RecordLinked(RecordNamed):
    """A record and the one of ours that was proposed for it."""

    our_id: Annotated[UUID, Field(strict=False)]


class AdoptionDecisions(StrictModel):
    """What to link as it is proposed and what to leave without a link, and why."""

    links: Annotated[list[RecordLinked], Field(max_length=LINKS_MAX)] = []
    leave: Annotated[list[RecordNamed], Field(max_length=LINKS_MAX)] = []
    reason: Reason


class PolicyDraft(StrictModel):
    """The whole policy as it should be, and why."""

    policy: PolicyFile
    reason: Reason


class DraftedRows(StrictModel):
    """Rows of one noun, as the text of a CSV file; they are looked at and never loaded."""

    noun: Text
    name: Text
    text: Annotated[str, Field(min_length=1, max_length=500_000)]
    is_whole: bool = False


class WhatIfQuestion(StrictModel):
    """Which days, worked in [starts_on, ends_on), and what is drafted: a release, proposals, rows."""

    title: Text
    starts_on: Day
    ends_on: Day
    release_id: Annotated[int, Field(ge=1, lt=2**31)] | None = None
    against_release_id: Annotated[int, Field(ge=1, lt=2**31)] | None = None
    proposal_ids: Annotated[list[Annotated[UUID, Field(strict=False)]], Field(max_length=20)] = (
        Field(default_factory=list)
    )
    files: Annotated[list[DraftedRows], Field(max_length=20)] = Field(default_factory=list)


class RiskAsked(StrictModel):
    """Who answers, by login, for work before a deal is won: up to an amount in its currency, before a day."""

    sponsor: Text
    limit_amount: Annotated[str, Field(pattern=r"^[0-9]{1,15}(\.[0-9]{1,4})?$")]
    ends_on: Annotated[date, Field(strict=False)]


class DealToPlan(StrictModel):
    """A deal, as connection:deal or by the id of its plan; one that is not won may open at risk, or end.

    From ``client_from`` on, the client that the deal names now has its running contract.
    """

    deal: Text
    at_risk: RiskAsked | None = None
    is_lost: bool = False
    client_from: Annotated[date | None, Field(strict=False)] = None


class DealToApply(StrictModel):
    """A deal, the digest of the plan that was shown of it, and why it is carried out."""

    deal: Text
    digest: Digest
    reason: Reason
