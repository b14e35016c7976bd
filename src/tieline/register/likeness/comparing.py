"""Compare two records field by field: how alike, from 0 to 1, or nothing where one does not say."""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray
from rapidfuzz.distance import OSA, Indel, JaroWinkler

from tieline.register.likeness.records import EMPTY, Records, Words
from tieline.register.likeness.wording import skeleton

FEATURES = (
    "name_words", "name_letters", "name_contained", "name_rarity", "name_numbers", "name_first",
    "name_sounds", "form", "address_words", "address_contained", "address_rarity",
    "address_numbers", "city", "postal", "country", "phone", "mailbox", "domain", "tax", "source",
)  # fmt: skip
AT = {name: place for place, name in enumerate(FEATURES)}
# A likeness is kept as one byte: 0 to 200, and 255 where one of the two says nothing.
FULL, COMMON, MISSING = 200, 199, 255
Levels = NDArray[np.uint8]

_TYPO_MIN = 0.72
_SOUNDS_LIKE, _ABBREVIATED, _BEGINS, _INITIAL, _INITIALS = 0.8, 0.7, 0.9, 0.6, 0.7
_PREFIX_MIN = 3
# A value that more records than these have is the same by chance now and then.
_FEW = 5


# Words in common by weight, how far the shorter is contained, what is shared, and the numbers.
_Likeness = tuple[float, float, float, float]


def compare(records: Records, left: Iterable[int], right: Iterable[int]) -> Levels:
    """Return how alike pairs of records are, one row a pair and one column a feature."""
    scale = math.log(len(records) + 1)
    rows = bytearray()
    for one, other in zip(left, right, strict=True):
        rows += _compare_pair(records, one, other, scale)
    return np.frombuffer(rows, dtype=np.uint8).reshape(-1, len(FEATURES))


def _compare_pair(records: Records, one: int, other: int, scale: float) -> bytes:
    row = bytearray([MISSING]) * len(FEATURES)
    _compare_names(row, records, one, other, scale)
    _compare_addresses(row, records, one, other, scale)
    for place, column, alike, few in _SIMPLE:
        many = max(_FEW, few * len(records))
        numbers = records.columns[column]
        ours, theirs = numbers[one], numbers[other]
        if ours == EMPTY or theirs == EMPTY:
            continue
        if ours == theirs:
            row[place] = FULL if records.counts[column][ours] <= many else COMMON
        else:
            texts = records.texts[column].texts
            row[place] = int(FULL * alike(texts[ours], texts[theirs]))
    return bytes(row)


def _compare_names(row: bytearray, records: Records, one: int, other: int, scale: float) -> None:
    ours, theirs = records.name.of(one), records.name.of(other)
    if not ours or not theirs:
        return
    found = _compare_words(records.name, ours, theirs)
    row[0] = int(FULL * found[0])
    row[2] = int(FULL * found[1])
    row[3] = int(FULL * min(1.0, found[2] / scale / 2))
    row[4] = int(FULL * found[3])
    if ours[0] == theirs[0]:
        row[5] = FULL
    else:
        texts = records.name.vocabulary.texts
        row[5] = int(FULL * JaroWinkler.similarity(texts[ours[0]], texts[theirs[0]]))


def _compare_addresses(
    row: bytearray, records: Records, one: int, other: int, scale: float
) -> None:
    ours, theirs = records.address.of(one), records.address.of(other)
    if not ours or not theirs:
        return
    found = _compare_words(records.address, ours, theirs)
    row[8] = int(FULL * found[0])
    row[9] = int(FULL * found[1])
    # What many firms call their address, at an agent's or in a tower, says little about each.
    house = math.log(
        (len(records) + 1) / (max(records.neighbors[one], records.neighbors[other]) + 0.5)
    )
    row[10] = int(FULL * min(1.0, min(found[2], house) / scale / 2))
    row[11] = int(FULL * found[3])


def _compare_words(words: Words, ours: array[int], theirs: array[int]) -> _Likeness:
    bits, has_digit = words.bits, words.has_digit
    if ours == theirs:
        numbers = 1.0 if any(has_digit[word] for word in ours) else 0.5
        return 1.0, 1.0, sum([bits[word] for word in ours]), numbers
    right = theirs.tolist()
    total_left = sum([bits[word] for word in ours])
    total_right = sum([bits[word] for word in right])
    shared = 0.0
    rest = []
    numbers = 0.5
    for word in ours:
        if word in right:
            right.remove(word)
            shared += bits[word]
            if has_digit[word]:
                numbers = 1.0
        else:
            rest.append(word)
    in_left = in_right = rare = shared
    if rest and right:
        texts = words.vocabulary.texts
        for alike, mine, yours in _pair_up([texts[n] for n in rest], [texts[n] for n in right]):
            weight_mine, weight_yours = bits[rest[mine]], bits[right[yours]]
            in_left += alike * weight_mine
            in_right += alike * weight_yours
            rare += alike * min(weight_mine, weight_yours)
        if any(has_digit[n] for n in rest) and any(has_digit[n] for n in right):
            numbers = 0.0
        # One word that stands for several was counted with each of them.
        in_left, in_right = min(in_left, total_left), min(in_right, total_right)
    contained = max(in_left / total_left, in_right / total_right)
    return (in_left + in_right) / (total_left + total_right), contained, rare, numbers


def _pair_up(left: list[str], right: list[str]) -> list[tuple[float, int, int]]:
    """Pair words that are most likely the same word written otherwise, each at most once."""
    found = [
        (alike, mine, yours)
        for mine, one in enumerate(left)
        for yours, other in enumerate(right)
        # A slip seldom falls on the first letter and on the last at once.
        if (one[0] == other[0] or one[-1] == other[-1]) and (alike := word_likeness(one, other)) > 0
    ]
    if len(found) > 1:
        found.sort(reverse=True)
        seen_left: set[int] = set()
        seen_right: set[int] = set()
        kept = []
        for alike, mine, yours in found:
            if mine not in seen_left and yours not in seen_right:
                seen_left.add(mine)
                seen_right.add(yours)
                kept.append((alike, mine, yours))
        found = kept
    if not found and (len(left) == 1) != (len(right) == 1):
        return _initials(left, right)
    return found


def _initials(left: list[str], right: list[str]) -> list[tuple[float, int, int]]:
    short, long = (left[0], right) if len(left) == 1 else (right[0], left)
    if len(short) < _PREFIX_MIN or short != "".join(word[0] for word in long):
        return []
    if len(left) == 1:
        return [(_INITIALS, 0, yours) for yours in range(len(right))]
    return [(_INITIALS, mine, 0) for mine in range(len(left))]


def word_likeness(one: str, other: str) -> float:
    """Return how surely two different words are the same word with a slip, cut or shortened."""
    if one[0] > "9" and other[0] > "9":
        shorter, longer = (one, other) if len(one) <= len(other) else (other, one)
        if longer.startswith(shorter):
            if len(shorter) == 1:
                return _INITIAL
            return _BEGINS if len(shorter) >= _PREFIX_MIN else 0.0
        if len(shorter) >= _PREFIX_MIN:
            alike = float(OSA.normalized_similarity(one, other, score_cutoff=_TYPO_MIN))
            if alike > 0:
                return alike
            if one[0] == other[0] and _is_shortened(shorter, longer):
                return _ABBREVIATED
            sounds = skeleton(one)
            if len(sounds) >= _PREFIX_MIN and sounds == skeleton(other):
                return _SOUNDS_LIKE
        return 0.0
    if len(one) >= 5 and len(other) >= 5:
        return float(OSA.normalized_similarity(one, other, score_cutoff=0.8))
    return 0.0


def _is_shortened(short: str, long: str) -> bool:
    letters = iter(long)
    return all(letter in letters for letter in short)


# -- single values ---------------------------------------------------------------------------------


def _equal_only(one: str, other: str) -> float:
    return 0.0


def _letters(one: str, other: str) -> float:
    return float(JaroWinkler.similarity(one, other))


def _place(one: str, other: str) -> float:
    shorter, longer = (one, other) if len(one) <= len(other) else (other, one)
    if f" {shorter} " in f" {longer} ":
        return 0.95
    return float(JaroWinkler.similarity(one, other))


def _slip(one: str, other: str) -> float:
    return float(OSA.normalized_similarity(one, other))


def _postal(one: str, other: str) -> float:
    shorter, longer = (one, other) if len(one) <= len(other) else (other, one)
    if len(shorter) >= _PREFIX_MIN and longer.startswith(shorter):
        return 0.9
    begins = 0
    for mine, yours in zip(one, other, strict=False):
        if mine != yours:
            break
        begins += 1
    return max(begins / len(longer), float(OSA.normalized_similarity(one, other)))


def _joined(one: str, other: str) -> float:
    return float(Indel.normalized_similarity(one, other))


# Each with the share of all records up to which a value counts as rare.
_SIMPLE = (
    (AT["name_letters"], "letters", _joined, 1.0),
    (AT["name_sounds"], "sounds", _joined, 1.0),
    (AT["form"], "form", _equal_only, 1.0),
    (AT["city"], "city", _place, 0.005),
    (AT["postal"], "postal", _postal, 0.002),
    (AT["country"], "country", _equal_only, 0.05),
    (AT["phone"], "phone", _slip, 0.0),
    (AT["mailbox"], "mailbox", _letters, 0.0),
    (AT["domain"], "domain", _letters, 0.0),
    (AT["tax"], "tax", _slip, 0.0),
    (AT["source"], "source", _equal_only, 1.0),
)
