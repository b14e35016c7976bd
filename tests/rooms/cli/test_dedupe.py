"""The same clients of one file, from a shell where nothing is installed."""

from __future__ import annotations

import csv
import io
import random
from collections.abc import Sequence
from pathlib import Path

import pytest
from tests.rooms.cli.conftest import Run

_HEADER = "record_id,name,city,cluster_id\n"


def _file(folder: Path, text: str | bytes) -> str:
    path = folder / "clients.csv"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return str(path)


def _labeled(count: int) -> str:
    draw = random.Random(4)
    syllables = (
        "ka lo mi ter ven dor sa lin bru gos pel rax um fex hil ost quin jur wab zed".split()
    )
    out = io.StringIO()
    write = csv.writer(out)
    write.writerow(("record_id", "name", "phone", "cluster_id"))
    for number in range(count):
        word = "".join(draw.sample(syllables, 4)).capitalize()
        write.writerow(
            (f"a{number}", f"{word} Holding GmbH", f"+49 431 {9_000_000 + 7919 * number}", number)
        )
        if number % 3 == 0:
            write.writerow(
                (
                    f"b{number}",
                    f"{word.upper()} HOLDING",
                    f"0431/{9_000_000 + 7919 * number}",
                    number,
                )
            )
    return out.getvalue()


class TestDeduping:
    @pytest.mark.parametrize("labels", [(), ("--labels", "20")])
    def test_prints_one_object_with_pairs_and_how_good_they_are(
        self, run_bare: Run, tmp_path: Path, labels: Sequence[str]
    ) -> None:
        path = _file(tmp_path, _labeled(150))

        ran = run_bare("clients", "dedupe", "--input", path, *labels, "--json")

        told = ran.json
        assert ran.code == 0
        assert told["f1"] > 0.93
        assert told["auto_precision"] > 0.98
        assert 0 < told["auto_share"] <= told["recall"]
        assert told["labels"] == (20 if labels else 0)
        right = [pair for pair in told["pairs"] if pair["left"][1:] == pair["right"][1:]]
        assert len(right) >= 47
        assert {pair["decision"] for pair in right} <= {"link", "steward"}
        assert not (tmp_path / "home").exists()

    def test_of_an_unlabeled_file_prints_pairs_alone(self, run_bare: Run, tmp_path: Path) -> None:
        path = _file(tmp_path, "name;phone\n=1+1 Kelloran AG;+49 30 1234567\nKelloran;0301234567\n")

        told = run_bare("clients", "dedupe", "--input", path, "--json").json

        assert told["records"] == 2
        assert "f1" not in told

    @pytest.mark.parametrize(
        ("text", "sentence"),
        [
            ("", "is empty"),
            ("1,Kelloran,Kiel\n2,Brumild,Graz\n", "has no header"),
            ("record_id\n1\n", "has nothing to compare by"),
            (_HEADER, "has a header and no records"),
            (_HEADER + "1,A,B,1\n1,C,D,2\n", "2 records with record_id 1"),
            (_HEADER + "1,A\x00,B,1\n", "line 2 holds a NUL byte"),
            (_HEADER.encode() + b"1,\xff\xfe,B,1\n", "is not UTF-8"),
            (_HEADER + f"1,{'x' * 1_000_000},B,1\n", "field larger than field limit"),
            (_HEADER + "1,A,B\n", "line 2 has 3 cells and the header 4"),
            (_HEADER + ",A,B,1\n", "line 2 has no record_id"),
            (_HEADER + '1,"A,B,1\n', "cannot be understood"),
            ("name,name\nA,B\n", "names the column name 2 times"),
        ],
    )
    def test_says_in_one_sentence_what_is_wrong_with_a_file(
        self, run_bare: Run, tmp_path: Path, text: str | bytes, sentence: str
    ) -> None:
        path = _file(tmp_path, text)

        ran = run_bare("clients", "dedupe", "--input", path, "--json")

        (line,) = ran.err.strip().splitlines()
        assert ran.code == 2
        assert ran.out == ""
        assert sentence in line

    def test_asks_for_labels_where_it_shall_learn(self, run_bare: Run, tmp_path: Path) -> None:
        path = _file(tmp_path, "name\nA\nB\n")

        ran = run_bare("clients", "dedupe", "--input", path, "--labels", "5", "--json")

        assert (ran.code, ran.out) == (2, "")
        assert "cluster_id" in ran.err
