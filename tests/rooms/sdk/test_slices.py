"""Exact JSON: a record's bytes are never written anew, its numbers never pass through float."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tieline.sdk.slices import (
    NotJson,
    array_slices,
    decode_exact,
    decode_page,
    encode_exact,
    envelope,
    member_slices,
)

_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**62), 2**62) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


class TestSlices:
    @given(st.lists(_values), st.sampled_from([None, 1, 3]), st.booleans())
    def test_are_the_very_bytes(
        self, values: list[object], indent: int | None, ensure_ascii: bool
    ) -> None:
        texts = [json.dumps(v, indent=indent, ensure_ascii=ensure_ascii) for v in values]
        page = '{"before": [1], "rows" : [ ' + " ,\n".join(texts) + ' ], "after": {"rows": []}}'

        slices = array_slices(page.encode(), field="rows")

        assert slices == [text.encode() for text in texts]

    def test_keep_spaces_and_the_spelling_of_numbers(self) -> None:
        page = b'{"rows": [ {"hours" : 0.330,"a":1E2 } ]}'

        assert array_slices(page, field="rows") == [b'{"hours" : 0.330,"a":1E2 }']

    def test_are_cut_around_half_of_a_character(self) -> None:
        page = b'{"a": 1, "rows" : [ {"n": "\\ud800"} , {"h" : 1E2}, [NaN] ], "\\udc00": [] }'

        assert array_slices(page, field="rows") == [
            b'{"n": "\\ud800"}',
            b'{"h" : 1E2}',
            b"[NaN]",
        ]
        assert decode_page(page)["rows"][1:] == [{"h": Decimal(100)}, ["NaN"]]

    @pytest.mark.parametrize(
        "rows",
        [
            b'["\\ud800"',
            b'["\\ud800",]',
            b'["\\ud800" 1]',
            b'["\\ud800", nan]',
            b'["\\ud800"] 1',
            b'{"\\ud800"}',
        ],
    )
    def test_are_not_cut_out_of_what_is_no_list(self, rows: bytes) -> None:
        with pytest.raises(NotJson):
            array_slices(b'{"rows": ' + rows + b"}", field="rows")

    @pytest.mark.parametrize("page", [b"", b"[]", b"{}", b'{"rows": {}}', b'{"rows": [1', b"\xff"])
    def test_of_no_page_are_refused(self, page: bytes) -> None:
        with pytest.raises(NotJson):
            array_slices(page, field="rows")

    def test_an_envelope_holds_them_unchanged(self) -> None:
        body = envelope({"deal": b'{ "a" : 1.0 }', "lines": [b"1.10", b"2"]})

        assert member_slices(body) == {"deal": b'{ "a" : 1.0 }', "lines": b"[1.10,2]"}


class TestNumbers:
    def test_are_read_from_their_text(self) -> None:
        assert decode_exact(b"[0.1, 1.10, 7]") == [Decimal("0.1"), Decimal("1.10"), 7]

    @pytest.mark.parametrize("text", [b"NaN", b"Infinity", b"-Infinity", b"[1, NaN]"])
    def test_that_are_none_are_refused(self, text: bytes) -> None:
        with pytest.raises(NotJson):
            decode_exact(text)

    def test_are_written_digit_for_digit(self) -> None:
        assert encode_exact({"rate": Decimal("120.50")}) == b'{"rate":120.50}'

    @pytest.mark.parametrize("value", [0.5, Decimal("NaN")])
    def test_without_an_exact_text_are_not_written(self, value: object) -> None:
        with pytest.raises(NotJson):
            encode_exact([value])
