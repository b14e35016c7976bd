"""What a contract split among clients bills each of them: shares that make the whole, one invoice each, once."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as some
from tests.flows.test_readiness import Scene
from tests.rooms.casework.hand_made_firm import NOW, Firm

from tieline.app import InstalledSystems
from tieline.governance import open_web_transaction
from tieline.kernel.errors import UserMistake
from tieline.kernel.money import currency_digits
from tieline.runtime.database import Database
from tieline.runtime.migrate import Dsns
from tieline.sdk import InvoiceItem
from tieline.services.billing_shares import Share, is_whole, share_amounts, share_items, shares_on
from tieline.services.changes import list_credits
from tieline.services.explain import explain
from tieline.services.invoice_readiness import (
    Drafted,
    NotDrafted,
    Readiness,
    compute_readiness,
    draft_invoice,
    list_readiness,
    release_contract,
    withdraw_release,
)
from tieline.services.invoicing import list_invoices
from tieline.services.links import read_links

_ERP = "books"


@pytest.fixture
def scene(worker_database: Database) -> Scene:
    """Give a firm, an ERP and short words for what a test does with them."""
    return Scene(worker_database)


def make_client(firm: Firm, name: str, *, code: str | None, country: str = "DE") -> UUID:
    client_id = uuid4()
    firm.connection.execute(
        "INSERT INTO client (client_id, recorded_at) VALUES (%s, %s)", (client_id, NOW)
    )
    firm.connection.execute(
        "INSERT INTO client_version (client_id, name, name_key, vat_number, street, postal_code, city,"
        " country_code, is_active, recorded_at) VALUES (%s, %s, %s, %s, 'Ring 1', '50667', 'Köln', %s, true, %s)",
        (client_id, name, name.lower(), f"DE{code or 0:0>9}", country, NOW),
    )
    if code is not None:
        know_client(firm, client_id, code)
    return client_id


def know_client(firm: Firm, client_id: UUID, code: str) -> None:
    firm.connection.execute(
        "INSERT INTO crosswalk (connection_key, noun, source_ref, our_id, because, recorded_at)"
        " VALUES (%s, 'client', %s, %s, 'test', %s)",
        (_ERP, code, client_id, NOW),
    )


def split_contract(
    firm: Firm, client_id: UUID, percent: str, *, takes_rounding: bool = False, **told: Any
) -> None:
    load = firm.connection.execute(
        "INSERT INTO reference_load (noun, file_name, loaded_by, approved_by, reason, rows, recorded_at)"
        " VALUES ('billing-splits', 'x.csv', 'ada', 'ben', 'agreed', 1, %s) RETURNING load_id",
        (NOW,),
    ).fetchone()
    assert load is not None
    row = {
        "contract_code": f"C-{firm.last['code']}",
        "client_id": client_id,
        "percent": Decimal(percent),
        "takes_rounding": takes_rounding,
        "starts_on": date(2026, 1, 1),
        "recorded_at": NOW,
        "load_id": load["load_id"],
        "line_number": 1,
        **told,
    }
    firm.connection.execute(
        f"INSERT INTO billing_split ({', '.join(row)}) VALUES ({', '.join(['%s'] * len(row))})",
        list(row.values()),
    )


def _three(firm: Firm) -> None:
    """Split the contract in three, of whom the contract's own client takes the rounding."""
    know_client(firm, firm.client_id, "11")
    split_contract(firm, firm.client_id, "33.34", takes_rounding=True)
    for name, code in (("Süd AG", "12"), ("West KG", "13")):
        split_contract(firm, make_client(firm, name, code=code), "33.33")


def _hours(firm: Firm) -> None:
    _three(firm)
    firm.hour("e1", project=firm.last, seconds=3600)
    firm.hour("e2", project=firm.last, seconds=1200, work_date=date(2026, 10, 8))


def _second_project(firm: Firm) -> dict[str, Any]:
    """Give the contract another project."""
    project = {**firm.last, "project_id": uuid4(), "task_id": uuid4()}
    for statement in (
        (
            "INSERT INTO project (project_id, contract_id, entity_code, project_code, recorded_at)"
            " VALUES (%(project_id)s, %(contract_id)s, %(entity_code)s, 'P1b', %(now)s)"
        ),
        (
            "INSERT INTO project_version (project_id, name, status, accepts_time, starts_on, recorded_at)"
            " VALUES (%(project_id)s, 'Project P1b', 'active', true, '2026-01-01', %(now)s)"
        ),
        (
            "INSERT INTO task (task_id, project_id, task_name, is_billable, starts_on, recorded_at)"
            " VALUES (%(task_id)s, %(project_id)s, 'Build', true, '2026-01-01', %(now)s)"
        ),
        (
            "INSERT INTO crosswalk (connection_key, noun, source_ref, our_id, because, recorded_at)"
            " VALUES ('books', 'project', 'work-P1b', %(project_id)s, 'test', %(now)s)"
        ),
    ):
        firm.connection.execute(statement, {**project, "now": NOW})
    return project


def _amounts(scene: Scene) -> dict[str | None, Decimal]:
    return {scene.erp.clients[each.target_code]: each.untaxed_amount for each in scene.erp.invoices}


class TestShares:
    @given(
        cents=some.lists(some.integers(-(10**14), 10**14), min_size=1, max_size=5),
        parts=some.lists(some.integers(1, 10**6), min_size=1, max_size=6),
        currency=some.sampled_from(["EUR", "JPY", "KWD"]),
        place=some.integers(0, 5),
    )
    def test_make_the_whole_and_are_each_rounded_once(
        self, cents: list[int], parts: list[int], currency: str, place: int
    ) -> None:
        quantum = Decimal(1).scaleb(-currency_digits(currency))
        percents = [Decimal(part * 100) / sum(parts) for part in parts]
        percents = [each.quantize(Decimal("0.000001")) for each in percents]
        percents[0] += 100 - sum(percents)
        if min(percents) <= 0:
            percents = [Decimal(100)]
        taker = place % len(percents)
        shares = [_share(each, number == taker) for number, each in enumerate(percents)]
        items = [_item(str(number), cent * quantum) for number, cent in enumerate(cents)]
        amount = sum((item.amount for item in items), Decimal(0))

        found = share_items(items, shares=shares, currency=currency)
        paid = [sum((line.amount for line in lines), Decimal(0)) for lines in found]

        assert is_whole(shares)
        assert sum(paid) == amount
        assert tuple(paid) == share_amounts(amount, shares=shares, currency=currency)
        for number, (share, lines) in enumerate(zip(shares, found, strict=True)):
            exact = amount * share.percent / 100
            leeway = quantum / 2 * (len(shares) - 1 if number == taker else 1)
            assert abs(paid[number] - exact) <= leeway
            assert all(line.amount and line.amount % quantum == 0 for line in lines)

    def test_of_one_client_in_two_rows_are_one(self) -> None:
        client_id = uuid4()
        rows = [
            _row(client_id, "40", False),
            _row(client_id, "10", True),
            _row(uuid4(), "50", False),
        ]

        shares = shares_on(rows, date(2026, 10, 31))

        assert [(str(each.percent), each.takes_rounding) for each in shares] == [
            ("50", True),
            ("50", False),
        ]
        assert is_whole(shares)

    @pytest.mark.parametrize(
        ("percents", "takers"), [((60, "39.99"), 1), ((60, 40), 2), ((60, 40), 0), ((), 0)]
    )
    def test_make_no_whole(self, percents: tuple[Any, ...], takers: int) -> None:
        shares = [_share(Decimal(each), number < takers) for number, each in enumerate(percents)]

        assert not is_whole(shares)


def _share(percent: Decimal, takes_rounding: bool) -> Share:
    return Share(
        client_id=uuid4(),
        client_code="1",
        percent=percent,
        takes_rounding=takes_rounding,
        is_complete=True,
        is_tax_allowed=True,
        hold=None,
    )


def _row(client_id: UUID, percent: str, takes_rounding: bool) -> dict[str, Any]:
    return {
        "client_id": client_id,
        "client_code": "1",
        "percent": Decimal(percent),
        "takes_rounding": takes_rounding,
        "is_complete": True,
        "is_tax_allowed": True,
        "hold": None,
        "starts_on": date(2026, 1, 1),
        "ends_on": None,
    }


def _item(name: str, amount: Decimal) -> InvoiceItem:
    return InvoiceItem(item_code=name, item=name, description=name, amount=amount, task_codes=())


class TestHours:
    def test_are_billed_to_each_client_by_its_share(self, scene: Scene) -> None:
        scene.arrange(_hours)

        before = scene.compute()
        scene.release()
        drafted = scene.draft()
        after = scene.compute()

        # 150.00 and 50.00: a third each, and the contract's own client takes what is left.
        assert (before.state, before.expected_amount) == ("ready", Decimal("200.00"))
        assert _paid(before) == {"33.34": ["66.68"], "33.33": ["66.66", "66.66"]}
        assert isinstance(drafted, Drafted)
        assert drafted.untaxed_amount == drafted.expected_amount == Decimal("200.00")
        assert _amounts(scene) == {
            "11": Decimal("66.68"),
            "12": Decimal("66.66"),
            "13": Decimal("66.66"),
        }
        assert scene.erp.cost_only == {"work-P1"}
        assert [len(keys) for keys in scene.erp.hours_told] == [2, 0, 0]
        assert scene.erp.invoices[0].lines[0].description == "Build: 1:20 h at 150 (33.34 %)"
        assert (after.state, after.invoiced_amount) == ("invoiced", Decimal("200.00"))
        assert [len(share["invoices"]) for share in after.shares] == [1, 1, 1]
        assert {share["client_name"] for share in after.shares} == {
            "Nordwind AG",
            "Süd AG",
            "West KG",
        }
        assert scene.one("SELECT count(*) FROM invoice_ledger_line") == 2
        assert scene.one("SELECT sum(ledger_amount) FROM invoice_record") == Decimal("200.00")
        assert (
            scene.one("SELECT count(*) FROM case_file WHERE reason = 'invoice.total_differs'") == 0
        )

    def test_of_two_projects_are_billed_by_an_invoice_each(self, scene: Scene) -> None:
        def build(firm: Firm) -> None:
            _hours(firm)
            firm.hour("e3", project=_second_project(firm), seconds=2400)

        scene.arrange(build)
        before = scene.compute()
        scene.release()
        drafted = scene.draft()

        assert isinstance(drafted, Drafted)
        assert before.expected_amount == drafted.untaxed_amount == Decimal("300.00")
        assert sorted(
            (str(scene.erp.clients[each.target_code]), each.untaxed_amount)
            for each in scene.erp.invoices
        ) == [
            ("11", Decimal("33.34")),
            ("11", Decimal("66.68")),
            ("12", Decimal("33.33")),
            ("12", Decimal("66.66")),
            ("13", Decimal("33.33")),
            ("13", Decimal("66.66")),
        ]
        assert scene.erp.cost_only == {"work-P1", "work-P1b"}
        assert scene.one("SELECT count(*) FROM invoice_ledger_line") == 3
        assert scene.draft() == replace(drafted, is_new=False)
        assert len(scene.erp.invoices) == 6

    def test_of_costs_are_billed_project_by_project_too(self, scene: Scene) -> None:
        def build(firm: Firm) -> None:
            firm.connection.execute("UPDATE contract_version SET billing_method = 'cost_plus'")
            firm.hour("e1", project=firm.last, seconds=3600)
            firm.hour("e2", project=_second_project(firm), seconds=2400)

        scene.arrange(build)
        scene.compute()
        scene.release()
        drafted = scene.draft()

        assert isinstance(drafted, Drafted)
        assert sorted(each.untaxed_amount for each in scene.erp.invoices) == [
            Decimal("100.00"),
            Decimal("150.00"),
        ]
        assert scene.erp.cost_only == {"work-P1", "work-P1b"}

    @pytest.mark.parametrize("fault", ["answer_lost", "killed", "refused", "busy"])
    def test_are_billed_once_when_something_happens_between_two_drafts(
        self, scene: Scene, fault: str
    ) -> None:
        scene.arrange(_hours)
        scene.compute()
        scene.release()
        scene.erp.faults = ["", fault]

        if fault == "killed":
            with pytest.raises(KeyboardInterrupt):
                scene.draft()
        else:
            assert isinstance(scene.draft(), NotDrafted)
        between = scene.compute()
        # The shares that were agreed meanwhile are for what is drawn from now on.
        scene.arrange_more(_reverse)
        for _ in range(3):
            scene.settle()
            outcome = scene.draft()

        assert (between.state, between.expected_amount) == ("released", Decimal("200.00"))
        assert isinstance(outcome, Drafted)
        assert outcome.untaxed_amount == Decimal("200.00")
        assert _amounts(scene)["11"] == Decimal("66.68")
        assert len(scene.erp.invoices) == 3
        assert scene.one("SELECT count(DISTINCT business_key) FROM invoice_record") == 3
        assert scene.compute().state == "invoiced"

    def test_stand_still_while_one_client_has_its_invoice(self, scene: Scene) -> None:
        scene.arrange(_hours)
        scene.compute()
        scene.release()
        scene.erp.faults = ["", "refused"]
        assert isinstance(scene.draft(), NotDrafted)

        with pytest.raises(UserMistake, match="one of its clients has an invoice"):
            scene.withdraw()
        first = _invoices(scene)

        assert isinstance(scene.draft(), Drafted)
        assert (first, _invoices(scene)) == ((1, False), (3, True))

    def test_are_drawn_anew_when_the_release_was_taken_back(self, scene: Scene) -> None:
        scene.arrange(_hours)
        scene.compute()
        scene.release()
        scene.erp.faults = ["refused"]
        assert isinstance(scene.draft(), NotDrafted)
        scene.withdraw()
        scene.arrange_more(_reverse)
        scene.compute()
        scene.release()
        drafted = scene.draft()

        assert isinstance(drafted, Drafted)
        assert _amounts(scene) == {
            "11": Decimal("20.00"),
            "12": Decimal("100.00"),
            "13": Decimal("80.00"),
        }

    def test_of_a_contract_that_is_split_no_more_are_billed_from_our_ledger_all_the_same(
        self, scene: Scene
    ) -> None:
        def build(firm: Firm) -> None:
            firm.period("DE", "2026-11", date(2026, 11, 1), date(2026, 12, 1))
            _hours(firm)

        scene.arrange(build)
        _of(scene, "2026-10")
        scene.release()
        scene.draft()

        def later(firm: Firm) -> None:
            firm.connection.execute("UPDATE billing_split SET ends_on = '2026-11-01'")
            firm.hour("e3", project=scene.project, seconds=1800, work_date=date(2026, 11, 5))

        scene.arrange_more(later)
        november = _november(scene)
        asked = {
            "contract_id": scene.project["contract_id"],
            "period_id": scene.periods["DE", "2026-11"],
        }
        moment = NOW + timedelta(days=30)
        release_contract(scene.database, **asked, by="ada", carry_reason=None, now=moment)
        drafted = draft_invoice(
            scene.database, scene.connectors, **asked, now=moment, correlation_id="c-11"
        )

        # The button of the ERP's project would bill the hours of October once more.
        assert (november.state, november.expected_amount, november.shares) == (
            "ready",
            Decimal("75.00"),
            (),
        )
        assert isinstance(drafted, Drafted)
        assert scene.erp.clients[drafted.target_codes[0]] is None
        assert [line.amount for line in scene.erp.invoices[-1].lines] == [Decimal("75.00")]
        assert _november(scene).state == "invoiced"

    def test_are_given_back_by_all_their_invoices_and_billed_anew(self, scene: Scene) -> None:
        def build(firm: Firm) -> None:
            firm.period("DE", "2026-11", date(2026, 11, 1), date(2026, 12, 1))
            _hours(firm)

        scene.arrange(build)
        _of(scene, "2026-10")
        scene.release()
        scene.draft()
        change_id = _change(scene, "e1")

        with scene.database.transaction() as connection:
            (credit,) = list_credits(connection)
            before = _november(scene).expected_amount
            connection.execute("SELECT credit_line(%s, 'CN-1', 'ada', 'ben', %s)", (change_id, NOW))
        november = _november(scene)

        assert credit.invoice_number is not None
        assert sorted(credit.invoice_number.split(", ")) == sorted(
            each.number for each in scene.erp.invoices
        )
        assert before == 0
        assert _paid(november) == {"33.34": ["50.00"], "33.33": ["50.00", "50.00"]}

    def test_are_seen_and_taken_back_from_a_page_by_who_sees_the_entity_only(
        self, scene: Scene, database: Dsns
    ) -> None:
        scene.arrange(_hours)
        scene.compute()
        scene.release()
        scene.erp.faults = ["refused"]
        scene.draft()
        web = Database(database.web, pool_max=1, application_name="test-web").open()

        def withdraw(entity_code: str) -> int:
            with open_web_transaction(web, entities=(entity_code,)) as connection:
                shares = [share for each in list_readiness(connection) for share in each.shares]
                withdraw_release(
                    connection,
                    contract_id=scene.project["contract_id"],
                    by="ada",
                    reason="other shares were agreed",
                    now=NOW,
                )
            return len(shares)

        with pytest.raises(UserMistake, match="nothing of the contract is released"):
            withdraw("UK")
        assert withdraw("DE") == 3
        web.close()

        assert scene.one("SELECT count(*) FROM invoice_share") == 0

    def test_walk_from_every_invoice_to_the_clock(self, scene: Scene) -> None:
        scene.arrange(_hours)
        scene.compute()
        scene.release()
        scene.draft()

        for number in ("1", "2", "3"):
            with scene.database.transaction() as connection:
                links = read_links(connection, systems=InstalledSystems())
                found = explain(
                    connection,
                    kind="invoice-line",
                    ref=f"books:{number}.0",
                    links=links,
                    now=NOW,
                )
            hours = {each.facts["source_ref"] for each in found.steps if each.what == "made of"}
            assert hours == {"e1", "e2"}

    def test_that_came_late_go_by_the_shares_of_their_invoice(self, scene: Scene) -> None:
        def build(firm: Firm) -> None:
            firm.period("DE", "2026-11", date(2026, 11, 1), date(2026, 12, 1))
            _hours(firm)

        scene.arrange(build)
        scene.compute()
        scene.release()
        scene.draft()

        def later(firm: Firm) -> None:
            _reverse(firm, on=date(2026, 11, 1))
            firm.hour("late", project=scene.project, seconds=1200)

        scene.arrange_more(later)
        november = _november(scene)

        assert november.expected_amount == Decimal("50.00")
        assert _paid(november) == {"50": ["25.00"], "40": ["20.00"], "10": ["5.00"]}


class TestASplitContract:
    @pytest.mark.parametrize(
        ("statement", "code"),
        [
            ("UPDATE billing_split SET percent = 33.32 WHERE percent = 33.34", "readiness.split_not_whole"),
            ("UPDATE billing_split SET takes_rounding = true", "readiness.split_not_whole"),
            ("UPDATE billing_split SET takes_rounding = false", "readiness.split_not_whole"),
            ("UPDATE crosswalk SET superseded_at = now() WHERE source_ref = '12'",
             "readiness.split_client_unlinked"),
            ("UPDATE client_version SET city = '' WHERE name = 'West KG'",
             "readiness.split_client_incomplete"),
            ("UPDATE crosswalk SET superseded_at = now() WHERE noun = 'contract'",
             "readiness.erp_contract_missing"),
        ],
    )  # fmt: skip
    def test_is_held_by_what_would_bill_it_wrongly(
        self, scene: Scene, statement: Any, code: str
    ) -> None:
        scene.arrange(_hours)
        with scene.database.transaction() as connection:
            connection.execute(statement)

        found = scene.compute()

        assert found.state == "blocked"
        assert code in scene.codes(found)
        with pytest.raises(UserMistake):
            scene.release()

    def test_holds_one_share_for_clients_that_became_one(self, scene: Scene) -> None:
        def build(firm: Firm) -> None:
            _hours(firm)
            firm.connection.execute(
                "UPDATE client SET redirect_to = (SELECT client_id FROM client_version WHERE name = 'Süd AG')"
                " WHERE client_id = (SELECT client_id FROM client_version WHERE name = 'West KG')"
            )

        scene.arrange(build)
        found = scene.compute()
        scene.release()
        scene.draft()

        assert _paid(found) == {"66.66": ["133.32"], "33.34": ["66.68"]}
        assert _amounts(scene) == {"11": Decimal("66.68"), "12": Decimal("133.32")}

    def test_drafts_no_invoice_of_nothing(self, scene: Scene) -> None:
        def build(firm: Firm) -> None:
            know_client(firm, firm.client_id, "11")
            split_contract(firm, firm.client_id, "99.999", takes_rounding=True)
            split_contract(firm, make_client(firm, "Süd AG", code="12"), "0.001")
            firm.hour("e1", project=firm.last)

        scene.arrange(build)
        scene.compute()
        scene.release()
        drafted = scene.draft()

        assert isinstance(drafted, Drafted)
        assert _amounts(scene) == {"11": Decimal("150.00")}
        assert scene.compute().state == "invoiced"

    def test_is_billed_by_its_shares_of_a_fixed_fee_once(self, scene: Scene) -> None:
        def build(firm: Firm) -> None:
            _three(firm)
            firm.period("DE", "2026-11", date(2026, 11, 1), date(2026, 12, 1))
            firm.connection.execute("UPDATE contract_version SET starts_on = '2026-10-01'")
            firm.hour("e1", project=firm.last)

        scene.arrange(build, billing_method="fixed_fee", value_amount=Decimal("10000.00"))
        found = _of(scene, "2026-10")
        scene.release()
        drafted = scene.draft()

        assert found.expected_amount == Decimal("10000.00")
        assert isinstance(drafted, Drafted)
        assert _amounts(scene) == {
            "11": Decimal("3334.00"),
            "12": Decimal("3333.00"),
            "13": Decimal("3333.00"),
        }
        assert _november(scene).expected_amount == 0

    def test_is_billed_by_its_shares_of_each_part_once(self, scene: Scene) -> None:
        def build(firm: Firm) -> None:
            _three(firm)
            firm.period("DE", "2026-11", date(2026, 11, 1), date(2026, 12, 1))
            for item, amount in (("Concept", "100.00"), ("Design", "0.50")):
                _part(firm, item, Decimal(amount))

        scene.arrange(build, billing_method="milestone")
        found = _of(scene, "2026-10")
        scene.release()
        scene.erp.faults = ["", "answer_lost"]
        scene.draft()
        scene.settle()
        drafted = scene.draft()

        assert found.expected_amount == Decimal("100.50")
        assert isinstance(drafted, Drafted)
        assert _amounts(scene) == {
            "11": Decimal("33.50"),
            "12": Decimal("33.50"),
            "13": Decimal("33.50"),
        }
        (second,) = [
            each for each in scene.erp.invoices if scene.erp.clients[each.target_code] == "12"
        ]
        assert [line.amount for line in second.lines] == [
            Decimal("33.33"),
            Decimal("0.17"),
        ]
        assert scene.one("SELECT sum(amount) FROM billed_item") == Decimal("100.50")
        # Nothing of it is due again, and no invoice of a share stands beside the schedule.
        november = _november(scene)
        assert november.expected_amount == 0
        assert "readiness.billed_beside_schedule" not in scene.codes(november)


def _change(scene: Scene, source_ref: str) -> UUID:
    """Let what stands for an hour be proposed as a credit, as a change after its invoices does."""
    with scene.database.transaction() as connection:
        row = connection.execute(
            """
            INSERT INTO posted_change (entry_id, version, standing_key, verdict_id, kind, way, entity_code, period_id,
                contract_id, invoice_id, old_seconds, old_amount, old_currency, new_seconds, found_at, correlation_id)
            SELECT l.entry_id, 2, l.business_key, t.verdict_id, 'edited', 'credit_and_rebill', l.entity_code,
                l.period_id, l.contract_id, i.invoice_id, l.seconds, l.amount, l.currency, 0, %s, 'c'
            FROM ledger_line l JOIN time_entry t USING (entry_id) JOIN invoice_ledger_line i USING (business_key)
            WHERE t.source_ref = %s RETURNING change_id
            """,
            (NOW, source_ref),
        ).fetchone()
        assert row is not None
        change_id: UUID = row["change_id"]
        connection.execute(
            "INSERT INTO credit_proposal (change_id, entry_id, business_key, entity_code, contract_id, invoice_id,"
            " credit_amount, credit_currency, made_at) SELECT change_id, entry_id, standing_key, entity_code,"
            " contract_id, invoice_id, old_amount, old_currency, found_at FROM posted_change WHERE change_id = %s",
            (change_id,),
        )
    return change_id


def _invoices(scene: Scene) -> tuple[int, bool]:
    with scene.database.transaction() as connection:
        rows, are_all = list_invoices(
            connection, contract_id=scene.project["contract_id"], period_id=scene.period_id
        )
    return len(rows), are_all


def _paid(readiness: Readiness) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for share in readiness.shares:
        found.setdefault(share["percent"], []).append(share["amount"])
    return found


def _reverse(firm: Firm, *, on: date = date(2026, 1, 1)) -> None:
    """Let the shares of the three be others, as known from now on and valid from a day on."""
    if on == date(2026, 1, 1):
        firm.connection.execute(
            "UPDATE billing_split SET superseded_at = %s", (NOW + timedelta(1),)
        )
    else:
        firm.connection.execute("UPDATE billing_split SET ends_on = %s", (on,))
    rows = firm.connection.execute(
        "SELECT x.source_ref, x.our_id FROM crosswalk x WHERE x.noun = 'client' ORDER BY 1"
    ).fetchall()
    for row, percent in zip(rows, ("10", "50", "40"), strict=True):
        split_contract(
            firm,
            row["our_id"],
            percent,
            takes_rounding=percent == "40",
            starts_on=on,
            recorded_at=NOW + timedelta(1),
        )


def _part(firm: Firm, item: str, amount: Decimal) -> None:
    firm.connection.execute(
        "INSERT INTO billing_schedule (contract_code, item, kind, due_on, amount, currency, starts_on,"
        " recorded_at, load_id, line_number) SELECT %s, %s, 'fee', '2026-10-20', %s, 'EUR', '2026-01-01', %s,"
        " load_id, 1 FROM reference_load LIMIT 1",
        (f"C-{firm.last['code']}", item, amount, NOW),
    )


def _of(scene: Scene, period_code: str, *, days_later: int = 0) -> Readiness:
    with scene.database.transaction() as connection:
        compute_readiness(
            connection,
            connectors=scene.connectors,
            outlook=None,
            now=NOW + timedelta(days=days_later),
        )
        (found,) = list_readiness(connection, period_code=period_code, entity_code="DE")
    return found


def _november(scene: Scene) -> Readiness:
    return _of(scene, "2026-11", days_later=30)
