"""Find the pairs worth comparing, without comparing everybody with everybody."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol
from zlib import crc32

import numpy as np
from numpy.typing import NDArray
from rapidfuzz import process
from rapidfuzz.distance import Indel

from tieline.register.likeness.records import EMPTY, Records, Words

Numbers = NDArray[np.int64]
Floats = NDArray[np.float64]


class Spread(Protocol):
    def __call__(
        self, work: Callable[[range], Numbers], turns: Iterator[range]
    ) -> Iterable[Numbers]:
        """Do turns, beside each other where there are many."""
        ...


BLOCK_MAX = 60
SMALL_RECORDS = 30_000
SMALL_BLOCK_MAX = 200
# More pairs than these are glanced at before they are compared, however few records they are of.
MAYBE_MAX = 2_000_000
RARE_WORDS = 4
NEIGHBORS_MAX = 10
_NEAREST_A_TURN = 5_000
_LETTERS_MIN = 0.2
_GLANCED_AT_ONCE = 200_000
_GLANCE_MIN = 0.55
_HANDFUL = 6
NEIGHBORS_OF_MANY_MAX = 3
GRAM = 3
GRAMS_MAX = 40
POSTINGS_MAX = 2_000
POSTINGS_OF_MANY_MAX = 120


def find_pairs(records: Records, *, spread: Spread | None = None) -> tuple[Numbers, Numbers]:
    """Return the pairs that share a telling key, or most of the letters of a name."""
    count = len(records)
    sure = _together(
        [_pairs_of_blocks(keys, owners, count) for keys, owners in _telling_keys(records)]
    )
    words = _key_family(records, _word_keys)
    # A word that a handful has is telling by itself, whatever else stands in the names.
    sure = _together([sure, _pairs_of_blocks(*words, count, limit=_HANDFUL)])
    maybe = _together(
        [
            _pairs_of_blocks(*words, count),
            *(_pairs_of_blocks(keys, owners, count) for keys, owners in _placed_keys(records)),
            *_nearest_by_letters(records, spread),
        ]
    )
    if count > SMALL_RECORDS or len(maybe) > MAYBE_MAX:
        maybe = np.setdiff1d(maybe, sure, assume_unique=True)
        maybe = maybe[_names_may_be_alike(records, maybe)]
    found = _together([sure, maybe])
    return found // count, found % count


def _together(codes: list[Numbers]) -> Numbers:
    return np.unique(np.concatenate(codes)) if codes else np.empty(0, dtype=np.int64)


def _names_may_be_alike(records: Records, codes: Numbers) -> NDArray[np.bool_]:
    """Say of each pair whether its names have so much in common that a closer look is worth it."""
    count, texts = len(records), records.texts["ordered"].texts
    numbers = np.frombuffer(records.columns["ordered"], dtype=np.int32)
    kept = np.empty(len(codes), dtype=np.bool_)
    for start in range(0, len(codes), _GLANCED_AT_ONCE):
        turn = codes[start : start + _GLANCED_AT_ONCE]
        ours, theirs = numbers[turn // count], numbers[turn % count]
        alike = process.cpdist(
            [texts[number] for number in ours.tolist()],
            [texts[number] for number in theirs.tolist()],
            scorer=Indel.normalized_similarity,
            workers=-1,
            dtype=np.float32,
        )
        unnamed = (ours == EMPTY) | (theirs == EMPTY)
        kept[start : start + len(turn)] = (alike >= _GLANCE_MIN) | unnamed
    return kept


def _pairs_of_blocks(
    keys: Numbers, owners: Numbers, count: int, *, limit: int | None = None
) -> Numbers:
    """Pair all records with one key; a key that too many have is passed over."""
    limit = limit or (SMALL_BLOCK_MAX if count <= SMALL_RECORDS else BLOCK_MAX)
    if not len(keys):
        return np.empty(0, dtype=np.int64)
    order = np.argsort(keys, kind="stable")
    keys, owners = keys[order], owners[order]
    bounds = np.flatnonzero(np.diff(keys, prepend=keys[:1] - 1, append=keys[-1:] + 1))
    sizes = np.diff(bounds)
    starts = bounds[:-1]
    parts = []
    fitting = (sizes >= 2) & (sizes <= limit)
    for step in range(1, int(sizes[fitting].max(initial=1))):
        # All blocks at once: every member with the one that stands `step` places further on.
        chosen = fitting & (sizes > step)
        lengths = sizes[chosen] - step
        begins = np.repeat(starts[chosen], lengths) + _ranges(lengths)
        one, other = owners[begins], owners[begins + step]
        kept = one != other
        low, high = np.minimum(one[kept], other[kept]), np.maximum(one[kept], other[kept])
        parts.append(np.unique(low * count + high))
    return np.unique(np.concatenate(parts)) if parts else np.empty(0, dtype=np.int64)


def _ranges(lengths: Numbers) -> Numbers:
    ends = np.cumsum(lengths)
    return np.arange(ends[-1] if len(ends) else 0, dtype=np.int64) - np.repeat(
        ends - lengths, lengths
    )


# -- keys ------------------------------------------------------------------------------------------


def _telling_keys(records: Records) -> Iterator[tuple[Numbers, Numbers]]:
    for column in ("tax", "phone", "domain", "mailbox", "sounds"):
        yield _column_keys(records, column)
    yield _key_family(records, _name_keys)


def _placed_keys(records: Records) -> Iterator[tuple[Numbers, Numbers]]:
    yield _key_family(records, _place_keys)
    yield _key_family(records, _address_keys)


def _column_keys(records: Records, column: str) -> tuple[Numbers, Numbers]:
    values = np.frombuffer(records.columns[column], dtype=np.int32).astype(np.int64)
    owners = np.flatnonzero(values != EMPTY)
    return values[owners], owners


def _key_family(
    records: Records, keys_of: Callable[[Records, int], list[int]]
) -> tuple[Numbers, Numbers]:
    keys, owners = array("q"), array("q")
    for record in range(len(records)):
        found = keys_of(records, record)
        keys.extend(found)
        owners.extend([record] * len(found))
    return np.frombuffer(keys, dtype=np.int64), np.frombuffer(owners, dtype=np.int64)


def _rare_words(words: Words, record: int) -> list[int]:
    bits = words.bits
    return sorted(set(words.of(record)), key=lambda number: (-bits[number], number))[:RARE_WORDS]


def _name_keys(records: Records, record: int) -> list[int]:
    rare = sorted(_rare_words(records.name, record))
    return [(one << 32) + other for place, one in enumerate(rare) for other in rare[place + 1 :]]


def _word_keys(records: Records, record: int) -> list[int]:
    return _rare_words(records.name, record)


def _place_keys(records: Records, record: int) -> list[int]:
    texts = records.name.vocabulary.texts
    rare = [texts[number] for number in _rare_words(records.name, record)]
    letters = "".join(records.words(record))
    keys = []
    for column in ("city", "postal", "country", "phone"):
        value = records.columns[column][record]
        if value == EMPTY:
            continue
        keys += [_hash(column, value, word) for word in rare]
        if rare:
            keys.append(_hash(column + "^", value, letters[:4]))
            keys.append(_hash(column + "$", value, letters[-4:]))
    return keys


def _address_keys(records: Records, record: int) -> list[int]:
    texts = records.address.vocabulary.texts
    rare = _rare_words(records.address, record)
    keys = [
        _hash("a", min(one, other), str(max(one, other)))
        for place, one in enumerate(rare)
        for other in rare[place + 1 :]
    ]
    for column in ("city", "postal"):
        value = records.columns[column][record]
        if value != EMPTY:
            keys += [_hash("a" + column, value, texts[number]) for number in rare]
    return keys


def _hash(kind: str, value: int, text: str) -> int:
    return (crc32(f"{kind}{value}".encode()) << 31) ^ crc32(text.encode(), value)


# -- letters ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class _Letters:
    """Which records have which group of letters, and what each group tells."""

    flat: Numbers
    starts: Numbers
    owners: Numbers
    begins: Numbers
    sizes: Numbers
    weights: Floats
    norms: Floats
    useful: NDArray[np.bool_]
    nearest: int


_letters: _Letters | None = None


def _nearest_by_letters(records: Records, spread: Spread | None) -> list[Numbers]:
    """Pair every record with those that share most of the rare letter groups of its name."""
    global _letters
    count = len(records)
    is_small = count <= SMALL_RECORDS
    flat, starts = _grams(records)
    if not len(flat):
        return []
    records_of = np.repeat(np.arange(count), np.diff(starts))
    sizes = np.bincount(flat)
    weights = np.log((count + 1) / (sizes + 0.5)) ** 2
    _letters = _Letters(
        flat=flat,
        starts=starts,
        owners=records_of[np.argsort(flat, kind="stable")],
        begins=np.concatenate(([0], np.cumsum(sizes))),
        sizes=sizes,
        weights=weights,
        norms=np.sqrt(np.bincount(records_of, weights[flat], count)) + 1e-9,
        useful=(sizes > 1) & (sizes <= (POSTINGS_MAX if is_small else POSTINGS_OF_MANY_MAX)),
        nearest=NEIGHBORS_MAX if is_small else NEIGHBORS_OF_MANY_MAX,
    )
    turns = (
        range(start, min(count, start + _NEAREST_A_TURN))
        for start in range(0, count, _NEAREST_A_TURN)
    )
    return list(map(_nearest_of, turns) if spread is None else spread(_nearest_of, turns))


def _nearest_of(turn: range) -> Numbers:
    assert _letters is not None
    known, count = _letters, len(_letters.norms)
    found = [np.empty(0, dtype=np.int64)]
    for record in turn:
        grams = known.flat[known.starts[record] : known.starts[record + 1]]
        grams = grams[known.useful[grams]]
        if not len(grams):
            continue
        begins = known.begins
        others = np.concatenate([known.owners[begins[gram] : begins[gram + 1]] for gram in grams])
        unique, inverse = np.unique(others, return_inverse=True)
        shares = np.bincount(inverse, np.repeat(known.weights[grams], known.sizes[grams]))
        scores = shares / known.norms[unique] / known.norms[record]
        chosen = (scores >= _LETTERS_MIN) & (unique != record)
        unique, scores = unique[chosen], scores[chosen]
        if len(unique) > known.nearest:
            unique = unique[np.argpartition(scores, -known.nearest)[-known.nearest :]]
        found.append(np.minimum(unique, record) * count + np.maximum(unique, record))
    return np.unique(np.concatenate(found))


def _grams(records: Records) -> tuple[Numbers, Numbers]:
    numbers: dict[str, int] = {}
    flat, starts = array("q"), array("q", [0])
    for record in range(len(records)):
        letters = f" {' '.join(records.words(record))} "
        groups = {letters[at : at + GRAM] for at in range(max(0, len(letters) - GRAM + 1))}
        flat.extend(
            [numbers.setdefault(group, len(numbers)) for group in sorted(groups)[:GRAMS_MAX]]
        )
        starts.append(len(flat))
    return np.frombuffer(flat, dtype=np.int64), np.frombuffer(starts, dtype=np.int64)
