"""Each rule about deals holds in the common rows, and fails alone where its own example says."""

from __future__ import annotations

from typing import Any

import pytest

from tieline.kernel.errors import UserMistake
from tieline.runtime.database import Database
from tieline.validation import DealRule, ask_rules, common_deal_row, deal_columns, deal_rules
from tieline.validation.predicates import check_predicate


def _rows(failing: list[DealRule]) -> dict[str, list[dict[str, Any]]]:
    rows: dict[str, list[dict[str, Any]]] = {"deal": [], "line": [], "person": []}
    for number, rule in enumerate(failing):
        for scope, given in rows.items():
            changed = (rule.fails or {}) if rule.scope == scope else {}
            given.append({"subject_no": number, "thing": scope, **common_deal_row(scope, changed)})
    return rows


class TestTheRulesAboutDeals:
    def test_have_codes_of_their_own(self) -> None:
        codes = [rule.code for rule in deal_rules()]

        assert len(codes) == len(set(codes))
        assert all(code.startswith("deal.") for code in codes)

    def test_hold_in_the_common_deal_rows_and_fail_where_their_examples_say(
        self, worker_database: Database
    ) -> None:
        decidable = [rule for rule in deal_rules() if rule.is_decidable]
        rows = _rows(decidable)
        # The last deal has nothing but common rows.
        for scope, given in rows.items():
            given.append(
                {"subject_no": len(decidable), "thing": scope, **common_deal_row(scope, {})}
            )

        with worker_database.transaction() as connection:
            answers = ask_rules(connection, rows=rows, rules=deal_rules())

        undecided = {rule.code for rule in deal_rules() if not rule.is_decidable}
        clean = answers[len(decidable)]
        assert {code for code, answer in clean.items() if not answer.is_unknown} == set()
        assert undecided <= set(clean)
        for number, rule in enumerate(decidable):
            found = answers[number][rule.code]
            assert not found.is_unknown, rule.code
            thing = (rule.fails or {}).get(rule.thing, rule.scope)
            assert found.things == (thing,), rule.code

    def test_tell_what_nobody_knows_from_what_is_wrong(self, worker_database: Database) -> None:
        rows = {
            "deal": [
                {"subject_no": 0, "thing": "", **common_deal_row("deal", {"amount": None})},
                {
                    "subject_no": 1,
                    "thing": "",
                    **common_deal_row("deal", {"is_every_target_acting": None}),
                },
            ]
        }

        with worker_database.transaction() as connection:
            answers = ask_rules(connection, rows=rows, rules=deal_rules())

        assert answers[0]["deal.amount_differs_from_lines"].is_unknown
        # Nothing says that it may be unknown: then it is no yes.
        assert not answers[1]["deal.target_read_only"].is_unknown

    def test_look_at_documented_columns_only(self) -> None:
        columns = frozenset(deal_columns("line"))

        with pytest.raises(UserMistake, match="no column of the context"):
            check_predicate("is_won", columns=columns)
        assert all(told[1].endswith(".") for told in deal_columns("person").values())
