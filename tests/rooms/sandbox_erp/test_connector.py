"""The connector against the real Tryton: what it writes, finds again, takes back and bills."""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any, cast
from uuid import UUID

import httpx
import pytest
from tests.flows.readiness_erp import OneErp
from tests.flows.test_readiness import Scene
from tests.flows.test_split_billing import know_client, make_client, split_contract
from tests.rooms.casework.hand_made_firm import Firm
from tests.rooms.sandbox_erp.conftest import DATABASE, Erp, connection_to, new_key
from tests.support.target import FixedClock

from tieline.canonical import (
    ClientCommand,
    Command,
    ContractCommand,
    EmployeeCommand,
    Person,
    ProjectCommand,
    TaskCommand,
    TimeLineCommand,
    WorkItem,
)
from tieline.canonical.commands import ContractLine
from tieline.connectors.tryton import MANIFEST, TrytonConnector, build
from tieline.connectors.tryton.streams import read_cursor, write_cursor
from tieline.kernel.errors import (
    AlreadyExists,
    AskPerson,
    NotExecuted,
    OutcomeUnknown,
    Refused,
    StreamBroken,
)
from tieline.runtime.database import Database
from tieline.sandbox.erp import RunningErp
from tieline.sandbox.erp.rpc import RpcSession
from tieline.sdk import HoursBilled, HourSum, InvoiceDraft, InvoiceItem, Translated
from tieline.services.invoice_readiness import Drafted, NotDrafted

pytestmark = pytest.mark.erp

OCTOBER = date(2026, 10, 1)
NOVEMBER = date(2026, 11, 1)
DECEMBER = date(2026, 12, 1)
ENTITY = "HR-DE"
_FAR = datetime(9999, 12, 31)
_numbers = itertools.count(1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A project of the German company with a task before and one after a rate change."""

    erp: Erp
    client: ClientCommand
    client_code: str
    contract: ContractCommand
    contract_code: str
    project: ProjectCommand
    project_code: str
    old_rate: TaskCommand
    old_rate_code: str
    new_rate: TaskCommand
    new_rate_code: str

    def lines(self, *, seconds: Sequence[int], task: str, day: date) -> list[TimeLineCommand]:
        return [
            TimeLineCommand(
                business_key=new_key(),
                entity_code=ENTITY,
                person_code=self.erp.employee("E-1@HR-DE"),
                task_code=task,
                work_date=day,
                seconds=each,
                narrative="checked\tthe\nmeter data",
            )
            for each in seconds
        ]

    def october(self, *seconds: int) -> list[TimeLineCommand]:
        return self.lines(seconds=seconds, task=self.old_rate_code, day=date(2026, 10, 5))

    def november(self, *seconds: int) -> list[TimeLineCommand]:
        return self.lines(seconds=seconds, task=self.new_rate_code, day=date(2026, 11, 5))


@pytest.fixture
def job(erp: Erp) -> Job:
    number = next(_numbers)
    client = ClientCommand(
        business_key=new_key(),
        entity_code=ENTITY,
        name=f" Northmoor\tCouncil {number}",
        vat_number="GB 980 7806 84",
        street="Town Hall 1",
        postal_code="NM1 1AA",
        city="Northmoor",
        country_code="GB",
        parent_code=None,
    )
    client_code = erp.connector.write(command=client).target_code
    contract = _contract(client_code)
    contract_code = erp.connector.write(command=contract).target_code
    project = _project(client_code, contract_code, number)
    project_code = erp.connector.write(command=project).target_code
    old_rate = _task(project_code, rate="150.00", starts_on=OCTOBER, ends_on=NOVEMBER)
    new_rate = _task(project_code, rate="160.00", starts_on=NOVEMBER, ends_on=None)
    return Job(
        erp=erp,
        client=client,
        client_code=client_code,
        contract=contract,
        contract_code=contract_code,
        project=project,
        project_code=project_code,
        old_rate=old_rate,
        old_rate_code=erp.connector.write(command=old_rate).target_code,
        new_rate=new_rate,
        new_rate_code=erp.connector.write(command=new_rate).target_code,
    )


def _contract(client_code: str, *, billing_method: str = "time_and_materials") -> ContractCommand:
    return ContractCommand(
        business_key=new_key(),
        entity_code=ENTITY,
        client_code=client_code,
        name="Grid analytics",
        currency="EUR",
        billing_method=billing_method,
        signed_on=OCTOBER,
        purchase_order="PO-9",
        lines=(
            ContractLine(
                task_name="Design",
                labor_category="CON",
                hours=Decimal("40.5"),
                rate_amount=Decimal("150.00"),
            ),
            ContractLine(
                task_name="Build",
                labor_category="",
                hours=Decimal(10),
                rate_amount=Decimal("200.10"),
            ),
        ),
    )


def _project(client_code: str, contract_code: str, number: int) -> ProjectCommand:
    return ProjectCommand(
        business_key=new_key(),
        entity_code=ENTITY,
        client_code=client_code,
        contract_code=contract_code,
        code=f"P-{number}",
        name="Grid analytics",
        billing_method="time_and_materials",
        is_split=False,
        starts_on=OCTOBER,
        ends_on=None,
    )


def _task(
    project_code: str, *, rate: str | None, starts_on: date | None, ends_on: date | None
) -> TaskCommand:
    return TaskCommand(
        business_key=new_key(),
        entity_code=ENTITY,
        project_code=project_code,
        name="Design",
        labor_category="CON",
        rate_amount=None if rate is None else Decimal(rate),
        currency="EUR",
        is_billable=rate is not None,
        starts_on=starts_on,
        ends_on=ends_on,
        budget_hours=Decimal("12.5"),
    )


class TestCheck:
    def test_is_good_for_the_integration_users(self, erp: Erp) -> None:
        report = erp.connector.check()

        assert [item for item in report.items if not item.is_good] == []
        assert any("HR-UK" in item.name for item in report.items)

    def test_names_a_refused_login_and_keeps_the_password_out(self, erp: Erp) -> None:
        connection = connection_to(erp.running)
        wrong = replace(connection, secrets={**connection.secrets, "password.HR-DE": "wr0ng-w0rd"})

        report = build(wrong).check()

        bad = [item for item in report.items if not item.is_good]
        assert bad
        assert all(item.name.startswith("HR-DE") for item in bad)
        assert "wr0ng-w0rd" not in repr(report) + repr(wrong)

    def test_names_the_rights_to_write_that_are_missing(self, erp: Erp) -> None:
        report = build(connection_to(erp.running), transport=Narrowed()).check()

        assert [item.fix for item in report.items if not item.is_good] == [
            f"Let the integration user of {code} create, delete timesheet.line."
            for code in ("HR-DE", "HR-UK")
        ]

    def test_refuses_a_configuration_without_companies(self, erp: Erp) -> None:
        connection = connection_to(erp.running)

        with pytest.raises(AskPerson, match="names no companies"):
            build(replace(connection, config={"database": "erp"}))


class TestWrite:
    @pytest.mark.parametrize("word", ["cost_center", "practice"])
    def test_keeps_what_a_project_belongs_to_in_the_field_that_the_connection_names(
        self, job: Job, word: str
    ) -> None:
        told: dict[str, Any] = {word: "K41"}
        project = _project(job.client_code, job.contract_code, next(_numbers))
        command = replace(project, **told)
        connection = connection_to(job.erp.running)
        named = build(replace(connection, config={**connection.config, f"{word}_field": "comment"}))

        with pytest.raises(Refused, match=f"names no {word}_field"):
            job.erp.connector.write(command=command)
        code = named.write(command=command).target_code
        (found,) = named.probe(command=command)

        assert (found.target_code, found.content) == (code, command.content())
        assert found.content[word] == "K41"

    def test_sells_as_the_codes_say_and_shows_what_stands(self, job: Job) -> None:
        sold = [replace(line, product_code="LABOR") for line in job.contract.lines]
        told = replace(
            job.contract,
            business_key=new_key(),
            lines=tuple(sold),
            tax_code="VAT 19 %",
            unit_code="h",
        )
        task = replace(job.old_rate, business_key=new_key(), product_code="LABOR")
        for command in (told, task):
            code = job.erp.connector.write(command=command).target_code
            (found,) = job.erp.connector.probe(command=command)

            assert (found.target_code, found.content) == (code, command.content())
        # What stands under its key is another product and another unit than was told since.
        other = replace(told, lines=job.contract.lines[:1], unit_code="HUR")
        (found,) = job.erp.connector.probe(command=other)
        assert found.content["unit_code"] == "h"
        assert found.content["lines"] == "2"

    @pytest.mark.parametrize(
        ("words", "says"),
        [
            ({"tax_code": "VAT 7 %"}, "no tax called VAT 7 %"),
            ({"unit_code": "HUR"}, "no unit with the symbol HUR"),
            ({"unit_code": "d"}, "unit d is not as large"),
        ],
    )
    def test_refuses_a_code_that_tryton_has_not(
        self, job: Job, words: dict[str, Any], says: str
    ) -> None:
        wrong = replace(job.contract, business_key=new_key(), **words)

        with pytest.raises(Refused, match=says):
            job.erp.connector.write(command=wrong)
        assert job.erp.connector.probe(command=wrong) == []

    def test_is_found_again_under_its_key_with_equal_content(self, job: Job) -> None:
        for command, code in (
            (job.client, job.client_code),
            (job.contract, job.contract_code),
            (job.project, job.project_code),
            (job.old_rate, job.old_rate_code),
            (job.new_rate, job.new_rate_code),
        ):
            (found,) = job.erp.connector.probe(command=command)

            assert found.target_code == code
            assert found.content == command.content()

    def test_a_second_time_is_refused_as_existing(self, job: Job) -> None:
        for command in (job.client, job.contract, job.project, job.old_rate):
            with pytest.raises(AlreadyExists):
                job.erp.connector.write(command=command)
            assert len(job.erp.connector.probe(command=command)) == 1

    def test_under_another_key_is_absent(self, job: Job) -> None:
        for command in (job.client, job.contract, job.old_rate):
            other: Command = replace(command, business_key=new_key())

            assert job.erp.connector.probe(command=other) == []

    def test_with_other_content_shows_the_difference(self, job: Job) -> None:
        other = replace(job.old_rate, rate_amount=Decimal(155))

        (found,) = job.erp.connector.probe(command=other)

        assert found.content["rate_amount"] == "150.00"
        assert found.content != other.content()

    def test_a_wrong_tax_number_is_refused_with_its_reason(self, job: Job) -> None:
        wrong = replace(job.client, business_key=new_key(), vat_number="DE123", country_code="DE")

        with pytest.raises(Refused) as refusal:
            job.erp.connector.write(command=wrong)
        assert refusal.value.reason == "target.value_not_valid"

    def test_an_unknown_labor_category_is_refused_and_nothing_made(self, job: Job) -> None:
        wrong = replace(job.old_rate, business_key=new_key(), labor_category="Astronaut")

        with pytest.raises(Refused) as refusal:
            job.erp.connector.write(command=wrong)
        assert refusal.value.reason == "target.product_missing"
        assert job.erp.connector.probe(command=wrong) == []

    def test_a_company_without_a_user_asks_a_person(self, job: Job) -> None:
        with pytest.raises(AskPerson, match="HR-PL"):
            job.erp.connector.write(command=replace(job.client, entity_code="HR-PL"))


class TestTimeLines:
    def test_are_stored_as_sent(self, job: Job) -> None:
        lines = job.october(*range(60, 3060, 60))

        receipts = job.erp.connector.write_lines(entity_code=ENTITY, lines=lines)
        stored = job.erp.connector.read_lines(entity_code=ENTITY, keys=_keys(lines))

        assert {line.business_key: line.content() for line in stored} == {
            line.business_key: line.content() for line in lines
        }
        by_key = {line.business_key: line.target_code for line in stored}
        assert [by_key[line.business_key] for line in lines] == [
            receipt.target_code for receipt in receipts
        ]

    def test_a_repeated_batch_is_refused_whole(self, job: Job) -> None:
        lines = job.october(3600, 1800)
        job.erp.connector.write_lines(entity_code=ENTITY, lines=lines)
        fresh = job.october(900)

        with pytest.raises(AlreadyExists):
            job.erp.connector.write_lines(entity_code=ENTITY, lines=[*fresh, *lines])

        keys = _keys([*fresh, *lines])
        stored = job.erp.connector.read_lines(entity_code=ENTITY, keys=keys)
        assert {line.business_key for line in stored} == set(_keys(lines))

    def test_one_bad_line_stores_nothing(self, job: Job) -> None:
        good = job.october(3600)
        late = job.lines(seconds=[3600], task=job.old_rate_code, day=NOVEMBER)

        with pytest.raises(Refused) as refusal:
            job.erp.connector.write_lines(entity_code=ENTITY, lines=[*good, *late])

        assert refusal.value.reason == "target.value_not_valid"
        assert job.erp.connector.read_lines(entity_code=ENTITY, keys=_keys(good)) == []

    @pytest.mark.parametrize("employee", ["E-2@HR-DE", "E-3@HR-UK"])
    def test_of_a_person_who_left_or_is_another_companys_are_refused(
        self, job: Job, employee: str
    ) -> None:
        line = replace(
            job.lines(seconds=[60], task=job.old_rate_code, day=date(2026, 10, 20))[0],
            person_code=job.erp.employee(employee),
        )

        with pytest.raises(Refused):
            job.erp.connector.write_lines(entity_code=ENTITY, lines=[line])

    def test_an_unknown_task_is_refused_before_anything_is_sent(self, job: Job) -> None:
        line = replace(job.october(60)[0], task_code="999999")

        with pytest.raises(Refused, match="task 999999 is not there"):
            job.erp.connector.write_lines(entity_code=ENTITY, lines=[line])

    def test_voided_lines_are_gone_and_voiding_again_is_fine(self, job: Job) -> None:
        kept, gone = job.october(3600, 1800)
        job.erp.connector.write_lines(entity_code=ENTITY, lines=[kept, gone])

        for _ in range(2):
            job.erp.connector.void_lines(entity_code=ENTITY, keys=[gone.business_key])

        stored = job.erp.connector.read_lines(
            entity_code=ENTITY, keys=[kept.business_key, gone.business_key]
        )
        assert [line.business_key for line in stored] == [kept.business_key]

    def test_totals_are_the_targets_own_per_project(self, job: Job) -> None:
        lines = [*job.october(3600, 1200), *job.november(60)]
        job.erp.connector.write_lines(entity_code=ENTITY, lines=lines)

        totals = job.erp.connector.line_totals(
            entity_code=ENTITY, starts_on=OCTOBER, ends_on=NOVEMBER
        )

        (ours,) = [total for total in totals if total.project_code == job.project_code]
        assert (ours.seconds, ours.lines) == (4800, 2)


class TestUndo:
    def test_deletes_what_was_never_used(self, job: Job) -> None:
        undo = job.erp.connector.undo
        steps = (
            ("task", job.new_rate_code, job.new_rate.business_key),
            ("project", job.project_code, job.project.business_key),
            ("contract", job.contract_code, job.contract.business_key),
            ("client", job.client_code, job.client.business_key),
        )

        for wanted in ("deleted", "absent"):
            for noun, code, key in steps:
                how = undo(noun=noun, entity_code=ENTITY, target_code=code, business_key=key)
                assert (noun, how) == (noun, wanted)

    def test_ends_a_project_that_has_hours(self, job: Job) -> None:
        job.erp.connector.write_lines(entity_code=ENTITY, lines=job.october(3600))

        how = job.erp.connector.undo(
            noun="project",
            entity_code=ENTITY,
            target_code=job.project_code,
            business_key=job.project.business_key,
        )

        assert how == "end-dated and done"
        with pytest.raises(Refused):
            job.erp.connector.write_lines(
                entity_code=ENTITY,
                lines=job.lines(seconds=[60], task=job.old_rate_code, day=date(2026, 10, 20)),
            )

    def test_inactivates_a_client_that_is_used(self, job: Job) -> None:
        how = job.erp.connector.undo(
            noun="client",
            entity_code=ENTITY,
            target_code=job.client_code,
            business_key=job.client.business_key,
        )

        assert how == "inactivated"

    def test_refuses_what_does_not_carry_our_key(self, job: Job) -> None:
        with pytest.raises(Refused) as refusal:
            job.erp.connector.undo(
                noun="client",
                entity_code=ENTITY,
                target_code=job.erp.client("C-1001"),
                business_key=job.client.business_key,
            )
        assert refusal.value.reason == "target.not_ours"

    def test_a_second_employee_record_is_made_and_taken_back(self, job: Job) -> None:
        records = [
            job.erp.connector.translate(record=record)
            for page in job.erp.connector.pages(stream="employees", cursor=None, is_full=True)
            for record in page.records
        ]
        (party_code,) = [
            found.noun.extras["party_code"]
            for found in records
            if isinstance(found, Translated) and found.noun.extras.get("party_code")
            and getattr(found.noun, "employee_code", None) == "E-3"
        ]  # fmt: skip
        costs = {
            tuple((rate.starts_on, rate.amount) for rate in found.noun.cost_rates)
            for found in records
            if isinstance(found, Translated) and isinstance(found.noun, Person)
        }
        assert costs == {
            ((date(2020, 1, 1), Decimal("61.50")), (date(2026, 10, 1), Decimal("64.00")))
        }
        command = EmployeeCommand(
            business_key=new_key(),
            entity_code=ENTITY,
            party_code=party_code,
            employee_code="E-3",
            starts_on=OCTOBER,
            ends_on=DECEMBER,
            cost_rate=Decimal("70.25"),
        )

        code = job.erp.connector.write(command=command).target_code
        (found,) = job.erp.connector.probe(command=command)

        assert (found.target_code, found.content) == (code, command.content())
        with pytest.raises(AlreadyExists):
            job.erp.connector.write(command=command)
        how = job.erp.connector.undo(
            noun="employee",
            entity_code=ENTITY,
            target_code=code,
            business_key=command.business_key,
        )
        assert how == "deleted"
        assert job.erp.connector.probe(command=command) == []


class TestInvoices:
    def test_bill_each_rate_version_at_its_own_price(self, job: Job) -> None:
        lines = [*job.october(40 * 3600), *job.november(40 * 3600)]
        job.erp.connector.write_lines(entity_code=ENTITY, lines=lines)

        draft = _draft(job, up_to=date(2026, 11, 30))

        assert draft is not None
        assert (draft.state, draft.currency) == ("draft", "EUR")
        assert draft.untaxed_amount == Decimal("12400.00")
        assert draft.total_amount == Decimal("14756.00")
        assert [(line.quantity, line.unit_price) for line in draft.lines] == [
            (Decimal(40), Decimal("150.00")),
            (Decimal(40), Decimal("160.00")),
        ]

    def test_are_what_the_rule_foretells(self, job: Job) -> None:
        lines = [*job.october(1200), *job.november(67 * 60)]
        job.erp.connector.write_lines(entity_code=ENTITY, lines=lines)

        draft = _draft(job, up_to=date(2026, 11, 30))
        foretold = job.erp.connector.rule_invoice(
            sums=[
                _sum(job.old_rate, job.old_rate_code, 1200),
                _sum(job.new_rate, job.new_rate_code, 67 * 60),
            ],
            currency="EUR",
        )

        assert draft is not None
        assert [replace(line, line_code="") for line in draft.lines] == foretold
        assert [line.amount for line in foretold] == [Decimal("49.50"), Decimal("179.20")]

    def test_stop_at_the_day_they_are_made_up_to(self, job: Job) -> None:
        lines = [*job.october(3600), *job.november(3600)]
        job.erp.connector.write_lines(entity_code=ENTITY, lines=lines)

        draft = _draft(job, up_to=date(2026, 10, 31))

        assert draft is not None
        assert draft.untaxed_amount == Decimal("150.00")
        stored = job.erp.connector.read_lines(entity_code=ENTITY, keys=_keys(lines))
        assert [line.invoice_code for line in stored] == [draft.target_code, None]

    def test_a_second_click_bills_nothing(self, job: Job) -> None:
        job.erp.connector.write_lines(entity_code=ENTITY, lines=job.october(3600))
        draft = _draft(job, up_to=date(2026, 10, 31))

        assert _draft(job, up_to=date(2026, 10, 31)) is None
        assert job.erp.connector.read_invoices(
            entity_code=ENTITY, project_code=job.project_code, contract_code=job.contract_code
        ) == [draft]

    def test_keep_their_hours_from_being_voided(self, job: Job) -> None:
        lines = job.october(3600)
        job.erp.connector.write_lines(entity_code=ENTITY, lines=lines)
        _draft(job, up_to=date(2026, 10, 31))

        with pytest.raises(Refused) as refusal:
            job.erp.connector.void_lines(entity_code=ENTITY, keys=_keys(lines))
        assert refusal.value.reason == "target.invoiced"
        assert len(job.erp.connector.read_lines(entity_code=ENTITY, keys=_keys(lines))) == 1

    def test_of_a_fixed_fee_come_from_the_sale_once(self, job: Job) -> None:
        contract = _contract(job.client_code, billing_method="fixed_fee")
        code = job.erp.connector.write(command=contract).target_code

        def draft() -> object:
            return job.erp.connector.draft_invoice(
                entity_code=ENTITY,
                project_code=job.project_code,
                contract_code=code,
                up_to=date(2026, 10, 31),
                billing_method="fixed_fee",
            )

        first, second = draft(), draft()

        assert second is None
        (read,) = job.erp.connector.read_invoices(
            entity_code=ENTITY, project_code="", contract_code=code
        )
        assert read == first
        assert read.untaxed_amount == Decimal("8076.00")
        assert read.total_amount == Decimal("9610.44")
        with pytest.raises(Refused) as refusal:
            job.erp.connector.undo(
                noun="contract",
                entity_code=ENTITY,
                target_code=code,
                business_key=contract.business_key,
            )
        assert refusal.value.reason == "target.state"

    def test_of_agreed_amounts_are_made_once_under_their_key(self, job: Job) -> None:
        contract = _contract(job.client_code, billing_method="milestone")
        code = job.erp.connector.write(command=contract).target_code
        key = new_key()
        items = [
            InvoiceItem(
                item_code=name, item=name, description=name, amount=Decimal(amount), task_codes=()
            )
            for name, amount in (("Concept", "1200.00"), ("October", "160.35"))
        ]

        def draft(connector: TrytonConnector) -> InvoiceDraft:
            return connector.draft_items(
                business_key=key,
                entity_code=ENTITY,
                contract_code=code,
                client_code=None,
                items=items,
                currency="EUR",
                hours=None,
            )

        with pytest.raises(OutcomeUnknown):
            draft(_through(job, word=b"model.sale.sale.create", mood="lost"))
        between = job.erp.connector.read_items(business_key=key, entity_code=ENTITY)
        first, second = draft(job.erp.connector), draft(job.erp.connector)

        assert between == []
        assert first == second
        assert job.erp.connector.read_items(business_key=key, entity_code=ENTITY) == [first]
        assert [(line.description, line.amount) for line in first.lines] == [
            ("Concept", Decimal("1200.00")),
            ("October", Decimal("160.35")),
        ]
        assert (first.untaxed_amount, first.total_amount) == (
            Decimal("1360.35"),
            Decimal("1618.82"),
        )

    def test_of_agreed_amounts_are_taxed_as_the_contract_was_told(self, job: Job) -> None:
        name = _untaxed(job.erp)
        contract = _contract(job.client_code, billing_method="milestone")
        code = job.erp.connector.write(command=replace(contract, tax_code=name)).target_code

        made = job.erp.connector.draft_items(
            business_key=new_key(),
            entity_code=ENTITY,
            contract_code=code,
            client_code=None,
            items=[
                InvoiceItem(
                    item_code="a", item="a", description="a", amount=Decimal(1200), task_codes=()
                )
            ],
            currency="EUR",
            hours=None,
        )

        assert (made.untaxed_amount, made.total_amount) == (Decimal(1200), Decimal(1200))

    def test_of_agreed_amounts_are_those_of_the_last_attempt(self, job: Job) -> None:
        contract = _contract(job.client_code, billing_method="milestone")
        code = job.erp.connector.write(command=contract).target_code
        key = new_key()

        def draft(connector: TrytonConnector, amount: str) -> InvoiceDraft:
            name = "Concept"
            item = InvoiceItem(
                item_code=name, item=name, description=name, amount=Decimal(amount), task_codes=()
            )
            return connector.draft_items(
                business_key=key,
                entity_code=ENTITY,
                contract_code=code,
                client_code=None,
                items=[item],
                currency="EUR",
                hours=None,
            )

        # Two earlier attempts came as far as a sale, a draft and a quotation.
        for word, amount in (
            (b"model.sale.sale.create", "900.00"),
            (b"sale.sale.quote", "1000.00"),
        ):
            with pytest.raises(OutcomeUnknown):
                draft(_through(job, word=word, mood="lost"), amount)
        made = draft(job.erp.connector, "1200.00")

        assert made.untaxed_amount == Decimal("1200.00")
        assert job.erp.connector.read_items(business_key=key, entity_code=ENTITY) == [made]
        with pytest.raises(Refused, match="an invoice of other lines"):
            draft(job.erp.connector, "1300.00")

    def test_of_shares_bill_hours_that_the_project_bills_no_more(self, job: Job) -> None:
        lines = job.october(3600, 1800)
        job.erp.connector.write_lines(entity_code=ENTITY, lines=lines)
        other = replace(job.client, business_key=new_key(), name="Southmoor", vat_number=None)
        other_code = job.erp.connector.write(command=other).target_code
        hours = HoursBilled(
            project_code=job.project_code, keys=tuple(line.business_key for line in lines)
        )

        def draft(client_code: str, amount: str) -> InvoiceDraft:
            name = "Design: 1:30 h at 150"
            item = InvoiceItem(
                item_code=name, item=name, description=name, amount=Decimal(amount), task_codes=()
            )
            return job.erp.connector.draft_items(
                business_key=new_key(),
                entity_code=ENTITY,
                contract_code=job.contract_code,
                client_code=client_code,
                items=[item],
                currency="EUR",
                hours=hours,
            )

        made = [
            draft(job.client_code, "157.50"),
            draft(other_code, "67.50"),
            draft(other_code, "-5"),
        ]
        by_the_button = _draft(job, up_to=date(2026, 10, 31))

        assert [each.untaxed_amount for each in made] == [
            Decimal("157.50"),
            Decimal("67.50"),
            Decimal("-5.00"),
        ]
        assert by_the_button is None
        assert [_party(job, each) for each in made] == [job.client_code, other_code, other_code]

    def test_of_costs_bill_what_our_ledger_says_and_no_price_of_a_task(self, job: Job) -> None:
        contract = _contract(job.client_code, billing_method="cost_plus")
        contract_code = job.erp.connector.write(command=contract).target_code
        project = replace(
            _project(job.client_code, contract_code, next(_numbers)), billing_method="cost_plus"
        )
        project_code = job.erp.connector.write(command=project).target_code
        task = _task(project_code, rate="150.00", starts_on=OCTOBER, ends_on=None)
        task_code = job.erp.connector.write(command=task).target_code
        lines = job.lines(seconds=[3600, 5000], task=task_code, day=date(2026, 10, 5))
        job.erp.connector.write_lines(entity_code=ENTITY, lines=lines)

        by_the_button = _draft(replace(job, project_code=project_code), up_to=date(2026, 10, 31))
        made = job.erp.connector.draft_items(
            business_key=new_key(),
            entity_code=ENTITY,
            contract_code=contract_code,
            client_code=None,
            items=[
                InvoiceItem(
                    item_code=name,
                    item=name,
                    description=name,
                    amount=Decimal(amount),
                    task_codes=(),
                )
                for name, amount in (("1:00 h at 92", "92.00"), ("1:23 h at 91.54125", "127.14"))
            ],
            currency="EUR",
            hours=HoursBilled(
                project_code=project_code, keys=tuple(line.business_key for line in lines)
            ),
        )

        assert by_the_button is None
        assert (made.state, made.untaxed_amount) == ("draft", Decimal("219.14"))
        assert [line.amount for line in made.lines] == [Decimal("92.00"), Decimal("127.14")]

    def test_of_hours_that_an_invoice_took_are_refused(self, job: Job) -> None:
        lines = job.october(3600)
        job.erp.connector.write_lines(entity_code=ENTITY, lines=lines)
        billed = _draft(job, up_to=date(2026, 10, 31))
        assert billed is not None
        item = InvoiceItem(
            item_code="x", item="x", description="x", amount=Decimal(150), task_codes=()
        )
        key = new_key()

        with pytest.raises(Refused, match=f"invoice {billed.target_code} already") as refusal:
            job.erp.connector.draft_items(
                business_key=key,
                entity_code=ENTITY,
                contract_code=job.contract_code,
                client_code=None,
                items=[item],
                currency="EUR",
                hours=HoursBilled(
                    project_code=job.project_code, keys=tuple(line.business_key for line in lines)
                ),
            )

        assert refusal.value.reason == "target.invoiced"
        assert job.erp.connector.read_items(business_key=key, entity_code=ENTITY) == []


class _Books:
    """The real connector for a hand-made firm, whose company has another code in Tryton."""

    def __init__(self, connector: TrytonConnector) -> None:
        self.connector = connector
        self.rule_invoice = connector.rule_invoice
        self.draft_invoice = connector.draft_invoice

    def draft_items(self, **asked: Any) -> InvoiceDraft:
        return self.connector.draft_items(**{**asked, "entity_code": ENTITY})

    def read_items(self, **asked: Any) -> list[InvoiceDraft]:
        return self.connector.read_items(**{**asked, "entity_code": ENTITY})


class TestASplitContract:
    def test_is_billed_to_each_client_once_and_by_no_button(
        self, job: Job, worker_database: Database
    ) -> None:
        other = replace(job.client, business_key=new_key(), name="Southmoor", vat_number=None)
        other_code = job.erp.connector.write(command=other).target_code
        scene = Scene(worker_database)

        def arrange(firm: Firm) -> None:
            know_client(firm, firm.client_id, job.client_code)
            split_contract(firm, firm.client_id, "66.67", takes_rounding=True)
            split_contract(firm, make_client(firm, "Southmoor", code=other_code), "33.33")
            firm.hour("e1", project=firm.last, seconds=3600)
            firm.hour("e2", project=firm.last, seconds=1200)
            for noun, code in (
                ("contract", job.contract_code),
                ("project", job.project_code),
                ("erp_task", job.old_rate_code),
            ):
                firm.connection.execute(
                    "UPDATE crosswalk SET source_ref = %s WHERE noun = %s", (code, noun)
                )

        scene.arrange(arrange)
        with scene.database.transaction() as connection:
            booked = connection.execute("SELECT business_key, seconds FROM ledger_line").fetchall()
        lines = job.october(*(row["seconds"] for row in booked))
        job.erp.connector.write_lines(
            entity_code=ENTITY,
            lines=[
                replace(line, business_key=row["business_key"])
                for line, row in zip(lines, booked, strict=True)
            ],
        )
        scene.connectors = OneErp(cast(Any, _Books(job.erp.connector)))
        scene.compute()
        scene.release()

        # The first invoice is made, but nobody hears of it.
        lossy = _through(job, word=b"model.sale.sale.confirm", mood="lost")
        scene.connectors = OneErp(cast(Any, _Books(lossy)))
        assert isinstance(scene.draft(), NotDrafted)
        scene.connectors = OneErp(cast(Any, _Books(job.erp.connector)))
        scene.settle()
        drafted, again = scene.draft(), scene.draft()

        assert isinstance(drafted, Drafted)
        assert isinstance(again, Drafted)
        assert drafted.untaxed_amount == drafted.expected_amount == Decimal("200.00")
        assert again.target_codes == drafted.target_codes
        assert scene.compute().state == "invoiced"
        truth = job.erp.truth().invoices
        billed = {each.client_code for each in truth if each.invoice_code in drafted.target_codes}
        assert None not in billed
        assert sum(each.client_code in billed for each in truth) == len(billed) == 2
        amounts = {
            _party(job, read): read.untaxed_amount
            for key in _share_keys(scene)
            for read in job.erp.connector.read_items(business_key=key, entity_code=ENTITY)
        }
        assert amounts == {job.client_code: Decimal("133.34"), other_code: Decimal("66.66")}
        assert _draft(job, up_to=date(2026, 10, 31)) is None


def _share_keys(scene: Scene) -> list[UUID]:
    with scene.database.transaction() as connection:
        rows = connection.execute("SELECT business_key FROM invoice_share").fetchall()
    return [row["business_key"] for row in rows]


class TestPages:
    @pytest.mark.parametrize("stream", sorted(each.name for each in MANIFEST.streams))
    def test_are_complete_and_translate(self, job: Job, stream: str) -> None:
        job.erp.connector.write_lines(entity_code=ENTITY, lines=job.october(3600))
        _draft(job, up_to=date(2026, 10, 31))

        pages = list(job.erp.connector.pages(stream=stream, cursor=None, is_full=True))

        records = [record for page in pages for record in page.records]
        assert records
        assert len({record.source_ref for record in records}) == len(records)
        assert {page.total for page in pages} == {len(records)}
        assert [page.is_last for page in pages] == [False] * (len(pages) - 1) + [True]
        for record in records:
            assert isinstance(job.erp.connector.translate(record=record), Translated)
        one = job.erp.connector.read_one(object=stream, source_ref=records[0].source_ref)
        assert one == records[0]

    def test_go_on_from_a_cursor_with_an_overlap(self, job: Job) -> None:
        first = list(job.erp.connector.pages(stream="parties", cursor=None, is_full=True))
        client = replace(job.client, business_key=new_key())
        code = job.erp.connector.write(command=client).target_code

        second = list(
            job.erp.connector.pages(stream="parties", cursor=first[-1].cursor, is_full=False)
        )

        refs = [record.source_ref for page in second for record in page.records]
        assert code in refs
        assert refs == sorted(refs, key=int)

    def test_go_no_further_than_a_clock_vouches_for(
        self, job: Job, running_erp: RunningErp
    ) -> None:
        behind = datetime.now(UTC) - timedelta(hours=1)
        connection = replace(connection_to(running_erp), clock=FixedClock(behind))
        connector = build(connection)
        first = list(connector.pages(stream="parties", cursor=None, is_full=True))
        positions = read_cursor(first[-1].cursor)
        far = {code: replace(one, changed_at=_FAR) for code, one in positions.items()}

        second = list(connector.pages(stream="parties", cursor=write_cursor(far), is_full=False))

        assert {one.changed_at for one in positions.values()} == {behind.replace(tzinfo=None)}
        assert second == first

    def test_read_one_finds_nothing_for_a_number_that_is_not_there(self, erp: Erp) -> None:
        assert erp.connector.read_one(object="time_lines", source_ref="99999999") is None


class Narrowed(httpx.BaseTransport):
    """Let Tryton tell of fewer rights than the user has."""

    def __init__(self) -> None:
        self._inner = httpx.HTTPTransport()

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        response = self._inner.handle_request(request)
        if b"ir.model.access.get_access" not in request.read():
            return response
        told = json.loads(response.read())
        told["result"]["timesheet.line"] |= {"create": 0, "delete": False}
        return httpx.Response(200, stream=httpx.ByteStream(json.dumps(told).encode()))


class Wire(httpx.BaseTransport):
    """Lose the answer of the calls that a word is part of, after the real server gave it."""

    def __init__(self, *, word: bytes, mood: str) -> None:
        self._inner = httpx.HTTPTransport()
        self._word = word
        self._mood = mood
        self.calls = 0

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        if self._word not in request.read():
            return self._inner.handle_request(request)
        self.calls += 1
        match self._mood:
            case "503 before":
                return _answer(503)
            case "429 before":
                return _answer(429, headers={"Retry-After": "7"})
            case "401 before" if self.calls == 1:
                return _answer(401)
            case "lost":
                self._inner.handle_request(request).read()
                raise httpx.ReadTimeout("late")
            case "cut":
                whole = self._inner.handle_request(request).read()
                return _answer(200, content=whole[: len(whole) // 2])
        return self._inner.handle_request(request)


def _answer(
    status: int, *, content: bytes = b"", headers: dict[str, str] | None = None
) -> httpx.Response:
    return httpx.Response(status, headers=headers, stream=httpx.ByteStream(content))


CREATE = b"model.timesheet.line.create"


class TestAnswers:
    @pytest.mark.parametrize(("mood", "stored"), [("lost", 1), ("cut", 1), ("503 before", 0)])
    def test_that_are_lost_leave_one_record_or_none_and_say_unknown(
        self, job: Job, mood: str, stored: int
    ) -> None:
        lines = job.october(3600)

        with pytest.raises(OutcomeUnknown):
            _through(job, word=CREATE, mood=mood).write_lines(entity_code=ENTITY, lines=lines)

        found = job.erp.connector.read_lines(entity_code=ENTITY, keys=_keys(lines))
        assert len(found) == stored

    def test_of_429_say_when_to_come_back(self, job: Job) -> None:
        with pytest.raises(NotExecuted) as refusal:
            _through(job, word=CREATE, mood="429 before").write_lines(
                entity_code=ENTITY, lines=job.october(3600)
            )
        assert refusal.value.retry_after_seconds == 7

    def test_of_a_forgotten_session_are_asked_again_after_a_login(self, job: Job) -> None:
        lines = job.october(3600)

        _through(job, word=CREATE, mood="401 before").write_lines(entity_code=ENTITY, lines=lines)

        assert len(job.erp.connector.read_lines(entity_code=ENTITY, keys=_keys(lines))) == 1

    def test_to_a_question_before_a_write_mean_that_nothing_was_sent(self, job: Job) -> None:
        with pytest.raises(NotExecuted):
            _through(job, word=b"timesheet.work.search_read", mood="lost").write_lines(
                entity_code=ENTITY, lines=job.october(3600)
            )

    def test_to_a_read_mean_nothing_about_what_is_missing(self, job: Job) -> None:
        with pytest.raises(StreamBroken):
            _through(job, word=b"timesheet.line.search_read", mood="cut").read_lines(
                entity_code=ENTITY, keys=[new_key()]
            )

    def test_of_nobody_mean_that_nothing_was_sent(self, job: Job) -> None:
        closed = build(connection_to(job.erp.running, base_url="http://127.0.0.1:9"))

        with pytest.raises(NotExecuted):
            closed.write_lines(entity_code=ENTITY, lines=job.october(3600))

    def test_after_an_invoice_was_made_are_found_by_reading(self, job: Job) -> None:
        job.erp.connector.write_lines(entity_code=ENTITY, lines=job.october(3600))
        connector = _through(job, word=b"model.project.work.invoice", mood="lost")

        with pytest.raises(OutcomeUnknown):
            connector.draft_invoice(
                entity_code=ENTITY,
                project_code=job.project_code,
                contract_code=job.contract_code,
                up_to=date(2026, 10, 31),
                billing_method="time_and_materials",
            )

        (made,) = job.erp.connector.read_invoices(
            entity_code=ENTITY, project_code=job.project_code, contract_code=job.contract_code
        )
        assert made.untaxed_amount == Decimal("150.00")


class TestTruth:
    def test_tells_every_line_in_the_words_of_the_firm(self, job: Job) -> None:
        (line,) = job.october(5400)
        job.erp.connector.write_lines(entity_code=ENTITY, lines=[line])
        draft = _draft(job, up_to=date(2026, 10, 31))

        truth = job.erp.truth()

        (found,) = [each for each in truth.lines if each.uuid == str(line.business_key)]
        assert found.company_code == ENTITY
        assert found.employee_code == "E-1"
        assert found.employee_email == "person.1@haldenroe.example"
        assert found.project_number == job.project.code
        assert (found.task_name, found.seconds) == ("Design", 5400)
        assert found.work_date == line.work_date
        assert draft is not None
        assert found.invoice_line_code == draft.lines[0].line_code
        (invoice,) = [each for each in truth.invoices if each.invoice_code == draft.target_code]
        assert invoice.untaxed_amount == Decimal("225.00")
        assert invoice.untaxed_amount + invoice.tax_amount == draft.total_amount
        assert invoice.origins == (job.project.code,)

    def test_calls_a_project_without_tasks_an_orphan(self, job: Job) -> None:
        orphan = replace(job.project, business_key=new_key(), code=f"{job.project.code}-X")
        code = job.erp.connector.write(command=orphan).target_code

        assert orphan.code in job.erp.truth().orphan_projects
        assert job.project.code not in job.erp.truth().orphan_projects
        job.erp.connector.undo(
            noun="project",
            entity_code=ENTITY,
            target_code=code,
            business_key=orphan.business_key,
        )
        assert orphan.code not in job.erp.truth().orphan_projects


def _through(job: Job, *, word: bytes, mood: str) -> TrytonConnector:
    return build(connection_to(job.erp.running), transport=Wire(word=word, mood=mood))


def _draft(job: Job, *, up_to: date):  # type: ignore[no-untyped-def]
    return job.erp.connector.draft_invoice(
        entity_code=ENTITY,
        project_code=job.project_code,
        contract_code=job.contract_code,
        up_to=up_to,
        billing_method="time_and_materials",
    )


def _untaxed(erp: Erp) -> str:
    """Let the German company know a tax of nothing; return its name."""
    running, name = erp.running, f"Reverse charge {next(_numbers)}"
    assert running.template.firm is not None
    session = RpcSession(
        url=running.server.url,
        database=DATABASE,
        login="admin",
        password=running.template.admin_password,
    )
    company = running.template.firm.companies[ENTITY]
    (standing,) = session.find(
        "account.tax",
        [["company", "=", company]],
        ["invoice_account", "credit_note_account"],
        company=company,
    )
    values = {
        "name": name,
        "description": name,
        "company": company,
        "type": "percentage",
        "rate": Decimal(0),
        "invoice_account": standing["invoice_account"],
        "credit_note_account": standing["credit_note_account"],
    }
    session.create("account.tax", [values], company=company)
    session.close()
    return name


def _party(job: Job, invoice: InvoiceDraft) -> str | None:
    record = job.erp.connector.read_one(object="invoices", source_ref=invoice.target_code)
    assert record is not None
    found = job.erp.connector.translate(record=record)
    assert isinstance(found, Translated)
    assert isinstance(found.noun, WorkItem)
    return found.noun.client_ref


def _sum(task: TaskCommand, code: str, seconds: int) -> HourSum:
    assert task.rate_amount is not None
    return HourSum(
        task_code=code,
        task_name=task.name,
        labor_category=task.labor_category,
        rate_starts_on=task.starts_on,
        rate_amount=task.rate_amount,
        seconds=seconds,
    )


def _keys(lines: Sequence[TimeLineCommand]) -> list[UUID]:
    return [line.business_key for line in lines]


def test_days_are_inclusive_in_tryton_only(job: Job) -> None:
    last = NOVEMBER - timedelta(days=1)

    job.erp.connector.write_lines(
        entity_code=ENTITY, lines=job.lines(seconds=[60], task=job.old_rate_code, day=last)
    )

    with pytest.raises(Refused):
        job.erp.connector.write_lines(
            entity_code=ENTITY, lines=job.lines(seconds=[60], task=job.new_rate_code, day=last)
        )
