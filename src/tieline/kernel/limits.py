"""What a vendor allows: calls in any window, a quota of a day or an hour, a bucket, calls at once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

_CALLS_MAX = 100_000_000
_AT_ONCE_MAX = 200
_WINDOW_SECONDS_MAX = 7 * 86_400
_HOURS, _MINUTES, _SECONDS_OF_MINUTE = 24, 60, 60


class LimitKind(StrEnum):
    """Name how a vendor counts."""

    WINDOW = "window"
    QUOTA = "quota"
    BUCKET = "bucket"
    CONCURRENT = "concurrent"


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """One limit of one account, with the source of its figure.

    ``window``: so many calls in any ``window_seconds``. ``bucket``: it holds so many calls and fills
    from empty in ``window_seconds``. ``quota``: so many calls ``every`` day or hour, counted anew at
    ``resets_seconds`` after midnight of ``zone`` (an hourly one at the full hour). ``concurrent``: so
    many calls at once. The headers are those in which the vendor itself says what is allowed and left.
    """

    name: str
    kind: LimitKind
    calls: int
    source: str
    window_seconds: int = 0
    every: str = ""
    resets_seconds: int = 0
    zone: str = "UTC"
    limit_header: str = ""
    remaining_header: str = ""

    def as_words(self) -> Mapping[str, Any]:
        """Return the limit as a manifest writes it."""
        words: dict[str, Any] = {
            "kind": self.kind.value,
            "calls": self.calls,
            "source": self.source,
        }
        if self.window_seconds:
            words["window_seconds"] = self.window_seconds
        if self.every:
            minutes = self.resets_seconds // _SECONDS_OF_MINUTE
            words["every"] = self.every
            words["resets_at"] = f"{minutes // _MINUTES:02}:{minutes % _MINUTES:02}"
            words["zone"] = self.zone
        words |= {
            name: header
            for name, header in (
                ("limit_header", self.limit_header),
                ("remaining_header", self.remaining_header),
            )
            if header
        }
        return words


# What a limit of each kind says, beside its kind, calls and source.
_WORDS: Mapping[LimitKind, frozenset[str]] = {
    LimitKind.WINDOW: frozenset({"window_seconds"}),
    LimitKind.BUCKET: frozenset({"window_seconds"}),
    LimitKind.QUOTA: frozenset({"every"}),
    LimitKind.CONCURRENT: frozenset(),
}
_MAY: Mapping[LimitKind, frozenset[str]] = {
    LimitKind.WINDOW: frozenset({"limit_header", "remaining_header"}),
    LimitKind.BUCKET: frozenset({"limit_header", "remaining_header"}),
    LimitKind.QUOTA: frozenset({"resets_at", "zone", "limit_header", "remaining_header"}),
    LimitKind.CONCURRENT: frozenset(),
}


def read_limits(
    declared: Mapping[str, Mapping[str, Any]], *, changed: Mapping[str, Any] | None = None
) -> tuple[Limit, ...]:
    """Understand the limits of a manifest, with what a connection says otherwise of its own account.

    :raises ValueError: a word is missing, unknown or of another kind than it must be.
    """
    own = changed or {}
    if not all(isinstance(each, Mapping) for each in own.values()):
        raise ValueError("limits are tables [limits.NAME]")
    names = [*declared, *(name for name in own if name not in declared)]
    return tuple(_limit(name, {**declared.get(name, {}), **own.get(name, {})}) for name in names)


def _limit(name: str, words: Mapping[str, Any]) -> Limit:
    try:
        kind = LimitKind(words.get("kind", ""))
    except ValueError as error:
        kinds = ", ".join(LimitKind)
        raise ValueError(f"the limit {name} is of a kind: {kinds}") from error
    must = _WORDS[kind] | {"kind", "calls", "source"}
    if not must <= set(words) or not set(words) <= must | _MAY[kind]:
        may = ", ".join(sorted(_MAY[kind]))
        raise ValueError(
            f"the limit {name} says {', '.join(sorted(must))}{' and may say ' if may else ''}{may}"
        )
    return Limit(
        name=name,
        kind=kind,
        calls=_whole(
            name, words, "calls", most=_AT_ONCE_MAX if kind is LimitKind.CONCURRENT else _CALLS_MAX
        ),
        source=_text(name, words, "source"),
        window_seconds=_whole(name, words, "window_seconds", most=_WINDOW_SECONDS_MAX)
        if "window_seconds" in words
        else 0,
        every=_every(name, words),
        resets_seconds=_seconds_of_day(name, words.get("resets_at", "00:00")),
        zone=_zone(name, words.get("zone", "UTC")),
        limit_header=str(words.get("limit_header", "")).lower(),
        remaining_header=str(words.get("remaining_header", "")).lower(),
    )


def _whole(name: str, words: Mapping[str, Any], word: str, *, most: int) -> int:
    value = words[word]
    if type(value) is not int or not 1 <= value <= most:
        raise ValueError(f"{word} of the limit {name} is a whole number from 1 to {most}")
    return value


def _text(name: str, words: Mapping[str, Any], word: str) -> str:
    value = words[word]
    if not isinstance(value, str) or not value.strip():
        raise ValueError(f"{word} of the limit {name} says where its figure is from")
    return value


def _every(name: str, words: Mapping[str, Any]) -> str:
    every = words.get("every", "")
    if every not in ("", "day", "hour"):
        raise ValueError(f"the limit {name} is counted every day or hour")
    return str(every)


def _seconds_of_day(name: str, text: object) -> int:
    hours, _, minutes = str(text).partition(":")
    if not (hours.isdecimal() and minutes.isdecimal()) or not (
        int(hours) < _HOURS and int(minutes) < _MINUTES
    ):
        raise ValueError(f"resets_at of the limit {name} is a time such as 00:00")
    return (int(hours) * _MINUTES + int(minutes)) * _SECONDS_OF_MINUTE


def _zone(name: str, zone: object) -> str:
    try:
        ZoneInfo(str(zone))
    except (ZoneInfoNotFoundError, ValueError) as error:
        raise ValueError(f"zone of the limit {name} is one such as Europe/Berlin") from error
    return str(zone)
