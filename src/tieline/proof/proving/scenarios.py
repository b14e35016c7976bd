"""Three bad hours with a goal each: a backlog before a cut-off, a storm of refusals, an outage."""

from __future__ import annotations

import resource
from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from itertools import accumulate, pairwise
from random import Random
from time import monotonic
from typing import Any

from tieline.kernel.limits import Limit, LimitKind
from tieline.proof.processes import interrupted_by_signals
from tieline.proof.proving.hours import (
    BEGAN,
    KIND,
    TARGET,
    Asked,
    Hours,
    Mood,
    SteppedTime,
    Vendor,
)
from tieline.proof.proving.world import proof_directory
from tieline.proof.supervising import alone, fresh, refuse_a_home_in_use, tell
from tieline.proof.town import fresh_database
from tieline.runtime.database import Database
from tieline.runtime.work import BILLING, CUT_OFF, REFERENCE, schedule
from tieline.settings import Settings

_SLOTS = 18
_CUT_OFF = timedelta(minutes=15)
_TURNING = timedelta(seconds=2)
_STORM_PERCENT = 30
_STORM_SECONDS = (20, 90)
_AMPLIFICATION_MAX_PERCENT = 120
_SCOPES = 12
_BLIP = timedelta(minutes=5)
_PROBE_SECONDS = 30
_EASED_PERCENT = 80
_LINES_PER_CALL = 20
_OUTAGE_CALLS, _OUTAGE_WINDOW_SECONDS = 10, 10
_MEMORY_KIB_MAX = 50 * 1024
_ADD_ITEMS = """
    INSERT INTO work_item (kind, subject, work_class, due_at, deadline, value_at_risk, correlation_id)
    SELECT %(kind)s, %(name)s || n, %(work_class)s, %(at)s, %(deadline)s, n %% 1000, 'hours'
    FROM generate_series(1, %(items)s) n
"""

Figures = Mapping[str, Any]


def backlog(
    database: Database,
    *,
    low_items: int = 200_000,
    due_items: int = 5000,
    calls_per_second: int = 50,
    seed: int = 0,
) -> Figures:
    """Let what is due in a quarter of an hour stand behind a backlog."""
    time = SteppedTime()
    vendor = Vendor(time=time, mood_at=lambda _: Mood.WELL)
    hours = Hours(database=database, vendor=vendor, limit=_rate(calls_per_second, 1), slots=_SLOTS)
    cut_off_at = BEGAN + _CUT_OFF
    _add_items(database, "low-", low_items, REFERENCE, None)
    # The backlog has had its way for a while when what is due comes in.
    hours.run(until=lambda: False, at_most=timedelta(seconds=10))
    before = len(vendor.asked)
    _add_items(database, "due-", due_items, CUT_OFF, cut_off_at)
    done = 0

    def is_through() -> bool:
        nonlocal done, before
        done += sum(each.work_class == CUT_OFF for each in vendor.asked[before:])
        before = len(vendor.asked)
        return done >= due_items

    came_at = time.at
    hours.run(until=is_through, at_most=_CUT_OFF)
    due = [each for each in vendor.asked if each.work_class == CUT_OFF]
    # What the backlog took while it was alone counts for it until that window has passed.
    beside = [each for each in vendor.asked if each.let_go_at >= came_at + _TURNING]
    low = sum(each.work_class != CUT_OFF for each in beside)
    low_percent = 100 * low // max(1, len(beside))
    in_time = sum(each.at <= cut_off_at for each in due)
    return _told(
        {
            "low_items": low_items,
            "due_items": due_items,
            "due_in_time": in_time,
            "seconds_until_due_were_through": _seconds(came_at, max(each.at for each in due)),
            "low_percent_meanwhile": low_percent,
            "calls_in_a_second_max": _most_within(vendor.asked, 1),
        },
        (in_time == due_items, "not all that was due is through in time"),
        (low_percent >= 10, "the backlog got less than a tenth"),
        (_most_within(vendor.asked, 1) <= calls_per_second, "more calls than the vendor allows"),
    )


def storm(
    database: Database, *, minutes: int = 60, calls_per_second: int = 5, seed: int = 0
) -> Figures:
    """Refuse every call in windows that cover 30 % of an hour, with a wait in every form."""
    time = SteppedTime()
    windows = _windows(minutes * 60, Random(f"storm:{seed}"))

    def rest_of_window(at: datetime) -> int:
        return next((_seconds(at, ends) for begins, ends in windows if begins <= at < ends), 0)

    vendor = Vendor(
        time=time,
        mood_at=lambda at: Mood.BUSY if rest_of_window(at) > 0 else Mood.WELL,
        wait_at=lambda at: max(2, rest_of_window(at) // 2),
    )
    hours = Hours(database=database, vendor=vendor, limit=_rate(calls_per_second, 1), slots=_SLOTS)
    for number in range(1, _SCOPES + 1):
        hours.lines[f"{TARGET}|{number}"] = minutes * 60 * calls_per_second
    _add_items(database, f"{TARGET}|", _SCOPES, BILLING, None)
    hours.run(until=lambda: False, at_most=timedelta(minutes=minutes))
    successes = sum(each.mood is Mood.WELL for each in vendor.asked)
    too_early = _too_early(vendor.asked)
    percent = 100 * len(vendor.asked) // max(1, successes)
    return _told(
        {
            "minutes": minutes,
            "refusing_seconds": sum(_seconds(begins, ends) for begins, ends in windows),
            "windows": len(windows),
            "calls": len(vendor.asked),
            "succeeded": successes,
            "calls_per_100_successes": percent,
            "called_before_the_wait_was_over": too_early,
        },
        (percent <= _AMPLIFICATION_MAX_PERCENT, "more than 1.2 calls for each success"),
        (too_early == 0, "a wait that was asked for was not honored"),
    )


def outage(
    database: Database, *, minutes: int = 360, lines_per_minute: int = 60, seed: int = 0
) -> Figures:
    """Let the target be away for hours while lines go on coming, and drain what has gathered."""
    time = SteppedTime()
    away_from, back_at = BEGAN + timedelta(minutes=2), BEGAN + timedelta(minutes=2 + minutes)
    vendor = Vendor(
        time=time, mood_at=lambda at: Mood.AWAY if away_from <= at < back_at else Mood.WELL
    )
    fleet = Hours(
        database=database,
        vendor=vendor,
        limit=_rate(_OUTAGE_CALLS, _OUTAGE_WINDOW_SECONDS),
        slots=_SLOTS,
        lines_per_call=_LINES_PER_CALL,
    )
    come = _let_come(database, fleet, per_minute=lines_per_minute, until=back_at)
    fleet.run(until=lambda: time.at >= away_from, at_most=timedelta(hours=1))
    memory = _memory_kib()
    fleet.run(until=lambda: time.at >= back_at, at_most=timedelta(minutes=minutes + 60))
    memory = _memory_kib() - memory
    gathered = sum(fleet.lines.values())
    fleet.run(until=lambda: not +fleet.lines, at_most=timedelta(minutes=2 * minutes + 60))
    taken = sum(each.lines for each in vendor.asked if each.mood is Mood.WELL)
    probes = [each.at for each in vendor.asked if each.mood is Mood.AWAY]
    open_probes = [at for at in probes if at >= away_from + _BLIP]
    gaps = [_seconds(one, other) for one, other in pairwise(open_probes)]
    drain = [each for each in vendor.asked if each.at >= back_at]
    drained_percent = 100 * _most_within(drain, _OUTAGE_WINDOW_SECONDS) // _OUTAGE_CALLS
    return _told(
        {
            "minutes_away": minutes,
            "lines_came": come[0],
            "lines_taken": taken,
            "lines_gathered": gathered,
            "calls_while_away": len(probes),
            "shortest_gap_after_five_minutes": min(gaps, default=0),
            "seconds_to_drain": _seconds(back_at, time.at),
            "drain_percent_of_the_limit": drained_percent,
            "memory_grew_kib": memory,
        },
        (taken == come[0], "lines were lost or sent twice"),
        (len(probes) * _PROBE_SECONDS <= minutes * 60, "more than a probe in 30 s on average"),
        (min(gaps, default=_PROBE_SECONDS) >= _PROBE_SECONDS, "two probes within 30 s"),
        (drained_percent <= _EASED_PERCENT, "the drain took more than 80 % of the limit"),
        (memory <= _MEMORY_KIB_MAX, "memory grew"),
    )


SCENARIOS: Mapping[str, Callable[..., Figures]] = {
    "backlog": backlog,
    "storm": storm,
    "outage": outage,
}


def run_scenario(*, name: str, seed: int, settings: Settings) -> Figures:
    """Run one scenario on a database of its own and return its figures.

    :raises UserMistake: the home is not a proof's to empty.
    """
    directory = proof_directory(settings)
    refuse_a_home_in_use(settings, made_up_in=directory, what="proof", found="an installation")
    settings = fresh(settings)
    directory.mkdir(parents=True, exist_ok=True)
    with interrupted_by_signals(), alone(settings.run_directory):
        cluster, dsns = fresh_database(settings=settings, progress=tell)
        database = Database(dsns.worker, application_name="tieline-proof").open()
        began = monotonic()
        try:
            figures = SCENARIOS[name](database, seed=seed)
        finally:
            database.close()
            cluster.stop()
    return {"scenario": name, "seed": seed, **figures, "real_seconds": round(monotonic() - began)}


# -- what the scenarios share ----------------------------------------------------------------------


def _rate(calls: int, window_seconds: int) -> Limit:
    return Limit(
        name="rate",
        kind=LimitKind.WINDOW,
        calls=calls,
        window_seconds=window_seconds,
        source="the scenario",
    )


def _add_items(
    database: Database, name: str, items: int, work_class: int, deadline: datetime | None
) -> None:
    with database.transaction() as connection:
        connection.execute(
            _ADD_ITEMS,
            {
                "kind": KIND,
                "name": name,
                "items": items,
                "work_class": work_class,
                "at": BEGAN,
                "deadline": deadline,
            },
        )


def _let_come(database: Database, fleet: Hours, *, per_minute: int, until: datetime) -> list[int]:
    """Let lines come in every minute, scope by scope; return their number, which grows."""
    come = [0]

    def minute() -> None:
        if fleet.time.at >= until:
            return
        with database.transaction() as connection:
            for number in range(1, _SCOPES + 1):
                subject = f"{TARGET}|{number}"
                fleet.lines[subject] += per_minute // _SCOPES
                come[0] += per_minute // _SCOPES
                schedule(
                    connection,
                    kind=KIND,
                    subject=subject,
                    work_class=BILLING,
                    correlation_id="hours",
                    at=fleet.time.at,
                )
        fleet.later(60_000, minute)

    fleet.later(0, minute)
    return come


def _windows(seconds: int, random: Random) -> list[tuple[datetime, datetime]]:
    """Spread windows of refusal evenly, with lengths by chance, until they cover their share."""
    lengths: list[int] = []
    left = seconds * _STORM_PERCENT // 100
    while left > 0:
        lengths.append(min(left, random.randint(*_STORM_SECONDS)))
        left -= lengths[-1]
    pause = (seconds - sum(lengths)) // (len(lengths) + 1)
    windows, at = [], BEGAN
    for length in lengths:
        begins = at + timedelta(seconds=pause)
        at = begins + timedelta(seconds=length)
        windows.append((begins, at))
    return windows


def _too_early(asked: Sequence[Asked]) -> int:
    """Count the calls that were let go while a wait that the vendor had asked for was not over."""
    told = [each for each in asked if each.wait_seconds]
    instants = [each.at for each in told]
    ends = list(accumulate((each.at + timedelta(seconds=each.wait_seconds) for each in told), max))
    early = 0
    for each in asked:
        # What was under way when the vendor asked for a wait had been let go before.
        known = bisect_left(instants, each.let_go_at)
        early += known > 0 and each.let_go_at < ends[known - 1]
    return early


def _most_within(asked: Sequence[Asked], seconds: int) -> int:
    """Return the most calls that were let go within any so many seconds."""
    instants = sorted(each.let_go_at for each in asked)
    first, most = 0, 0
    for last, at in enumerate(instants):
        while at - instants[first] >= timedelta(seconds=seconds):
            first += 1
        most = max(most, last - first + 1)
    return most


def _seconds(since: datetime, until: datetime) -> int:
    return int((until - since).total_seconds())


def _memory_kib() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def _told(figures: Figures, *goals: tuple[bool, str]) -> Figures:
    broken = [sentence for is_held, sentence in goals if not is_held]
    return {**figures, "is_held": not broken, "broken": broken}
