"""One number that nobody can mean does not take its page with it."""

from __future__ import annotations

from decimal import Decimal

import pytest

from tieline.sdk.slices import NotJson, decode_exact


class TestDecodeExact:
    def test_reads_a_page_around_a_number_of_ten_thousand_digits(self) -> None:
        digits = "9" * 10_000

        page = decode_exact(b'{"id": 7, "hours": ' + digits.encode() + b"}")

        assert page == {"id": 7, "hours": Decimal(digits)}

    def test_still_refuses_what_is_no_number(self) -> None:
        with pytest.raises(NotJson):
            decode_exact(b'{"hours": NaN}')

    @pytest.mark.parametrize(
        ("body", "value"),
        [
            (b"123456789012345678901234567890", 123456789012345678901234567890),
            (b"-0", 0),
            (b"1e400", Decimal("1E+400")),
            (b"0.10", Decimal("0.10")),
            (b'{"a": 1, "a": 2}', {"a": 2}),
            (b'"\\ud800"', "\ud800"),
            (b"\xef\xbb\xbf{}", {}),
            ('{"a": 1}'.encode("utf-16"), {"a": 1}),
        ],
    )
    def test_reads_what_python_reads_digit_for_digit(self, body: bytes, value: object) -> None:
        read = decode_exact(body)

        assert (read, type(read), str(read)) == (value, type(value), str(value))
