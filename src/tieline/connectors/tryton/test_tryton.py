"""What is particular to Tryton and needs no server: its rule, its sentences, its typed values."""

from __future__ import annotations

import json
import re
from datetime import date, timedelta
from decimal import Decimal
from importlib import resources
from pathlib import Path
from uuid import UUID

import pytest

from tieline.canonical import Client, ClientCommand, Person, TimeEntry
from tieline.canonical.nouns import Approval
from tieline.connectors.tryton import translate, wire
from tieline.connectors.tryton.answers import Call, from_error
from tieline.kernel.errors import (
    AlreadyExists,
    AskPerson,
    MendTieline,
    NotExecuted,
    OutcomeUnknown,
    Refused,
    StreamBroken,
    TielineError,
)
from tieline.sdk import HourSum, RawRecord, Translated, Untranslatable


def _sum(code: str, *, seconds: int, rate: str = "150", name: str = "Design") -> HourSum:
    return HourSum(
        task_code=code,
        task_name=name,
        labor_category="CON",
        rate_starts_on=None,
        rate_amount=Decimal(rate),
        seconds=seconds,
    )


class TestInvoiceRule:
    @pytest.mark.parametrize(
        ("minutes", "hours", "amount"),
        [(20, "0.33", "49.50"), (67, "1.12", "168.00"), (60, "1", "150.00"), (1, "0.02", "3.00")],
    )
    def test_rounds_the_sum_of_a_task_to_a_hundredth_of_an_hour(
        self, minutes: int, hours: str, amount: str
    ) -> None:
        (line,) = translate.invoice_rule(sums=[_sum("1", seconds=minutes * 60)], currency="EUR")

        assert (line.quantity, line.amount) == (Decimal(hours), Decimal(amount))

    @pytest.mark.parametrize(
        ("seconds", "hours"), [(18, "0"), (54, "0.02"), (450, "0.12"), (2070, "0.57")]
    )
    def test_lets_a_tie_fall_where_binary_numbers_let_it_fall(
        self, seconds: int, hours: str
    ) -> None:
        # 2,070 s are 0.575 h; half to even would be 0.58.
        assert translate.hours_of(seconds) == Decimal(hours)

    def test_rounds_half_a_cent_to_even(self) -> None:
        (line,) = translate.invoice_rule(
            sums=[_sum("1", seconds=1800, rate="99.01")], currency="EUR"
        )

        assert line.amount == Decimal("49.50")

    def test_merges_neighbors_of_one_name_and_price_and_nothing_else(self) -> None:
        lines = translate.invoice_rule(
            sums=[
                _sum("1", seconds=1200),
                _sum("2", seconds=1200),
                _sum("3", seconds=1200, rate="160"),
                _sum("4", seconds=1200),
            ],
            currency="EUR",
        )

        assert [(line.task_codes, line.quantity) for line in lines] == [
            (("1", "2"), Decimal("0.66")),
            (("3",), Decimal("0.33")),
            (("4",), Decimal("0.33")),
        ]

    def test_leaves_out_what_has_no_price_or_rounds_to_nothing(self) -> None:
        lines = translate.invoice_rule(
            sums=[_sum("1", seconds=3600, rate="0"), _sum("2", seconds=17)], currency="EUR"
        )

        assert lines == []

    def test_rounds_to_the_digits_of_the_currency(self) -> None:
        (line,) = translate.invoice_rule(sums=[_sum("1", seconds=1200)], currency="JPY")

        assert line.amount == Decimal(50)


class TestErrors:
    @pytest.mark.parametrize(
        ("message", "kind", "reason"),
        [
            ("The UUID of timesheet line must be unique.", AlreadyExists, "target.exists"),
            (
                (
                    'You cannot modify the duration of timesheet line "(9)" because it has been '
                    "invoiced."
                ),
                Refused,
                "target.invoiced",
            ),
            (
                'To continue, you must reopen the period "2026-10" of company X.',
                Refused,
                "target.period_closed",
            ),
            ('A value is required for field "Work".', Refused, "target.value_missing"),
            ('The value "9" for field "Work" does not exist.', Refused, "target.reference_unknown"),
            ("Something Tryton never said before.", Refused, "target.refused"),
        ],
    )
    def test_carry_a_stable_reason(self, message: str, kind: type[Refused], reason: str) -> None:
        error = from_error(error=["UserError", [message, "", None]], call=Call.WRITE, method="m")

        assert isinstance(error, Refused)
        assert type(error) is kind
        assert error.reason == reason

    @pytest.mark.parametrize(
        ("error", "call", "kind"),
        [
            (["UserWarning", ["name", "in the future", ""]], Call.WRITE, Refused),
            (["UserError", ['You are not allowed to access "X".', ""]], Call.WRITE, AskPerson),
            (["ConcurrencyException", "changed"], Call.WRITE, NotExecuted),
            (["LoginException", ["x", "y", "z"]], Call.WRITE, AskPerson),
            (["'foo'", ""], Call.WRITE, MendTieline),
            (["server closed the connection", ""], Call.WRITE, OutcomeUnknown),
            (["server closed the connection", ""], Call.READ, StreamBroken),
            ("nothing like a list", Call.WRITE, OutcomeUnknown),
        ],
    )
    def test_say_what_to_do_next(self, error: object, call: Call, kind: type[TielineError]) -> None:
        assert type(from_error(error=error, call=call, method="m")) is kind


class TestWire:
    def test_keeps_money_as_digits_and_durations_as_seconds(self) -> None:
        sent = wire.encode(
            {"rate": Decimal("150.10"), "took": timedelta(hours=1), "on": date(2026, 10, 5)}
        )

        assert sent == {
            "rate": {"__class__": "Decimal", "decimal": "150.10"},
            "took": {"__class__": "timedelta", "seconds": 3600},
            "on": {"__class__": "date", "year": 2026, "month": 10, "day": 5},
        }
        assert wire.decode(json.dumps(sent)) == {
            "rate": Decimal("150.10"),
            "took": timedelta(hours=1),
            "on": date(2026, 10, 5),
        }

    def test_reads_no_number_that_is_none_and_sends_no_float(self) -> None:
        with pytest.raises(ValueError, match="NaN"):
            wire.decode('{"result": NaN}')
        with pytest.raises(TypeError):
            wire.encode([0.1])


class TestTranslate:
    def test_reads_a_party_with_its_tax_number(self) -> None:
        client = _noun("parties")

        assert isinstance(client, Client)
        assert (client.name, client.vat_number) == ("Brandt Maschinenbau AG", "DE136695976")
        assert (client.city, client.country_code, client.is_active) == ("Ulm", "DE", True)

    @pytest.mark.parametrize(
        ("country_code", "number", "code"),
        [("US", "US043379124", "043379124"), ("GB", "GB340804329", "GB340804329")],
    )
    def test_writes_an_american_number_without_its_country(
        self, country_code: str, number: str, code: str
    ) -> None:
        command = ClientCommand(
            business_key=UUID(int=1),
            entity_code="HR-US",
            name="Harborline Mutual Inc.",
            vat_number=number,
            street=None,
            city=None,
            postal_code=None,
            country_code=country_code,
            parent_code=None,
        )

        values = translate.party_values(command=command, country_id=1)

        assert values["identifiers"][0][1][0]["code"] == code
        row = {"name": command.name}
        content = translate.client_content(command=command, row=row, vat_numbers=[code])
        assert content["vat_number"] == number

    def test_reads_an_employee_with_the_entity_and_cost_rate(self) -> None:
        person = _noun("employees")

        assert isinstance(person, Person)
        assert person.entity_code == "HR-DE"
        assert person.cost_rate == Decimal("65.00")
        assert [(each.starts_on, each.amount) for each in person.cost_rates] == [
            (date(2020, 1, 1), Decimal("61.50")),
            (date(2026, 7, 1), Decimal("65.00")),
        ]
        assert person.email is not None

    def test_claims_no_approval_for_a_time_line(self) -> None:
        entry = _noun("time_lines")

        assert isinstance(entry, TimeEntry)
        assert entry.approval is Approval.UNKNOWN
        assert entry.seconds == 3600

    def test_bills_no_hour_of_what_is_billed_by_a_schedule_or_by_cost(self) -> None:
        by_hours = ("time_and_materials", "capped_time_and_materials")
        by_schedule = ("fixed_fee", "milestone", "retainer", "subscription", "cost_plus")

        assert {translate.invoice_method(each) for each in by_hours} == {"timesheet"}
        assert {translate.invoice_method(each) for each in by_schedule} == {"manual"}

    def test_makes_an_unknown_state_a_case(self) -> None:
        result = translate.translate(record=_record("periods", "periods.unknown_state.json"))

        assert isinstance(result, Untranslatable)
        assert (result.reason, result.field) == ("source.word_unknown", "state")

    @pytest.mark.parametrize(
        ("sent", "kept"),
        [(" Northmoor\tCouncil\n", "Northmoor Council"), ("a\x00b", "a b"), ("x" * 300, "x" * 250)],
    )
    def test_writes_one_line_where_tryton_keeps_one(self, sent: str, kept: str) -> None:
        assert translate.one_line(sent) == kept


def _noun(stream: str) -> object:
    result = translate.translate(record=_record(stream, f"{stream}.json"))
    assert isinstance(result, Translated)
    return result.noun


def _record(stream: str, name: str) -> RawRecord:
    folder = resources.files("tieline.connectors.tryton").joinpath("fixtures")
    return RawRecord(
        object=stream, source_ref="1", body=folder.joinpath(name).read_bytes(), source_at=None
    )


class TestTimeLines:
    def test_are_never_freed_from_an_invoice(self) -> None:
        folder = Path(__file__).parent
        source = "".join(path.read_text() for path in folder.glob("*.py") if path != Path(__file__))

        # An hour that is freed from a posted invoice bills a second time, without an error.
        assert "model.timesheet.line.create" in source
        assert re.findall(r"""["']invoice_line["']\s*:""", source) == []
