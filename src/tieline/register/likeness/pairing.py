"""Find the pairs worth comparing, without comparing everybody with everybody."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from tieline.register.likeness.records import EMPTY, Records

Numbers = NDArray[np.int64]

BLOCK_MAX = 60
SMALL_RECORDS = 30_000
SMALL_BLOCK_MAX = 200
RARE_WORDS = 4
NEIGHBORS_MAX = 10
NEIGHBORS_OF_MANY_MAX = 3
GRAM = 3
GRAMS_MAX = 40
POSTINGS_MAX = 2_000
POSTINGS_OF_MANY_MAX = 120


def find_pairs(records: Records) -> tuple[Numbers, Numbers]:
    """Return the pairs that share a telling key, or most of the letters of a name."""
    count = len(records)
    codes = [_pairs_of_blocks(keys, owners, count) for keys, owners in _keys(records)]
    codes.append(_nearest_by_letters(records))
    found = np.unique(np.concatenate(codes)) if codes else np.empty(0, dtype=np.int64)
    return found // count, found % count


def _pairs_of_blocks(keys: Numbers, owners: Numbers, count: int) -> Numbers:
    """Pair all records with one key; a key that too many have is passed over."""
    limit = SMALL_BLOCK_MAX if count <= SMALL_RECORDS else BLOCK_MAX
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


def _keys(records: Records) -> Iterator[tuple[Numbers, Numbers]]:
    for column in ("tax", "phone", "domain"):
        yield _column_keys(records, column)
    yield _key_family(records, _mail_keys)
    yield _key_family(records, _name_keys)
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
    return np.array(keys, dtype=np.int64), np.array(owners, dtype=np.int64)


def _mail_keys(records: Records, record: int) -> list[int]:
    box = records.columns["mailbox"][record]
    return [box] if box != EMPTY else []


def _rare_words(records: Records, record: int) -> list[int]:
    words, bits = records.name.of(record), records.name.bits
    return sorted(set(words), key=lambda number: (-bits[number], number))[:RARE_WORDS]


def _name_keys(records: Records, record: int) -> list[int]:
    rare = sorted(_rare_words(records, record))
    keys = [(number << 32) for number in rare]
    keys += [(one << 32) + other for place, one in enumerate(rare) for other in rare[place + 1 :]]
    return keys


def _place_keys(records: Records, record: int) -> list[int]:
    words = records.name.of(record)
    texts = records.name.vocabulary.texts
    keys = []
    for column in ("city", "postal", "country", "phone"):
        value = records.columns[column][record]
        if value == EMPTY:
            continue
        keys += [_hash(column, value, texts[word]) for word in _rare_words(records, record)]
        if words:
            letters = "".join([texts[number] for number in words])
            keys.append(_hash(column + "^", value, letters[:4]))
            keys.append(_hash(column + "$", value, letters[-4:]))
    return keys


def _address_keys(records: Records, record: int) -> list[int]:
    words, texts = records.address.of(record), records.address.vocabulary.texts
    bits = records.address.bits
    rare = sorted(set(words), key=lambda number: (-bits[number], number))[:RARE_WORDS]
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


def _nearest_by_letters(records: Records) -> Numbers:
    """Pair every record with those that share most of the rare letter groups of its name."""
    count = len(records)
    is_small = count <= SMALL_RECORDS
    nearest = NEIGHBORS_MAX if is_small else NEIGHBORS_OF_MANY_MAX
    limit = POSTINGS_MAX if is_small else POSTINGS_OF_MANY_MAX
    flat, starts = _grams(records)
    order = np.argsort(flat, kind="stable")
    owners = np.repeat(np.arange(count), np.diff(starts))[order]
    sizes = np.bincount(flat) if len(flat) else np.empty(0, dtype=np.int64)
    begins = np.concatenate(([0], np.cumsum(sizes)))
    weights = np.log((count + 1) / (sizes + 0.5))
    norms = (
        np.sqrt(
            np.bincount(np.repeat(np.arange(count), np.diff(starts)), weights[flat] ** 2, count)
        )
        + 1e-9
    )
    useful = (sizes > 1) & (sizes <= limit)
    found = []
    for record in range(count):
        grams = flat[starts[record] : starts[record + 1]]
        grams = grams[useful[grams]]
        if not len(grams):
            continue
        others = np.concatenate([owners[begins[gram] : begins[gram + 1]] for gram in grams])
        shares = np.repeat(weights[grams] ** 2, sizes[grams])
        if is_small:
            scores = np.bincount(others, shares, count).astype(np.float64)
            scores[record] = 0
            scores = scores / norms
            best = (
                np.argpartition(scores, -nearest)[-nearest:]
                if count > nearest
                else np.arange(count)
            )
            best = best[scores[best] > 0]
        else:
            unique, inverse = np.unique(others, return_inverse=True)
            scores = np.bincount(inverse, shares) / norms[unique]
            scores[unique == record] = 0
            best = np.argsort(scores)[-nearest:]
            best = unique[best[scores[best] > 0]]
        low, high = np.minimum(best, record), np.maximum(best, record)
        found.append(low * count + high)
    return np.unique(np.concatenate(found)) if found else np.empty(0, dtype=np.int64)


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
    return np.array(flat, dtype=np.int64), np.array(starts, dtype=np.int64)
