"""The file for people: the same bytes for the same lines, and nothing in it that a spreadsheet computes."""

from __future__ import annotations

import csv
import io

import pytest

from tieline.kernel.errors import MendTieline
from tieline.posting.import_file import checksum_of, unsafe_words, write_rows
from tieline.sdk import ColumnKind, ImportColumn, ImportLayout

LAYOUT = ImportLayout(
    columns=(
        ImportColumn(name="work", kind=ColumnKind.WORD),
        ImportColumn(name="duration", kind=ColumnKind.NUMBER),
        ImportColumn(name="words", kind=ColumnKind.TEXT, carries_key=True),
    ),
    dates="YYYY-MM-DD",
    durations="H:MM:SS",
    lines_max=10,
    steps=(),
)


class TestAFile:
    @pytest.mark.parametrize("begins", ["=", "+", "-", "@", "\t", "\r"])
    def test_shows_a_formula_and_keeps_every_number(self, begins: str) -> None:
        content = write_rows(layout=LAYOUT, rows=[("T-1", "1:00:00", f'{begins}1+"2",3')])

        rows = list(csv.reader(io.StringIO(content.decode(), newline="")))
        assert rows == [["work", "duration", "words"], ["T-1", "1:00:00", f'\'{begins}1+"2",3']]

    def test_is_the_same_for_the_same_lines(self) -> None:
        rows = [("T-1", "0:00:01", "Straße, \n 10 €"), ("T-2", "24:00:00", "")]
        other = [rows[1], rows[0]]

        sums = {checksum_of(write_rows(layout=LAYOUT, rows=rows)) for _ in range(2)}

        assert len(sums) == 1
        assert checksum_of(write_rows(layout=LAYOUT, rows=other)) not in sums

    def test_takes_no_word_that_would_have_to_be_changed(self) -> None:
        row = ("=T-1", "0:00:01", "words")

        assert unsafe_words(layout=LAYOUT, row=row) == ["work"]
        with pytest.raises(MendTieline):
            write_rows(layout=LAYOUT, rows=[row])

    @pytest.mark.parametrize("number", ["-1", "=1", "", "1e3", "1 h"])
    def test_takes_no_number_that_is_none(self, number: str) -> None:
        with pytest.raises(MendTieline):
            write_rows(layout=LAYOUT, rows=[("T-1", number, "words")])
