"""What really happened: the source's files beside the target's own journal."""

from __future__ import annotations

import json
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from tieline.proof.proving.load import RATE, LineKey
from tieline.reconciliation.model import tally

_SECONDS_PER_HOUR = 3600
_CENT = Decimal("0.01")


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """What stands in the target against what the source holds; ``waiting`` waits for a person."""

    acknowledged: int
    posted: int
    waiting: int
    lost: int
    duplicated: int
    money_difference: Decimal
    write_calls: int
    batches_stored: int
    longest_wait_seconds: int
    longest_stuck_seconds: int
    examples: Sequence[str]


@dataclass(slots=True)
class StoredLines:
    """Count what the target stored while its journal grows."""

    journal: Path
    _read: int = 0
    _count: int = 0

    def count(self) -> int:
        """Return how many lines were stored until now."""
        with self.journal.open("rb") as file:
            file.seek(self._read)
            whole = file.read().rpartition(b"\n")[0]
        self._read += len(whole)
        self._count += whole.count(b'"event": "stored"')
        return self._count


def judge_journal(
    *,
    acknowledged: Counter[LineKey],
    journal: Path,
    waiting: Counter[LineKey],
    dropped_at: Sequence[tuple[datetime, int]],
    broken_at: Sequence[datetime],
) -> Findings:
    """Compare line by line, whatever keys the lines carry.

    A line is stuck for as long as it was not stored after it was first sent, or after the last time
    that something was broken meanwhile; ``longest_wait_seconds`` forgives no break.

    A line that waits for a person is neither lost nor posted: if it stands in the target it is not
    posted either, for nobody has said so yet.
    """
    stands: dict[int, LineKey] = {}
    first_asked: dict[LineKey, datetime] = {}
    stored_at: list[datetime] = []
    breaks = sorted(broken_at)
    calls = waited = stuck = 0
    batches: set[int] = set()
    for entry in _entries(journal):
        at = datetime.fromisoformat(entry["at"])
        match entry["event"]:
            case "asked":
                calls += 1
                for words in entry["lines"]:
                    first_asked.setdefault(_key(*words), at)
            case "stored":
                key = _key(entry["person"], entry["task"], entry["date"], entry["seconds"])
                stands[entry["id"]] = key
                stored_at.append(at)
                asked_at = first_asked.pop(key, at)
                waited = max(waited, _seconds(asked_at, at))
                stuck = max(stuck, _seconds(_after_breaks(asked_at, at, breaks), at))
                batches.add(entry["batch"])
            case "voided":
                stands.pop(entry["id"], None)
            case _:
                raise ValueError(f"the journal tells of {entry['event']}, which is no event")
    found = tally(wanted=acknowledged, stands=_net(stands.values()), waiting=waiting)
    lost, duplicated = found.lost, found.duplicated
    off = sum(
        abs(count) * key[3]
        for difference in (lost, duplicated)
        for key, count in difference.items()
    )
    return Findings(
        acknowledged=sum(acknowledged.values()),
        posted=sum(found.posted.values()),
        waiting=sum(waiting.values()),
        lost=sum(lost.values()),
        duplicated=sum(duplicated.values()),
        money_difference=(RATE * off / _SECONDS_PER_HOUR).quantize(_CENT),
        write_calls=calls,
        batches_stored=len(batches),
        longest_wait_seconds=max(waited, _longest_rest(stored_at, dropped_at, [])),
        longest_stuck_seconds=max(stuck, _longest_rest(stored_at, dropped_at, breaks)),
        examples=[
            *(f"lost: {key}" for key in sorted(lost)[:10]),
            *(f"duplicated: {key}" for key in sorted(duplicated)[:10]),
        ],
    )


def _net(lines: Iterable[LineKey]) -> Counter[LineKey]:
    """Let each line below zero take one of the same length with it."""
    stands = Counter(lines)
    against = {key: count for key, count in stands.items() if key[3] < 0}
    for (person, task, day, seconds), count in against.items():
        taken_back = (person, task, day, -seconds)
        pairs = min(count, stands[taken_back])
        stands[taken_back] -= pairs
        stands[person, task, day, seconds] -= pairs
    return +stands


def _after_breaks(begin: datetime, end: datetime, breaks: Sequence[datetime]) -> datetime:
    """Return when the last break before the end was, or the beginning if that is later."""
    before = bisect_right(breaks, end)
    return max(begin, breaks[before - 1]) if before else begin


def _longest_rest(
    stored_at: Sequence[datetime],
    dropped_at: Sequence[tuple[datetime, int]],
    breaks: Sequence[datetime],
) -> int:
    """Return how long at most nothing was stored while something the source had given was missing."""
    longest = 0
    given = 0
    stored = 0
    events = sorted([(at, 0, total) for at, total in dropped_at] + [(at, 1, 1) for at in stored_at])
    waiting_since: datetime | None = None
    for at, is_stored, number in events:
        if waiting_since is not None and is_stored:
            longest = max(longest, _seconds(_after_breaks(waiting_since, at, breaks), at))
        if is_stored:
            stored += number
        else:
            given = number
        if stored >= given:
            waiting_since = None
        elif is_stored or waiting_since is None:
            waiting_since = at
    return longest


def _seconds(begin: datetime, end: datetime) -> int:
    return round((end - begin).total_seconds())


def _key(person: str, task: str, work_date: str, seconds: int) -> LineKey:
    return (person, task, work_date, seconds)


def _entries(journal: Path) -> Iterator[Mapping[str, Any]]:
    with journal.open(encoding="utf-8") as file:
        for line in file:
            yield json.loads(line)
