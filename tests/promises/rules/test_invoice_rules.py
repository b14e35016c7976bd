"""Each rule about invoices holds in the common row, and fails alone where its own example says."""

from __future__ import annotations

from tieline.runtime.database import Database
from tieline.validation import (
    ask_about_invoices,
    common_invoice_row,
    invoice_columns,
    invoice_rules,
)

UNDECIDED = {rule.code for rule in invoice_rules() if not rule.is_decidable}


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
        nothing = {name: None for rule in rules for name in rule.fail_example()}

        with worker_database.transaction() as connection:
            answers = ask_about_invoices(
                connection,
                facts=[common_invoice_row(nothing), common_invoice_row({"is_active": None})],
            )

        assert all(answers[0][rule.code].is_unknown for rule in rules)
        # Nothing says that it may be unknown: then it is no yes.
        assert not answers[1]["readiness.contract_inactive"].is_unknown

    def test_hold_up_what_a_documented_column_says(self) -> None:
        columns = invoice_columns()

        assert all(told[1].endswith(".") for told in columns.values())
        for rule in invoice_rules():
            assert not rule.amount or columns[rule.amount][0] == "numeric"
            assert not rule.seconds or columns[rule.seconds][0] == "bigint"
