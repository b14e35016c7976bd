"""Match clients: how well on labeled sets beside rapidfuzz, and how fast and large on many records.

Everything runs in one process tree and one run, one after the other. The labeled sets are looked for
in TIELINE_SHARED (default ../shared) and passed over with a sentence where they are absent.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import random
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

from rapidfuzz import fuzz, process, utils

from tieline.services.client_dedupe import Quality, dedupe

Row = dict[str, str]
_AUTO_PRECISION = 0.99
_COLUMNS = (
    "record_id", "source", "name", "address", "city", "postal_code", "country", "phone", "email",
    "cluster_id",
)  # fmt: skip
_CUTS = range(60, 100)
_BLOCK_MAX = 200


def main() -> int:
    """Print one JSON object with the figures of every set and size asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, action="append", default=[], metavar="COUNT")
    parser.add_argument("--labels", type=int, action="append", default=[], metavar="COUNT")
    parser.add_argument("--sets", default="orgs_eu,febrl1,febrl2,febrl3,febrl4,splink")
    asked = parser.parse_args()
    shared = Path(os.environ.get("TIELINE_SHARED", "../shared")) / "data" / "public"
    results = []
    for name in filter(None, asked.sets.split(",")):
        if not shared.is_dir():
            _say(f"{name} is passed over: {shared} is absent (TIELINE_SHARED names its place)")
            continue
        results += _measure(name, _SETS[name](shared), asked.labels)
    for count in asked.records:
        results += _measure(f"synthetic {count}", list(synthetic(count)), asked.labels)
    print(json.dumps({"results": results, "peak_megabytes": _peak_megabytes()}))
    return 0


def _measure(name: str, rows: Sequence[Row], labels: Iterable[int]) -> list[dict[str, Any]]:
    _say(f"{name}: {len(rows)} records")
    figures = [_rapidfuzz(name, rows)]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "clients.csv"
        with path.open("w", encoding="utf-8", newline="") as opened:
            writer = csv.DictWriter(opened, _COLUMNS, restval="")
            writer.writeheader()
            writer.writerows(rows)
        for count in (0, *labels):
            begin = time.perf_counter()
            found = dedupe(path, labels=count, say=_say)
            seconds = time.perf_counter() - begin
            assert found.quality is not None
            figures.append(
                {
                    "set": name,
                    "who": "tieline" if not count else f"tieline, {count} labels",
                    "records": len(rows),
                    "compared": found.candidates,
                    **_plain(found.quality),
                    "seconds": round(seconds, 1),
                    "times_the_baseline": round(seconds / max(figures[0]["seconds"], 0.1), 1),
                }
            )
    for each in figures:
        _say(json.dumps(each))
    return figures


def _plain(quality: Quality) -> dict[str, float]:
    names = ("precision", "recall", "f1", "auto_share", "auto_precision")
    return {name: round(getattr(quality, name), 4) for name in names}


# -- the baseline ----------------------------------------------------------------------------------


def _rapidfuzz(name: str, rows: Sequence[Row]) -> dict[str, Any]:
    """Score names by token_sort_ratio inside blocks of one first word, one city or one mailbox.

    Its cut is chosen on the very labels it is measured by: better than anybody could do with it.
    """
    begin = time.perf_counter()
    names = [utils.default_process(row["name"]) for row in rows]
    pairs = sorted(_blocked(names, rows))
    left, right = [names[one] for one, _ in pairs], [names[other] for _, other in pairs]
    scores = process.cpdist(left, right, scorer=fuzz.token_sort_ratio, workers=-1)
    seconds = time.perf_counter() - begin
    clusters = [row["cluster_id"] for row in rows]
    sizes: dict[str, int] = {}
    for cluster in clusters:
        sizes[cluster] = sizes.get(cluster, 0) + 1
    true = sum(count * (count - 1) // 2 for count in sizes.values())
    right_at = [0] * 101
    said_at = [0] * 101
    for (one, other), score in zip(pairs, scores.tolist(), strict=True):
        said_at[int(score)] += 1
        right_at[int(score)] += clusters[one] == clusters[other]
    best: tuple[float, float, float] = (0.0, 0.0, 0.0)
    auto = (0.0, 0.0)
    for cut in _CUTS:
        said, hits = sum(said_at[cut:]), sum(right_at[cut:])
        precision, recall = hits / max(said, 1), hits / max(true, 1)
        f1 = 2 * precision * recall / max(precision + recall, 1e-9)
        best = max(best, (f1, precision, recall))
        if precision >= _AUTO_PRECISION:
            auto = max(auto, (recall, precision))
    return {
        "set": name,
        "who": "rapidfuzz, best cut in hindsight",
        "records": len(rows),
        "compared": len(pairs),
        "precision": round(best[1], 4),
        "recall": round(best[2], 4),
        "f1": round(best[0], 4),
        "auto_share": round(auto[0], 4),
        "auto_precision": round(auto[1], 4),
        "seconds": round(seconds, 1),
    }


def _blocked(names: Sequence[str], rows: Sequence[Row]) -> set[tuple[int, int]]:
    blocks: dict[tuple[str, str], list[int]] = {}
    for number, row in enumerate(rows):
        words = names[number].split()
        keys = {("word", words[0][:5])} if words else set()
        keys |= {(field, row[field].lower()) for field in ("email", "city") if row.get(field)}
        for key in keys:
            blocks.setdefault(key, []).append(number)
    found: set[tuple[int, int]] = set()
    for members in blocks.values():
        if len(members) <= _BLOCK_MAX:
            found.update(combinations(members, 2))
    return found


# -- the sets --------------------------------------------------------------------------------------


def _orgs_eu(shared: Path) -> list[Row]:
    folder = shared / "orgs_eu"
    client_of: dict[str, str] = {}
    for number, row in enumerate(_rows(folder / "table_matches.csv")):
        if float(row["match"]) == 1:
            ours, theirs = f"s{row['id_s']}", f"t{row['id_t']}"
            client = client_of.get(ours) or client_of.get(theirs) or str(number)
            client_of[ours] = client_of[theirs] = client
    return [
        {
            "record_id": f"{side}{row['id']}",
            "source": side,
            "name": row["name"],
            "address": row["address"],
            "city": row["city"],
            "country": row["iso3"],
            "cluster_id": client_of.get(f"{side}{row['id']}", f"alone {side}{row['id']}"),
        }
        for side, table in (("s", "table_source.csv"), ("t", "table_target.csv"))
        for row in _rows(folder / table)
    ]


def _febrl(*tables: str) -> Callable[[Path], list[Row]]:
    def rows(shared: Path) -> list[Row]:
        return [
            {
                "record_id": row["rec_id"],
                **({"source": table} if len(tables) > 1 else {}),
                "name": f"{row['given_name']} {row['surname']}".strip(),
                "address": f"{row['street_number']} {row['address_1']} {row['address_2']}".strip(),
                "city": row["suburb"],
                "postal_code": row["postcode"],
                "cluster_id": row["rec_id"].split("-")[1],
            }
            for table in tables
            for row in _rows(shared / "febrl" / f"{table}.csv")
        ]

    return rows


def _splink(shared: Path) -> list[Row]:
    return [
        {
            "record_id": row["unique_id"],
            "name": f"{row['first_name']} {row['surname']}".strip(),
            "city": row["city"],
            "email": row["email"],
            "cluster_id": row["cluster"],
        }
        for row in _rows(shared / "splink" / "fake_1000.csv")
    ]


def _rows(path: Path) -> Iterator[Row]:
    with path.open(encoding="utf-8-sig", newline="") as opened:
        for row in csv.DictReader(opened, skipinitialspace=True):
            yield {name.strip(): (cell or "").strip() for name, cell in row.items()}


_SETS: dict[str, Callable[[Path], list[Row]]] = {
    "orgs_eu": _orgs_eu,
    "febrl1": _febrl("dataset1"),
    "febrl2": _febrl("dataset2"),
    "febrl3": _febrl("dataset3"),
    "febrl4": _febrl("dataset4a", "dataset4b"),
    "splink": _splink,
}


def synthetic(count: int) -> Iterator[Row]:
    """Yield records of made-up firms, a quarter of them written again with slips and gaps."""
    draw = random.Random(1)
    syllables = (
        "ka lo mi ter ven dor sa lin bru gos pel rax um fex hil ost quin jur wab zed".split()
    )
    trades = "Holding Group Logistics Consulting Systems Media Foods Energy Capital Optics".split()
    forms = "GmbH AG Ltd S.A. B.V. Oy SpA AB Inc LLC".split()

    def word(length: int) -> str:
        return "".join(draw.sample(syllables, length)).capitalize()

    words = [word(draw.choice((2, 3))) for _ in range(60_000)]
    streets = [word(3) for _ in range(20_000)]
    cities = [(word(2), f"{draw.randint(10_000, 99_999)}") for _ in range(3_000)]
    number = client = 0
    while number < count:
        client += 1
        name = " ".join([*draw.sample(words, draw.choice((1, 1, 2))), draw.choice(trades)])
        city, postal_code = draw.choice(cities)
        firm = {
            "source": "crm",
            "name": f"{name} {draw.choice(forms)}",
            "address": f"{draw.choice(streets)} {draw.randint(1, 200)}",
            "city": city,
            "postal_code": postal_code,
            "country": "DE",
            "phone": f"+49{draw.randint(10**8, 10**9)}",
            "email": f"info@{name.split()[0].lower()}{draw.randint(1, 99)}.example",
            "cluster_id": str(client),
        }
        again = 0 if draw.random() < 0.75 else draw.choice((1, 1, 2))
        for row in (firm, *(_again(firm, name, draw) for _ in range(again))):
            number += 1
            if number <= count:
                yield {**row, "record_id": str(number)}


def _again(firm: Row, name: str, draw: random.Random) -> Row:
    row = {**firm, "source": "erp", "name": _slip(name, draw).upper()}
    row["address"] = _slip(firm["address"], draw) if draw.random() < 0.8 else ""
    for field, kept in (("postal_code", 0.8), ("phone", 0.3), ("email", 0.3)):
        if draw.random() > kept:
            row[field] = ""
    return row


def _slip(text: str, draw: random.Random) -> str:
    if len(text) < 4 or draw.random() < 0.5:
        return text
    place = draw.randrange(1, len(text) - 1)
    if draw.random() < 0.5:
        return text[:place] + text[place + 1 :]
    return text[:place] + text[place + 1] + text[place] + text[place + 2 :]


def _peak_megabytes() -> dict[str, int]:
    return {
        "this_process": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
        "largest_child": resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024,
    }


def _say(sentence: str) -> None:
    print(sentence, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
