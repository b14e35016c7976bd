"""A month that the board closes in the ERP is closed for a connector, and open again afterwards."""

from __future__ import annotations

from datetime import UTC, date, datetime

import pytest
from tests.rooms.sandbox_erp.conftest import DATABASE, Erp

from tieline.sandbox.board import DEEDS, Deeds, Door, ErpDoor, NotDone, Occasions
from tieline.sandbox.process import SandboxClock

pytestmark = pytest.mark.erp
_AUGUST, _SEPTEMBER = date(2026, 8, 1), date(2026, 9, 1)


class TestTheMonthOfTheErp:
    def test_is_closed_and_opened_for_one_company_only(self, erp: Erp) -> None:
        nobody = Door(name="nobody", url="http://127.0.0.1:1", token="none")
        deeds = Deeds(
            hubspot=nobody,
            harvest=nobody,
            front=nobody,
            erp=ErpDoor(
                url=erp.running.server.url,
                database=DATABASE,
                password=erp.running.template.admin_password,
            ),
            now=SandboxClock(now=datetime(2026, 11, 3, tzinfo=UTC)).now,
            occasions=Occasions(months=(_AUGUST,)),
        )
        month = next(deed for deed in DEEDS if deed.code == "month")

        closed = deeds.do(month, "close HR-DE 2026-08-01")
        are_open = [_is_open(erp, entity) for entity in ("HR-DE", "HR-UK")]
        with pytest.raises(NotDone):
            deeds.do(month, "close HR-DE 2026-08-01")
        opened = deeds.do(month, "reopen HR-DE 2026-08-01")

        assert (closed.said, opened.said) == (
            "August 2026 of Halden Roe GmbH is closed in the ERP.",
            "August 2026 of Halden Roe GmbH is open again in the ERP.",
        )
        assert (are_open, _is_open(erp, "HR-DE")) == ([False, True], True)


def _is_open(erp: Erp, entity_code: str) -> bool:
    (period,) = erp.connector.fiscal_periods(
        entity_code=entity_code, starts_on=_AUGUST, ends_on=_SEPTEMBER
    )
    return period.is_open
