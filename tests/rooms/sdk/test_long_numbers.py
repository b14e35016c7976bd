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
