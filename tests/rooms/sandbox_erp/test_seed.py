"""What a firm's calendar becomes in the ERP."""

from __future__ import annotations

from datetime import date

import pytest

from tieline.sandbox.erp.seed import (
    fiscal_years,
    identifier_type,
    months_within,
    years_of_weeks,
)


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


class TestYearsOfWeeks:
    def test_cover_a_span_without_a_gap_whatever_year_has_a_53rd_week(self) -> None:
        years = years_of_weeks(opens_on=date(2026, 9, 1), closes_on=date(2027, 3, 1))

        assert [(year[0][0], year[-1][1], len(year)) for year in years] == [
            (date(2025, 12, 29), date(2027, 1, 4), 12),
            (date(2027, 1, 4), date(2028, 1, 3), 12),
        ]
        assert [(after - first).days // 7 for first, after in years[0]] == [4, 4, 5] * 3 + [4, 4, 6]


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
