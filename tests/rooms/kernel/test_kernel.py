"""The kernel: keys, money and periods keep their promises."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tieline.kernel.keys import SourceIdentity, business_key, key_as_base32, key_as_digits
from tieline.kernel.money import Money, line_amount, seconds_from_hours
from tieline.kernel.periods import Period, month_of, next_month
from tieline.kernel.wording import hours_and_minutes


def _key(*, source_ref: str = "12", part: str = "main", effect_no: int = 1) -> UUID:
    return business_key(
        source=SourceIdentity(
            connection_key="harvest", source_epoch=0, object="time_entries", source_ref=source_ref
        ),
        target_connection="tryton",
        noun="time_line",
        part=part,
        effect_no=effect_no,
    )


class TestBusinessKey:
    def test_is_the_same_for_the_same_event(self) -> None:
        assert _key() == _key()

    def test_differs_when_words_shift_between_parts(self) -> None:
        one = business_key(
            source=SourceIdentity(connection_key="ab", source_epoch=0, object="c", source_ref="d"),
            target_connection="t",
            noun="n",
            part="",
            effect_no=1,
        )
        other = business_key(
            source=SourceIdentity(connection_key="a", source_epoch=0, object="bc", source_ref="d"),
            target_connection="t",
            noun="n",
            part="",
            effect_no=1,
        )
        assert one != other

    @given(st.integers(min_value=1, max_value=16), st.text(max_size=20))
    def test_renders_without_loss(self, effect_no: int, source_ref: str) -> None:
        key = _key(source_ref=source_ref, effect_no=effect_no)

        assert UUID(int=int(key_as_digits(key))) == key
        assert len(key_as_base32(key)) == 26


class TestMoney:
    def test_prices_a_line_with_one_rounding(self) -> None:
        rate = Money(amount=Decimal("150"), currency="EUR")

        assert line_amount(seconds=1200, rate=rate) == Money(
            amount=Decimal("50.00"), currency="EUR"
        )

    def test_rounds_half_up_to_the_digits_of_the_currency(self) -> None:
        rate = Money(amount=Decimal("1"), currency="JPY")

        assert line_amount(seconds=1800, rate=rate).amount == Decimal("1")

    def test_refuses_to_add_two_currencies(self) -> None:
        with pytest.raises(ValueError, match="never added"):
            _ = Money(amount=Decimal(1), currency="EUR") + Money(amount=Decimal(1), currency="GBP")

    def test_takes_a_third_of_an_hour_as_the_source_wrote_it(self) -> None:
        assert seconds_from_hours(Decimal("0.33")) == 1188

    @pytest.mark.parametrize("hours", ["NaN", "Infinity"])
    def test_refuses_what_is_not_a_number_of_hours(self, hours: str) -> None:
        with pytest.raises(ValueError, match="not a number"):
            seconds_from_hours(Decimal(hours))


class TestWords:
    @pytest.mark.parametrize(
        ("seconds", "said"),
        [(5_000, "1:23"), (5_010, "1:24"), (-5_000, "-1:23"), (29, "0:00"), (360_000, "100:00")],
    )
    def test_of_hours_and_minutes_are_rounded_once(self, seconds: int, said: str) -> None:
        assert hours_and_minutes(seconds) == said


class TestPeriod:
    def test_contains_its_first_day_and_not_its_end(self) -> None:
        month = month_of(date(2026, 2, 10))

        assert date(2026, 2, 1) in month
        assert date(2026, 3, 1) not in month

    def test_refuses_to_end_before_it_starts(self) -> None:
        with pytest.raises(ValueError, match="cannot end"):
            Period(starts_on=date(2026, 2, 1), ends_on=date(2026, 2, 1))

    def test_turns_the_year(self) -> None:
        assert next_month(date(2026, 12, 31)) == date(2027, 1, 1)
