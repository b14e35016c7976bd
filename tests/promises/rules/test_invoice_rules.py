"""Each rule about invoices holds in the common row, and fails alone where its own example says."""

from __future__ import annotations

from tieline.runtime.database import Database
from tieline.validation import (
    ask_about_invoices,
    common_invoice_row,
    invoice_columns,
    invoice_rules,
)
from tieline.validation.predicates import read_columns

UNDECIDED = {
    rule.code
    for rule in invoice_rules()
    if not rule.is_decidable and rule.applies_when.lower() == "true"
}


class TestTheRulesAboutInvoices:
    def test_have_codes_of_their_own(self) -> None:
        codes = [rule.code for rule in invoice_rules()]

        assert len(codes) == len(set(codes))
        assert all(code.startswith("readiness.") for code in codes)
        assert {rule.severity for rule in invoice_rules()} <= {"block", "risk", "warn"}

    def test_hold_in_the_common_row_and_fail_where_their_examples_say(
        self, worker_database: Database
    ) -> None:
        decidable = [rule for rule in invoice_rules() if rule.is_decidable]
        facts = [common_invoice_row(rule.fails or {}) for rule in decidable]

        with worker_database.transaction() as connection:
            answers = ask_about_invoices(connection, facts=[*facts, common_invoice_row({})])

        clean = answers[len(decidable)]
        assert {code for code, answer in clean.items() if not answer.is_unknown} == set()
        assert set(clean) == UNDECIDED
        for number, rule in enumerate(decidable):
            assert not answers[number][rule.code].is_unknown, rule.code

    def test_tell_what_nobody_knows_from_what_is_wrong(self, worker_database: Database) -> None:
        rules = [rule for rule in invoice_rules() if rule.is_decidable and rule.unknown]
        nothing = [
            {**(rule.fails or {}), **dict.fromkeys(read_columns(rule.known_when))} for rule in rules
        ]

        with worker_database.transaction() as connection:
            answers = ask_about_invoices(
                connection,
                facts=[*map(common_invoice_row, nothing), common_invoice_row({"is_active": None})],
            )

        for number, rule in enumerate(rules):
            assert answers[number][rule.code].is_unknown, rule.code
        # Nothing says that it may be unknown: then it is no yes.
        assert not answers[len(rules)]["readiness.contract_inactive"].is_unknown

    def test_leave_alone_what_they_do_not_speak_of(self, worker_database: Database) -> None:
        nothing_to_know = {
            "purchase_order": None,
            "is_purchase_order_required": False,
            "orders_told": 0,
            "orders_count": 0,
            "waiting_seconds": 0,
            "is_in_time": None,
            "legs_count": 0,
            "are_legs_told": False,
        }

        with worker_database.transaction() as connection:
            answers = ask_about_invoices(
                connection,
                facts=[
                    common_invoice_row(nothing_to_know),
                    common_invoice_row({"funding_count": 1, "funding_amount": None}),
                    common_invoice_row({"funding_count": 0, "funding_amount": None}),
                ],
            )

        assert set(answers[0]) == UNDECIDED
        # A limit of another task or currency says that there is one.
        assert set(answers[1]) == UNDECIDED | {"readiness.funding_spent"}
        assert set(answers[2]) == UNDECIDED

    def test_hold_up_what_a_documented_column_says(self) -> None:
        columns = invoice_columns()

        assert all(told[1].endswith(".") for told in columns.values())
        for rule in invoice_rules():
            assert not rule.amount or columns[rule.amount][0] == "numeric"
            assert not rule.seconds or columns[rule.seconds][0] == "bigint"
