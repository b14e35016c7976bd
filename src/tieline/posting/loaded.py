"""Which lines of a file stand in the target, by key and by content; pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

from tieline.canonical import TimeLineCommand
from tieline.sdk import StoredLine

_Content = tuple[tuple[str, Any], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """What was found of some lines; each is in exactly one of the four.

    ``by_content`` are the keys that were recognized by nothing else.
    """

    same: Mapping[UUID, StoredLine]
    differing: Mapping[UUID, StoredLine]
    doubled: Mapping[UUID, tuple[StoredLine, ...]]
    absent: frozenset[UUID]
    by_content: frozenset[UUID]


def match_loaded(*, lines: Sequence[TimeLineCommand], found: Sequence[StoredLine]) -> Loaded:
    """Tell of each line whether it stands once, otherwise, more than once or not at all.

    Lines of one content are as good as each other: so many of them stand as there are without a
    key. One more than was given out makes the first of them stand twice.
    """
    by_key: dict[UUID, list[StoredLine]] = {}
    for stored in found:
        if stored.business_key is not None:
            by_key.setdefault(stored.business_key, []).append(stored)
    by_content = _recognized(
        [line for line in lines if line.business_key not in by_key],
        [stored for stored in found if stored.business_key is None],
    )
    standing = {line.business_key: by_key.get(line.business_key, []) for line in lines}
    standing |= by_content
    asked = {line.business_key: line.content() for line in lines}
    single = {key: stored[0] for key, stored in standing.items() if len(stored) == 1}
    same = {key: line for key, line in single.items() if dict(line.content()) == asked[key]}
    return Loaded(
        same=same,
        differing={key: line for key, line in single.items() if key not in same},
        doubled={key: tuple(stored) for key, stored in standing.items() if len(stored) > 1},
        absent=frozenset(key for key, stored in standing.items() if not stored),
        by_content=frozenset(by_content),
    )


def _recognized(
    lines: Sequence[TimeLineCommand], found: Sequence[StoredLine]
) -> dict[UUID, list[StoredLine]]:
    free: dict[_Content, list[StoredLine]] = {}
    for stored in sorted(found, key=lambda each: (len(each.target_code), each.target_code)):
        free.setdefault(_word(stored.content().items()), []).append(stored)
    known: dict[UUID, list[StoredLine]] = {}
    by_content: dict[_Content, list[UUID]] = {}
    for line in lines:
        by_content.setdefault(_word(line.content().items()), []).append(line.business_key)
    for word, keys in by_content.items():
        candidates = free.get(word, [])
        taken = dict(zip(keys, candidates, strict=False))
        known |= {key: [replace(stored, business_key=key)] for key, stored in taken.items()}
        beyond = candidates[len(keys) :]
        if beyond:
            known[keys[0]] += [replace(stored, business_key=keys[0]) for stored in beyond]
    return known


def _word(items: Iterable[tuple[str, Any]]) -> _Content:
    return tuple(sorted(items))
