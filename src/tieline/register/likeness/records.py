"""Records of clients in comparable form, column by column: a million of them fit into little memory."""

from __future__ import annotations

import math
from array import array
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from tieline.register.likeness.wording import (
    country_code,
    email_parts,
    phone_key,
    plain,
    skeleton,
    split_name,
    tax_key,
)

FIELDS = (
    "source", "name", "address", "city", "postal_code", "country", "phone", "email", "tax_id",
)  # fmt: skip
WORDS_MAX = 16
LETTERS_MAX = 240
EMPTY = 0
_ROMAN = frozenset("i ii iii iv v vi vii viii ix x xi xii xiii xiv xv".split())

# What is kept of a record: its words, then its single values.
Comparable = tuple[list[str], list[str], tuple[str, ...]]
VALUES = (
    "source", "letters", "ordered", "sounds", "form", "city", "postal", "country", "phone", "mailbox", "domain",
    "tax",
)  # fmt: skip


@dataclass(slots=True)
class Vocabulary:
    """Numbers for texts; number 0 is the empty text."""

    texts: list[str] = field(default_factory=lambda: [""])
    numbers: dict[str, int] = field(default_factory=lambda: {"": EMPTY})

    def number(self, text: str) -> int:
        """Return the number of a text, a new one where it was not seen yet."""
        found = self.numbers.get(text)
        if found is None:
            found = self.numbers[text] = len(self.texts)
            self.texts.append(text)
        return found


@dataclass(slots=True)
class Words:
    """The words of every record one after the other, and how much each word tells."""

    vocabulary: Vocabulary = field(default_factory=Vocabulary)
    flat: array[int] = field(default_factory=lambda: array("i"))
    starts: array[int] = field(default_factory=lambda: array("q", [0]))
    bits: array[float] = field(default_factory=lambda: array("d"))
    has_digit: bytearray = field(default_factory=bytearray)

    def add(self, words: Iterable[str]) -> None:
        """Add the next record's words."""
        self.flat.extend([self.vocabulary.number(word) for word in words])
        self.starts.append(len(self.flat))

    def of(self, record: int) -> array[int]:
        """Return the numbers of one record's words."""
        return self.flat[self.starts[record] : self.starts[record + 1]]

    def weigh(self) -> None:
        """Say how much each word tells: the fewer records have it the more, in natural logarithms."""
        counts = [0] * len(self.vocabulary.texts)
        last = [-1] * len(counts)
        records = len(self.starts) - 1
        for record in range(records):
            for number in self.of(record):
                # A word that a record has twice is one that it has.
                if last[number] != record:
                    last[number] = record
                    counts[number] += 1
        self.has_digit = bytearray(_counts(text) for text in self.vocabulary.texts)
        self.bits = array("d", [math.log((records + 1) / (count + 0.5)) + 0.1 for count in counts])


def _counts(word: str) -> bool:
    # Fund II is not fund III.
    return any(sign.isdigit() for sign in word) or word in _ROMAN


@dataclass(slots=True)
class Records:
    """All records; a column is a sequence of numbers into its vocabulary."""

    name: Words = field(default_factory=Words)
    address: Words = field(default_factory=Words)
    columns: dict[str, array[int]] = field(
        default_factory=lambda: {name: array("i") for name in VALUES}
    )
    texts: dict[str, Vocabulary] = field(
        default_factory=lambda: {name: Vocabulary() for name in VALUES}
    )

    # How many records have a value, column by column, and how many the same house.
    counts: dict[str, array[int]] = field(default_factory=dict)
    neighbors: array[int] = field(default_factory=lambda: array("i"))

    def __len__(self) -> int:
        return len(self.name.starts) - 1

    def add(self, record: Comparable) -> None:
        """Add one record."""
        name, address, values = record
        self.name.add(name)
        self.address.add(address)
        for column, value in zip(VALUES, values, strict=True):
            self.columns[column].append(self.texts[column].number(value))

    def weigh(self) -> None:
        """Say how much each word tells, once all records are in."""
        self.name.weigh()
        self.address.weigh()
        for column, numbers in self.columns.items():
            counted = array("i", [0]) * len(self.texts[column].texts)
            for number in numbers:
                counted[number] += 1
            self.counts[column] = counted
        # Nothing more is added, and the way from a text to its number is half of what is kept.
        for vocabulary in (self.name.vocabulary, self.address.vocabulary, *self.texts.values()):
            vocabulary.numbers.clear()
        houses = [self._house(record) for record in range(len(self))]
        occupied = Counter(houses)
        self.neighbors = array("i", [occupied[house] for house in houses])

    def _house(self, record: int) -> tuple[int, int]:
        # A street is written in many ways; its rarest word and its number stay.
        words, bits = self.address.of(record), self.address.bits
        street = max(
            (word for word in words if not self.address.has_digit[word]),
            key=lambda word: bits[word],
            default=-1,
        )
        number = next((word for word in words if self.address.has_digit[word]), -1)
        return street, number

    def words(self, record: int) -> list[str]:
        """Return the words of one record's name."""
        texts = self.name.vocabulary.texts
        return [texts[number] for number in self.name.of(record)]


def comparable(row: Mapping[str, str]) -> Comparable:
    """Return one record in comparable form; empty where it says nothing."""

    def said(name: str) -> str:
        return row.get(name, "")[:LETTERS_MAX]

    country = country_code(said("country"))
    name, form = split_name(said("name"))
    box, domain = email_parts(said("email"))
    letters = "".join(name[:WORDS_MAX])
    values = (
        said("source").strip(),
        letters,
        "".join(sorted(name[:WORDS_MAX])),
        skeleton(letters),
        form,
        plain(said("city")),
        plain(said("postal_code")).replace(" ", ""),
        country,
        phone_key(said("phone"), country),
        box,
        domain,
        tax_key(said("tax_id")),
    )
    return list(name[:WORDS_MAX]), plain(said("address")).split()[:WORDS_MAX], values
