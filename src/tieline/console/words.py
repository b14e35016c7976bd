"""The words a page may use: what finance says, never what the engine calls it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import date
from functools import cache
from itertools import groupby
from uuid import UUID

from tieline.kernel.wording import money
from tieline.register import ExchangeRate
from tieline.services.changes import ADJUST, CREDITED
from tieline.services.client_merging import MERGE as MERGE_CLIENTS
from tieline.services.client_merging import UNMERGE as UNMERGE_CLIENTS
from tieline.services.client_pairs import PAIR_REASONS
from tieline.services.deciding import LEAVE_OUT
from tieline.services.fallback import MAKE as MAKE_FILE
from tieline.services.period_close import CLOSE, REOPEN
from tieline.services.period_close import MOVING as PERIOD_MOVING
from tieline.services.provisioning_checks import CHECKS as PROVISIONING_CHECKS
from tieline.services.reference_files import LOAD
from tieline.services.replaying import REPLAY_SLICE
from tieline.services.reporting_currency import Together
from tieline.services.running_contracts import TELL
from tieline.services.same_client import SAME_CLIENT as SAME_CLIENT_KIND
from tieline.services.sending_again import CaseAgain
from tieline.services.standing_checks import LIFT_STOP
from tieline.services.unconfirmed import system_name
from tieline.validation import builtin_rules

__all__ = ["system_name"]

PLACES: Mapping[str, str] = {
    "posted": "In the ERP",
    "pending": "Waiting",
    "held": "Needs attention",
    "excluded": "Left out",
    "handed_over": "Given to finance as file",
}
OUTCOMES: Mapping[str, str] = {
    "cleared": "Ready to post",
    "correct": "Ready to correct",
    "held": "Needs attention",
    "parked": "Waiting for us",
    "excluded": "Left out",
    "outside": "Not counted: not approved, or before the start",
}
# How a write into another system stands; {system} is its name.
WRITES: Mapping[str, str] = {
    "PLANNED": "Waiting",
    "INTENT": "Being sent",
    "CONFIRMED": "In {system}",
    "REJECTED": "Refused by {system}",
    "UNKNOWN": "Unconfirmed, asking {system}",
    "PROBING": "Unconfirmed, asking {system}",
    "ABSENT": "Not there, will be sent",
    "CONFLICT": "{system} holds something else",
    "WITHDRAWN": "No longer wanted",
    "HANDED_OVER": "Given to finance as file",
}
WRITE_KINDS: Mapping[str, str] = {
    "book": "Sent",
    "write": "Sent",
    "void": "Taken back",
    "adjust": "Adjusted",
}
READINESS: Mapping[str, str] = {
    "not_due": "Not due",
    "blocked": "Blocked",
    "at_risk": "At risk",
    "ready": "Ready",
    "released": "Released",
    "invoiced": "Invoiced",
}
PLANS: Mapping[str, str] = {
    "blocked": "Needs attention",
    "ready": "Ready",
    "running": "Being set up",
    "active": "Set up",
    "compensating": "Being taken back",
    "compensated": "Taken back",
    "stuck": "Needs attention",
}
MODES: Mapping[str, str] = {
    "observe": "Reads only",
    "propose": "Proposes, a person applies",
    "act": "Reads and writes",
}
LIMITS: Mapping[str, str] = {
    "window": "Rate",
    "bucket": "Rate",
    "quota": "Quota",
    "concurrent": "At once",
}
WEIGHTS: Mapping[str, str] = {"block": "Blocks", "risk": "At risk", "warn": "To know"}
QUEUES: Mapping[str, str] = {"client_steward": "Client data", "integration": "Integration"}
PROPOSALS: Mapping[str, str] = {
    LEAVE_OUT: "Leave hours out",
    CLOSE: "Close the period",
    REOPEN: "Open the period again",
    ADJUST: "Correct what is in the ERP",
    CREDITED: "Take hours off a credited invoice",
    SAME_CLIENT_KIND: "Say which client it is",
    MERGE_CLIENTS: "Make one client of two",
    UNMERGE_CLIENTS: "Make two clients of one again",
    REPLAY_SLICE: "Send again",
    MAKE_FILE: "Give lines to finance as a file",
    LOAD: "Change what holds from a day on",
    TELL: "Take over contracts that run",
    LIFT_STOP: "Let posting go on although a check is red",
}
CHANGE_KINDS: Mapping[str, str] = {
    "edited": "Edited",
    "moved": "Moved",
    "re_rated": "Another rate",
    "revoked": "Approval withdrawn",
    "deleted": "Deleted",
    "left_out": "Left out",
    "late": "Came after the close",
}
CHANGE_STATES: Mapping[str, str] = {
    "to_approve": "To agree to",
    "proposed": "Waiting for a second person",
    "credit_proposed": "Credit proposed",
    "held": "Needs attention",
    "under_way": "Being corrected",
    "corrected": "Corrected",
    "overtaken": "Taken back or changed again",
}
CHANGE_WAYS: Mapping[str, str] = {
    "rebook": "booked anew in its period",
    "ask": "booked anew once agreed to",
    "adjust": "into the next open period",
    "reopen": "only once its period is open",
    "credit_and_rebill": "credit and bill anew",
    "hold": "left as it is",
}
LEG_STATES: Mapping[str, str] = {
    "both": "Both legs stand",
    "waiting": "The other leg may still come",
    "one_leg": "One leg without the other",
    "not_checked": "Not checked: nobody told what was booked",
}
MISSING_STATES: Mapping[str, str] = {
    "missing": "Has not handed in",
    "unapproved": "Waits for approval",
    "unknown": "Not known what was expected",
    "all": "Everybody",
}
DELIVERY_STATES: Mapping[str, str] = {
    "all": "All that run",
    "attention": "Needs a look",
    "ending": "An assignment ends soon",
    "exceeded": "More booked than planned",
    "stray": "Booked without an assignment",
    "oversold": "More booked than sold",
}
ADOPT_NOUNS: Mapping[str, str] = {
    "client": "Clients",
    "person": "People",
    "project": "Projects",
    "task": "Tasks",
    "erp_task": "The ERP's tasks",
}
ADOPT_STATES: Mapping[str, str] = {
    "strong": "Sure",
    "weak": "Perhaps",
    "several": "Several of ours fit",
    "rivals": "Several of theirs fit",
    "taken": "Ours is another there",
    "nothing": "Nothing fits",
    "client": "Same client?",
    "left": "Left without a link",
}
EARLY_STATES: Mapping[str, str] = {
    "held": "Would need attention",
    "clear": "Would be ready to post",
    "all": "All",
}
# Why nobody knows what was expected of a person.
NOT_EXPECTED: Mapping[str, str] = {
    "employment": "two employers at once",
    "pattern": "no working week told",
    "place": "no place of work told",
    "holidays": "holidays of the place not known",
}
CREDIT_STATES: Mapping[str, str] = {
    "proposed": "Not credited yet",
    "credited": "Credited",
    "withdrawn": "Not needed any more",
}
PROPOSAL_STATES: Mapping[str, str] = {
    "proposed": "Waiting for a second person",
    "approved": "Approved",
    "rejected": "Turned down",
}
THINGS: Mapping[str, str] = {
    "person_week": "Person and week",
    "scope": "Where posting is stopped",
    "replay": "What was sent again",
    "mapping": "Link",
    "file_line": "Line of a file",
    "entry": "Time entry",
    "target": "Write to the ERP",
    "stream": "Connection",
    "connection": "Connection",
    "code": "Code of another system",
    "period": "Fiscal period",
    "legs": "Between companies",
    "owner": "Person or team",
}
MOVING = PERIOD_MOVING
MOVED: Mapping[str, str] = {
    "sent": "sent",
    "taken_back": "taken back",
    "not_sent": "not sent any more",
}
NOT_AGAIN: Mapping[str, str] = {
    "closed": "It is closed by now",
    "nothing": "Nothing of it can be checked, asked for or sent again: it is put right where it comes from",
    "held": "What holds it is still there",
}
SAME_CLIENT = SAME_CLIENT_KIND
# Exceptions that ask whether two are one client, and by which step a field of a client stands.
SAME_CLIENT_REASONS = PAIR_REASONS
STEPS: Mapping[str, str] = {
    "agreed": "all who say it agree",
    "owner": "its owner says so",
    "recency": "said last",
    "completeness": "of the most complete record",
    "kept": "kept: no record says it",
}
# What a field of master data is called, and what kind of system owns it.
FIELDS: Mapping[str, str] = {
    "name": "name",
    "domain": "internet domain",
    "parent_client_id": "parent company",
    "is_active": "state, active or not,",
    "vat_number": "tax number",
    "street": "street",
    "postal_code": "postal code",
    "city": "city",
    "country_code": "country",
}
# What tells of two records whether they are one client, beside the fields themselves.
TOLD: Mapping[str, str] = {
    "name_numbers": "numbers in the name",
    "form": "legal form",
    "address": "address",
    "address_numbers": "house number",
    "postal": "postal code",
    "country": "country",
    "phone": "telephone",
    "mailbox": "mailbox",
    "domain": "internet domain",
    "source": "the system they are in",
    "tax": "tax number",
    "decisions": "what people decided before",
}
CHECKS: Mapping[str, str] = {
    "source": "Approved hours",
    "target": "Hours that we put there",
}
KINDS: Mapping[str, str] = {
    "crm": "the CRM",
    "events": "who hears events",
    "channel": "a channel to people",
    "erp": "the ERP",
    "hr": "the staffing files",
    "time": "the time tool",
}
# How far a hand-over is, what a step of it does, and what a check of it said.
HANDOVERS: Mapping[str, str] = {
    "not_planned": "Not won yet",
    "blocked": "Blocked",
    "ready": "Ready",
    "running": "Under way",
    "active": "A project",
    "compensating": "Being taken back",
    "compensated": "Taken back",
    "stuck": "Partly taken back",
    "closing": "Being closed",
    "closed": "Closed",
}
HANDOVER_ACTIONS: Mapping[str, str] = {
    "create": "Made",
    "link": "Stands already",
    "done": "Done",
    "activate": "Opened for hours",
    "report": "Told",
    "take_back": "Taken back",
    "change": "Changed",
    "close": "Closed",
    "reverse": "Taken back from the books",
    "leave_out": "Left out before it is sent",
    "by_hand": "By hand, in that system",
    "at_risk": "Opened at risk",
    "template": "Laid out by the template",
    "markup": "Billed at cost plus",
    "shares": "Who pays what",
}
# How a difference between systems is put right.
DRIFT_ACTIONS: Mapping[str, str] = {
    "set": "Can be written from here",
    "by_hand": "By hand, in that system",
    "plan": "By the deal's plan",
    "declare": "Say who owns it",
    "connect": "No owner knows it",
}
CHECK_OUTCOMES: Mapping[str, str] = {
    "holds": "Holds",
    "blocks": "Stands in the way",
    "warns": "Worth a look",
    "ignored": "Not asked, by the rules",
    "not_checked": "Nothing to go by",
}
WHAT_IFS: Mapping[str, str] = {
    "waiting": "Waits for its turn",
    "running": "Being answered",
    "done": "Answered",
    "failed": "Not answered",
    "stopped": "Stopped",
}
# What was decided of past hours, whether it was carried out since or not.
WHAT_IF_OUTCOMES: Mapping[str, str] = {
    "cleared": "Goes to the ERP",
    "correct": "Is corrected in the ERP",
    "held": "Is held",
    "parked": "Waits for us",
    "excluded": "Left out",
    "outside": "Not counted",
}
WHERE_HOURS_STAND: Mapping[str, str] = {
    "waiting": "Not in the ERP",
    "posted": "In the ERP",
    "invoiced": "On an invoice",
}
# What was done, after it was done; the address carries only the key.
DONE: Mapping[str, str] = {
    "assigned": "The case has an owner now.",
    "assigned_several": "The picked exceptions have an owner now.",
    "sent_again": "Everything in this case is checked and sent again.",
    "sent_several_again": "The exceptions that were shown are checked and sent again.",
    "dismissed": "The case is closed with your reason.",
    "proposed": "Proposed. Somebody else must agree before anything happens.",
    "approved": "Approved and carried out.",
    "pair_same": "They are one client now. U takes it back.",
    "pair_different": "They stay two clients. U takes it back.",
    "pair_later": "Put off: it comes after the others.",
    "pair_proposed": "Proposed. Somebody else must agree before anything happens. U takes it back.",
    "pair_undone": "Taken back.",
    "turned_down": "Turned down.",
    "handed_over": "The plan is carried out now.",
    "aligned": "A worker writes it now, record by record, and reads each back.",
    "released": "Released. The ERP drafts the invoice next.",
    "taken_back": "The release is taken back; hours move again.",
    "paused": "Paused. Nothing is read from it or sent to it until somebody resumes it; only unconfirmed writes are asked about.",
    "resumed": "Resumed.",
    "reminded": "Reminded: one message each, once a day.",
    "reminded_before": "Nobody was left to remind: whoever has an address was told today.",
    "drafted": "Drafted. See below what it would do; it decides nothing until somebody else approves it.",
    "linked": "Linked. Hours that waited for it are checked again.",
    "linked_before": "Nothing was linked: it, or ours, is linked already.",
    "left": "Left without a link. It is proposed no more until somebody takes that back.",
    "proposed_again": "Proposed again.",
    "proposing": "It is being proposed again.",
    "asked": "Asked. A worker answers it; nothing is written.",
    "stopped": "Stopped. Nothing was written.",
}
_CODES: Mapping[str, str] = {
    "client.same_client_unclear": "Same client?",
    "client.duplicate_suspected": "One client, or two?",
    "client.merge_by_hand": "A merged client stands twice in a system",
    "client.duplicate_in_source": "The client stands twice in the source",
    "client.hierarchy_cycle": "The clients' parents go round in a circle",
    "check.hours": "Hours that were read are in no place",
    "check.ledger": "Our ledger says something else than was confirmed",
    "check.once": "Hours were confirmed more than once",
    "check.open": "What waits to be sent is not what is listed as waiting",
    "check.sent": "What was confirmed is not what was sent",
    "check.used": "What contracts have used up is not what their hours come to",
    "connection.refused": "The system refuses us",
    "event.not_heard": "A system does not take our events",
    "reconciliation.one_leg": "One company has booked its leg and the other has not",
    "notice.not_sent": "A message to people could not be sent",
    "notice.nobody_to_tell": "Nobody is reached who should be told",
    "read.understood_otherwise": "A new release reads hours otherwise",
    "read.replay_overtaken": "A replay would do something else by now",
    "reconciliation.hours_freed": "Hours were freed from an invoice that still bills them",
    "reconciliation.lines_differ": "The ERP shows lines otherwise than we put them there",
    "reconciliation.source_differs": "The time tool counts other hours than we do",
    "reconciliation.target_differs": "The ERP counts other hours than we put there",
    "readiness.hours_held": "Hours need attention",
    "readiness.hours_waiting": "Hours on their way",
    "readiness.handed_over_unmatched": "A file given to finance is not loaded yet",
    "readiness.ledger_currency_differs": "Hours priced in another currency",
    "readiness.provisioning_unfinished": "The hand-over is under way",
    "readiness.late_hours_open": "Hours of earlier periods need attention",
    "readiness.cases_open": "Exceptions of the contract are open",
    "posted.rejected": "The ERP refused it",
    "posted.twice": "A line stands twice in the ERP",
    "posting.handed_over": "A file is to be loaded into the ERP",
    "preflight.red": "Something that the close needs does not work",
    "posted.unconfirmed": "Sent once, and nobody knows whether it stands",
    "posted.conflict": "The ERP holds something else",
    "posted.altered_by_target": "The ERP stored something else than was sent",
    "intake.too_many_missing": "Too many records are missing at once: nothing was deleted",
    "file.row_unreadable": "A line of a file cannot be read",
    "invoice.total_differs": "The ERP's draft differs from our figure",
}
_ENGINE: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(rf"\b{word}\b", re.IGNORECASE), said)
    for word, said in (
        ("landed", "received"),
        ("cleared", "ready to post"),
        ("held", "needing attention"),
        ("posted", "sent to the ERP"),
        ("reversed", "taken back"),
        ("excluded", "left out"),
        ("parked", "waiting for us"),
        ("pending", "waiting"),
        ("handed over", "given to finance as file"),
        ("conservation gap", "unaccounted hours"),
        ("crosswalk", "links"),
        ("saga", "hand-over"),
        ("verdict", "check result"),
        ("steward case", "same client?"),
        ("replayed", "sent again"),
        ("replay", "send again"),
        ("unknown", "not known"),
        ("probing", "asking"),
        ("conflict", "difference"),
    )
)


def said(text: object) -> str:
    """Return a text of a room above in the words of a page."""
    plain = str(text)
    for pattern, word in _ENGINE:
        plain = pattern.sub(word, plain)
    return plain


def reason(code: str, details: Mapping[str, object] | None = None) -> str:
    """Return what a stable code means to a person."""
    if code in _CODES:
        return _CODES[code]
    told = (details or {}).get("message") or _messages().get(code)
    if told and code.split(".", maxsplit=1)[0] in ("time", "deal", "firm"):
        return said(told)
    return said(code.rpartition(".")[2].replace("_", " ").capitalize())


def person(name: str | None, person_id: UUID) -> str:
    """Return a person's name, or what is left of it."""
    return name or f"no name ({str(person_id)[:8]})"


def spoken(word: str, among: Mapping[str, str]) -> str:
    """Return the page's word, or the word itself made readable."""
    return among.get(word) or said(word.replace("_", " ").capitalize())


def becomes(each: CaseAgain) -> str:
    """Say what becomes of what waits for a case when it is sent again."""
    told = (
        f"{each.hours - each.still_held} of {each.hours} need nobody any more"
        if each.hours
        else "",
        f"{each.writes} sent again" if each.writes else "",
        f"{each.dropped} not sent any more" if each.dropped else "",
        f"{each.records} asked for again" if each.records else "",
    )
    return "; ".join(filter(None, told))


def together(found: Together) -> str:
    """Say in one line what amounts come to in the reporting currency, or why nobody can."""
    if found.total is None:
        return total(found)
    return f"{total(found)} on {at_rates((found,))}"


def total(found: Together) -> str:
    """Say what amounts come to, or which rate nobody knows."""
    if found.total is None:
        return (
            f"No total in {found.currency}: no rate of {_day(found.on_date)} is known"
            f" for {', '.join(found.missing)}"
        )
    return f"Together {money(found.total.amount, found.total.currency)}"


def at_rates(several: Iterable[Together]) -> str:
    """Name the day of totals and their rates, those of one source and beginning together."""
    found = tuple(several)
    rates = sorted({rate for each in found for rate in each.rates}, key=_by_origin)
    told = (
        ", ".join(f"{rate.from_currency} {rate.factor.normalize():f}" for rate in alike)
        + f" ({source}, since {_day(starts_on)})"
        for (source, starts_on), alike in groupby(rates, key=lambda rate: _by_origin(rate)[:2])
    )
    return f"{_day(found[0].on_date)} at {'; '.join(told)}"


def _by_origin(rate: ExchangeRate) -> tuple[str, date, str]:
    return rate.source, rate.starts_on, rate.from_currency


def _day(day: date) -> str:
    return f"{day.day} {day:%b %Y}"


def write_state(state: str, *, system: str, kind: str) -> str:
    """Say how a write into a system stands."""
    if kind == "void" and state == "CONFIRMED":
        return f"No longer in {system}"
    return WRITES.get(state, "Waiting").format(system=system)


@cache
def _messages() -> Mapping[str, str]:
    rules = {rule.code: rule.message for rule in builtin_rules()}
    return {**rules, **{check.code: check.message for check in PROVISIONING_CHECKS}}
