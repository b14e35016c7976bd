"""Find the same clients in one file, without an installation; measure it where the file is labeled.

Pattern: a pure run over a file. Vendor calls: none; nothing is stored.
"""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import TextIO

import numpy as np

from tieline.kernel.errors import UserMistake
from tieline.register.likeness import FIELDS, WEIGHED, Matched, gather, likely, match

RECORD, CLUSTER = "record_id", "cluster_id"
_COMPARED = tuple(name for name in FIELDS if name != "source")
CELL_SIGNS_MAX = 100_000
RECORDS_MAX = 5_000_000
_LINE_CHARACTERS_MAX = 4_000_000
Told = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """Two records that are the same client; ``decision`` says whether a steward should look.

    ``weights`` is what each field told, as natural logarithms of odds: above zero for, below against.
    """

    left: str
    right: str
    score: float
    decision: str
    weights: Mapping[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Quality:
    """How well the pairs meet the labels, without the pairs that were learned from."""

    precision: float
    recall: float
    f1: float
    auto_share: float
    auto_precision: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Deduped:
    """The pairs found in a file, and their quality where the file is labeled."""

    records: int
    candidates: int
    labels: int
    pairs: tuple[Pair, ...]
    quality: Quality | None


@dataclass(slots=True)
class _File:
    """What is kept of a file beside its comparable records."""

    ids: list[str] = field(default_factory=list)
    clusters: list[str] = field(default_factory=list)
    columns: tuple[str, ...] = ()


def dedupe(path: Path, *, labels: int, say: Told) -> Deduped:
    """Return which records of a CSV file are the same client.

    :raises UserMistake: the file cannot be understood; the sentence says where.
    """
    file = _File()
    rows = _read(path, file, say)
    first = next(rows, None)
    if first is None:
        raise UserMistake(f"{path} has a header and no records")
    if labels and CLUSTER not in file.columns:
        raise UserMistake(f"--labels needs the column {CLUSTER}, which {path} does not have")
    records = gather(chain([first], rows))
    _refuse_repeated(path, file)
    say(f"{len(records)} records were read")
    clusters = file.clusters
    matched = match(
        records,
        say=say,
        labels=labels,
        is_same=lambda one, other: _is_same(clusters, one, other),
    )
    return Deduped(
        records=len(records),
        candidates=matched.candidates,
        labels=len(matched.asked),
        pairs=_pairs(matched, file.ids),
        quality=_measure(matched, clusters) if CLUSTER in file.columns else None,
    )


# -- the file --------------------------------------------------------------------------------------


def _read(path: Path, file: _File, say: Told) -> Iterator[Mapping[str, str]]:
    try:
        yield from _rows(path, file, say)
    except OSError as error:
        raise UserMistake(f"{path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise UserMistake(f"{path} is not UTF-8: save it as UTF-8 and try again") from error
    except csv.Error as error:
        raise UserMistake(
            f"{path} cannot be understood after record {len(file.ids)}: {error}"
        ) from error


def _rows(path: Path, file: _File, say: Told) -> Iterator[Mapping[str, str]]:
    with path.open(encoding="utf-8-sig", newline="") as opened:
        begin = opened.readline(_LINE_CHARACTERS_MAX)
        if not begin.strip():
            raise UserMistake(f"{path} is empty: its first line must name the columns")
        opened.seek(0)
        reader = csv.reader(_sane_lines(opened, path), delimiter=_delimiter(begin), strict=True)
        file.columns = _header(next(reader), path, say)
        for cells in reader:
            if not any(cell.strip() for cell in cells):
                continue
            yield _row(cells, reader.line_num, path, file)


def _sane_lines(opened: TextIO, path: Path) -> Iterator[str]:
    lines = iter(lambda: opened.readline(_LINE_CHARACTERS_MAX), "")
    for number, line in enumerate(lines, start=1):
        if len(line) == _LINE_CHARACTERS_MAX:
            raise UserMistake(f"{path}, line {number} is longer than {len(line)} characters")
        if "\x00" in line:
            raise UserMistake(f"{path}, line {number} holds a NUL byte: it is not a text file")
        yield line


def _delimiter(header: str) -> str:
    counts = Counter(sign for sign in header if sign in ",;\t")
    return max(",;\t", key=lambda sign: counts[sign])


def _header(cells: list[str], path: Path, say: Told) -> tuple[str, ...]:
    columns = tuple(cell.strip().lower() for cell in cells)
    known = [name for name in columns if name in (RECORD, CLUSTER, *FIELDS)]
    for name, count in Counter(known).items():
        if count > 1:
            raise UserMistake(f"{path} names the column {name} {count} times")
    if not known:
        raise UserMistake(
            f"{path} has no header: its first line must name columns, any of {', '.join((RECORD, *FIELDS, CLUSTER))}"
        )
    if not any(name in _COMPARED for name in known):
        raise UserMistake(
            f"{path} has nothing to compare by: it needs one of the columns {', '.join(_COMPARED)}"
        )
    passed_over = [name or "(no name)" for name in columns if name not in known]
    if passed_over:
        say(f"not compared: {', '.join(passed_over)[:200]}")
    return columns


def _row(cells: list[str], line: int, path: Path, file: _File) -> Mapping[str, str]:
    if len(cells) != len(file.columns):
        raise UserMistake(
            f"{path}, line {line} has {len(cells)} cells and the header {len(file.columns)}"
        )
    row = dict(zip(file.columns, cells, strict=True))
    for name, cell in row.items():
        if len(cell) > CELL_SIGNS_MAX:
            raise UserMistake(
                f"{path}, line {line}: {name} has {len(cell)} signs, {CELL_SIGNS_MAX} at most"
            )
    if len(file.ids) >= RECORDS_MAX:
        raise UserMistake(f"{path} has more than {RECORDS_MAX} records")
    record = row.get(RECORD, str(len(file.ids) + 1)).strip()
    if not record:
        raise UserMistake(f"{path}, line {line} has no {RECORD}")
    file.ids.append(record)
    if CLUSTER in file.columns:
        file.clusters.append(row[CLUSTER].strip())
    return {name: row.get(name, "") for name in FIELDS}


def _refuse_repeated(path: Path, file: _File) -> None:
    if len(set(file.ids)) == len(file.ids):
        return
    record, count = Counter(file.ids).most_common(1)[0]
    raise UserMistake(f"{path} has {count} records with {RECORD} {record[:80]}: each must be one")


# -- the answer ------------------------------------------------------------------------------------


def _pairs(matched: Matched, ids: list[str]) -> tuple[Pair, ...]:
    scores = likely(matched.odds)
    order = np.argsort(-matched.odds, kind="stable")
    return tuple(
        Pair(
            left=ids[matched.left[pair]],
            right=ids[matched.right[pair]],
            score=round(float(scores[pair]), 6),
            decision="link" if matched.may_link[pair] else "steward",
            weights={
                name: round(weight, 2)
                for name, weight in zip(WEIGHED, matched.told[pair].tolist(), strict=True)
                if weight
            },
        )
        for pair in order.tolist()
    )


def _is_same(clusters: list[str], one: int, other: int) -> bool:
    return clusters[one] != "" and clusters[one] == clusters[other]


def _measure(matched: Matched, clusters: list[str]) -> Quality:
    counts = Counter(cluster for cluster in clusters if cluster)
    true_pairs = sum(count * (count - 1) // 2 for count in counts.values())
    true_pairs -= sum(_is_same(clusters, one, other) for one, other in matched.asked)
    said = linked = right = right_linked = 0
    for one, other, may_link in zip(
        matched.left.tolist(), matched.right.tolist(), matched.may_link.tolist(), strict=True
    ):
        if (one, other) in matched.asked:
            continue
        is_right = _is_same(clusters, one, other)
        said, right = said + 1, right + is_right
        if may_link:
            linked, right_linked = linked + 1, right_linked + is_right
    precision, recall = _share(right, said), _share(right, true_pairs)
    return Quality(
        precision=precision,
        recall=recall,
        f1=_share(2 * precision * recall, precision + recall),
        auto_share=_share(right_linked, true_pairs),
        # Of no links none is wrong.
        auto_precision=_share(right_linked, linked) if linked else 1.0,
    )


def _share(part: float, whole: float) -> float:
    return part / whole if whole else 0.0
