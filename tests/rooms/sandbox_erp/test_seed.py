"""What a firm's calendar becomes in the ERP."""

from __future__ import annotations

from datetime import date

import pytest

from tieline.sandbox.erp.seed import fiscal_years, identifier_type, months_within


class TestFiscalYears:
    def test_begin_before_the_first_open_day(self) -> None:
        years = fiscal_years(start="04-01", opens_on=date(2026, 2, 1), closes_on=date(2026, 12, 1))

        assert years == [
            (date(2025, 4, 1), date(2026, 4, 1)),
            (date(2026, 4, 1), date(2027, 4, 1)),
        ]

    def test_cover_a_decade_of_real_records(self) -> None:
        years = fiscal_years(start="01-01", opens_on=date(2004, 1, 1), closes_on=date(2015, 1, 1))

        months = [
            month for starts_on, ends_on in years
            for month in months_within(starts_on=starts_on, ends_on=ends_on)
        ]  # fmt: skip
        assert len(years) == 11
        assert len(months) == 132
        assert months[0] == (date(2004, 1, 1), date(2004, 2, 1))
        assert months[-1] == (date(2014, 12, 1), date(2015, 1, 1))

    def test_refuse_a_span_that_is_a_typing_error(self) -> None:
        with pytest.raises(ValueError, match="more than 40 fiscal years"):
            fiscal_years(start="01-01", opens_on=date(1, 1, 1), closes_on=date(2027, 1, 1))


class TestMonthsWithin:
    def test_are_cut_at_the_ends_of_a_year_that_begins_mid_month(self) -> None:
        months = months_within(starts_on=date(2026, 4, 6), ends_on=date(2026, 6, 6))

        assert months == [
            (date(2026, 4, 6), date(2026, 5, 1)),
            (date(2026, 5, 1), date(2026, 6, 1)),
            (date(2026, 6, 1), date(2026, 6, 6)),
        ]


class TestIdentifierType:
    @pytest.mark.parametrize(
        ("country", "kind"),
        [("DE", "eu_vat"), ("GB", "gb_vat"), ("US", "us_ein"), ("BR", None), (None, None)],
    )
    def test_follows_the_country(self, country: str | None, kind: str | None) -> None:
        assert identifier_type(country) == kind
