"""What the lines of a contract become when the deal has others."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

from tieline.services.deal_changes import LineChanges, compare_lines

OCTOBER, NOVEMBER, JANUARY, APRIL = (
    date(2026, 10, 1), date(2026, 11, 3), date(2027, 1, 1), date(2027, 4, 1),
)  # fmt: skip


def _line(starts_on: date, ends_on: date | None, *, rate: int = 150, **more: Any) -> dict[str, Any]:
    return {
        "task_name": "Build",
        "labor_category": "Consultant",
        "rate_amount": Decimal(rate),
        "currency": "EUR",
        "markup_percent": None,
        "sold_seconds": 36000,
        "starts_on": starts_on,
        "ends_on": ends_on,
        **more,
    }


def _standing(starts_on: date, ends_on: date | None, **more: Any) -> dict[str, Any]:
    return _line(starts_on, ends_on, contract_line_id=uuid4(), **more)


def _compare(standing: list[dict[str, Any]], wanted: list[dict[str, Any]]) -> LineChanges:
    return compare_lines(
        standing=standing, wanted=wanted, moved=(OCTOBER, OCTOBER), on_day=NOVEMBER
    )


class TestLinesOfAChangedDeal:
    def test_end_on_the_day_or_never_began(self) -> None:
        begun, later = _standing(OCTOBER, APRIL), _standing(JANUARY, APRIL, task_name="Run")
        ended = _standing(OCTOBER, OCTOBER.replace(day=9), task_name="Old")

        found = _compare([begun, later, ended], [])

        assert [(each.contract_line_id, each.values) for each in found.changed] == [
            (begun["contract_line_id"], {"ends_on": NOVEMBER})
        ]
        assert [each.contract_line_id for each in found.dropped] == [later["contract_line_id"]]
        assert (found.added, found.troubles) == ((), ())

    def test_stay_as_they_are_whatever_else_is_said_of_them(self) -> None:
        standing = _standing(OCTOBER, APRIL)

        found = _compare([standing], [_line(OCTOBER, APRIL)])

        assert found == LineChanges()

    def test_are_not_priced_twice_on_one_day(self) -> None:
        # The dearer line is gone after it began, and the first one would go on beyond it.
        first, dearer = _standing(OCTOBER, date(2026, 10, 20)), _standing(date(2026, 10, 20), APRIL)

        found = _compare([first, dearer], [_line(OCTOBER, APRIL)])

        assert found.troubles == (
            "Build|Consultant|2026-10-01: begins before the line ends that it replaces",
        )

    def test_have_no_other_rate_without_a_day(self) -> None:
        found = _compare([_standing(OCTOBER, APRIL)], [_line(OCTOBER, APRIL, rate=160)])

        (trouble,) = found.troubles
        assert "add a line with it" in trouble
        standing = _standing(OCTOBER, APRIL, markup_percent=Decimal(15))
        found = _compare([standing], [_line(OCTOBER, APRIL, markup_percent=Decimal(18))])
        assert found.troubles == (trouble,)
        found = _compare([standing], [_line(OCTOBER, APRIL, markup_percent=Decimal("15.0"))])
        assert found == LineChanges()

    def test_move_with_the_first_day_of_the_contract(self) -> None:
        standing: list[dict[str, Any]] = [_standing(OCTOBER, JANUARY), _standing(JANUARY, APRIL)]

        found = compare_lines(
            standing=standing,
            wanted=[_line(NOVEMBER, JANUARY), _line(JANUARY, APRIL)],
            moved=(OCTOBER, NOVEMBER),
            on_day=NOVEMBER,
        )

        (moved,) = found.changed
        first: UUID = standing[0]["contract_line_id"]
        assert (moved.contract_line_id, moved.values) == (first, {"starts_on": NOVEMBER})
        assert moved.moved_to == "Build|Consultant|2026-11-03"
        assert (found.added, found.dropped, found.troubles) == ((), (), ())
