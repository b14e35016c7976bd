"""Exceptions as sheets: the list under its filters, and the records that wait for one of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tieline.casework import CaseSummary, Member
from tieline.console.names import Thing
from tieline.console.words import QUEUES, THINGS, spoken
from tieline.console.words import reason as reason_words
from tieline.console.workbook import Column, Kind, Sheet


def case_sheet(cases: Sequence[CaseSummary], *, names: Mapping[Thing, str]) -> Sheet:
    """Return a row per exception and currency."""
    return Sheet(
        name="Exceptions",
        columns=(
            Column(title="What", width=40),
            Column(title="Reason", width=28),
            Column(title="Thing to fix", width=18),
            Column(title="Called", width=36),
            Column(title="Which", width=28),
            Column(title="Legal entity"),
            Column(title="Worth", kind=Kind.AMOUNT),
            Column(title="Currency"),
            Column(title="Hours", kind=Kind.HOURS),
            Column(title="Of them unpriced", kind=Kind.HOURS),
            Column(title="Records", kind=Kind.COUNT),
            Column(title="Since", kind=Kind.INSTANT),
            Column(title="Deadline", kind=Kind.INSTANT),
            Column(title="Owner", width=20),
            Column(title="Team", width=20),
        ),
        rows=[
            (
                reason_words(each.reason, each.details),
                each.reason,
                spoken(each.thing_kind, THINGS),
                names.get((each.thing_kind, each.thing_key)),
                each.thing_key,
                each.entity_code,
                worth.amount if worth else None,
                worth.currency if worth else None,
                # Hours and records are a case's: they stand once, whatever its currencies.
                each.seconds if number == 0 else None,
                each.unpriced_seconds if number == 0 else None,
                each.members if number == 0 else None,
                each.opened_at,
                each.due_at,
                each.assigned_to,
                spoken(each.owner_queue, QUEUES),
            )
            for each in cases
            for number, worth in enumerate(each.amounts or (None,))
        ],
    )


def member_sheet(members: Sequence[Member]) -> Sheet:
    """Return a row per record that waits, or waited, for one exception."""
    return Sheet(
        name="What waits for it",
        columns=(
            Column(title="Record"),
            Column(title="Which", width=40),
            Column(title="Hours", kind=Kind.HOURS),
            Column(title="Worth", kind=Kind.AMOUNT),
            Column(title="Currency"),
            Column(title="By"),
            Column(title="Since (UTC)", kind=Kind.INSTANT),
            Column(title="Solved (UTC)", kind=Kind.INSTANT),
        ),
        rows=[
            (
                "Time entry" if each.entry_id else spoken(each.kind, {}),
                each.key,
                each.seconds,
                each.amount,
                each.currency,
                each.basis if each.amount is not None else None,
                each.joined_at,
                each.left_at,
            )
            for each in members
        ],
    )
