"""A seeded plan of what goes wrong: which request, in which way, how often."""

from __future__ import annotations

import json
import random
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

from tieline.sandbox.wire import Request


class FaultKind(StrEnum):
    """Name what the client sees and what the vendor has done meanwhile."""

    REFUSE_503_BEFORE = "refuse_503_before"
    RATE_LIMIT_429 = "rate_limit_429"
    ANSWER_LOST = "answer_lost"
    LATE_COMMIT = "late_commit"
    TRUNCATED_BODY = "truncated_body"
    STALE_READ = "stale_read"
    DUPLICATE_PAGE = "duplicate_page"
    SKIPPED_PAGE = "skipped_page"
    SLOW = "slow"
    TOKEN_EXPIRED = "token_expired"
    HTML_PAGE = "html_page"
    WRONG_TYPE = "wrong_type"
    SKEWED_CLOCK = "skewed_clock"
    DRIFTED = "drifted"


class FaultPlanError(ValueError):
    """The plan cannot be followed; the sentence says which rule and why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultRule:
    """Select requests and say what happens to them.

    With ``occurrences`` the n-th matching requests are hit (or the next one that can be);
    without, each matching request is hit with ``probability``, at most ``count_max`` times.
    """

    name: str
    kind: FaultKind
    method: str | None
    path: re.Pattern[str]
    body: re.Pattern[str]
    occurrences: tuple[int, ...]
    probability: float
    count_max: int | None
    is_armed: bool
    delay_ms: int
    hold_ms: int
    retry_after_seconds: int
    keep_bytes: int

    def selects(self, request: Request) -> bool:
        """Tell whether the request is one of those the rule is about."""
        if self.method is not None and request.method != self.method:
            return False
        if not self.path.search(request.target):
            return False
        return bool(self.body.search(request.body.decode("utf-8", "replace")))


@dataclass(slots=True, kw_only=True)
class _Course:
    rule: FaultRule
    random: random.Random
    pending: list[int]
    is_armed: bool
    matched: int = 0
    injected: int = 0

    def is_due(self) -> bool:
        if self.rule.count_max is not None and self.injected >= self.rule.count_max:
            return False
        if self.rule.occurrences:
            return bool(self.pending) and self.matched >= self.pending[0]
        return self.random.random() < self.rule.probability


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """Hold one fault for one request until it was injected or proved impossible."""

    rule: FaultRule
    occurrence: int


class FaultInjector:
    """Follow a plan over a run and keep the journal of every injected fault."""

    def __init__(self, *, name: str, plan: Mapping[str, Any], log: Path | None) -> None:
        self._name = name
        self._seed = plan.get("seed", 0)
        self._log = log
        self._courses: dict[str, _Course] = {}
        self._counts: Counter[str] = Counter(_counted(log))
        self.add(plan.get("rules", []))

    def add(self, rules: Sequence[Mapping[str, Any]]) -> None:
        """Take more rules; a name that exists is replaced and starts anew."""
        for raw in rules:
            rule = _rule(raw, name=str(raw.get("name", f"rule-{len(self._courses) + 1}")))
            self._courses[rule.name] = _Course(
                rule=rule,
                random=random.Random(f"{self._seed}:{self._name}:{rule.name}"),
                pending=sorted(rule.occurrences),
                is_armed=rule.is_armed,
            )

    def arm(self, names: Sequence[str], *, is_armed: bool) -> None:
        """Switch rules on or off by name.

        :raises FaultPlanError: a name is unknown.
        """
        unknown = [name for name in names if name not in self._courses]
        if unknown:
            raise FaultPlanError(f"{self._name} has no fault rule named {', '.join(unknown)}")
        for name in names:
            self._courses[name].is_armed = is_armed

    def claim(self, request: Request) -> Claim | None:
        """Return the first fault that is due for this request."""
        claim = None
        for course in self._courses.values():
            if not course.is_armed or not course.rule.selects(request):
                continue
            course.matched += 1
            if claim is None and course.is_due():
                course.injected += 1
                occurrence = course.pending.pop(0) if course.pending else course.matched
                claim = Claim(rule=course.rule, occurrence=occurrence)
        return claim

    def give_back(self, claim: Claim) -> None:
        """Return a fault that could not be injected, such as a stale read without an earlier one."""
        course = self._courses[claim.rule.name]
        course.injected -= 1
        if claim.rule.occurrences:
            course.pending.insert(0, claim.occurrence)

    def injected(self, claim: Claim, request: Request, **details: object) -> None:
        """Count the fault and write it to the journal."""
        self._counts[claim.rule.kind] += 1
        self.note("fault", claim, request, **details)

    def note(self, event: str, claim: Claim, request: Request, **details: object) -> None:
        """Write one line about a fault to the journal without counting it."""
        if self._log is None:
            return
        line = {
            "event": event,
            "at": datetime.now(UTC).isoformat(),
            "front": self._name,
            "rule": claim.rule.name,
            "kind": claim.rule.kind.value,
            "occurrence": claim.occurrence,
            "method": request.method,
            "path": request.path,
            "body_bytes": len(request.body),
            **details,
        }
        with self._log.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")

    def counts(self) -> dict[str, int]:
        """Return how many faults of each kind were injected."""
        return dict(sorted(self._counts.items()))

    def rules(self) -> list[dict[str, object]]:
        """Return each rule's state for a person to read."""
        return [
            {
                "name": name,
                "kind": course.rule.kind.value,
                "armed": course.is_armed,
                "matched": course.matched,
                "injected": course.injected,
            }
            for name, course in self._courses.items()
        ]

    def remembers(self, request: Request) -> bool:
        """Tell whether an answer may be replayed later: a GET, or what a stale_read rule selects."""
        if request.method == "GET":
            return True
        return any(
            course.rule.kind is FaultKind.STALE_READ and course.rule.selects(request)
            for course in self._courses.values()
        )


def _counted(log: Path | None) -> Counter[str]:
    if log is None or not log.exists():
        return Counter()
    lines = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
    return Counter(line["kind"] for line in lines if line["event"] == "fault")


_KNOWN = frozenset(
    {"name", "kind", "method", "path", "body", "occurrences", "probability", "max_count", "armed"}
    | {"delay_ms", "hold_ms", "retry_after_seconds", "keep_bytes"}
)


def _rule(raw: Mapping[str, Any], *, name: str) -> FaultRule:
    unknown = sorted(set(raw) - _KNOWN)
    if unknown:
        raise FaultPlanError(f"fault rule {name} has unknown words: {', '.join(unknown)}")
    try:
        return FaultRule(
            name=name,
            kind=FaultKind(raw["kind"]),
            method=raw.get("method"),
            path=re.compile(raw.get("path", "")),
            body=re.compile(raw.get("body", "")),
            occurrences=tuple(int(number) for number in raw.get("occurrences", ())),
            probability=float(raw.get("probability", 1)),
            count_max=raw.get("max_count"),
            is_armed=bool(raw.get("armed", True)),
            delay_ms=int(raw.get("delay_ms", 1_500)),
            hold_ms=int(raw.get("hold_ms", 250)),
            retry_after_seconds=int(raw.get("retry_after_seconds", 1)),
            keep_bytes=int(raw.get("keep_bytes", 20)),
        )
    except (KeyError, ValueError, re.error) as error:
        raise FaultPlanError(f"fault rule {name} cannot be read: {error}") from error
