"""How far a cursor may move, by whose clock."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import httpx
import pytest
from tests.support.target import FixedClock

from tieline.sdk import Connection
from tieline.sdk.http import HttpClient
from tieline.sdk.reach import believed, reached

NOW = datetime(2026, 10, 15, 9, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)


def _answered(date: str, *, clock: FixedClock | None) -> HttpClient:
    connection = Connection(
        connection_key="vendor",
        base_url="http://vendor.example",
        config={},
        secrets={},
        allowed_hosts=frozenset({"vendor.example"}),
        clock=clock,
    )
    headers = {"Date": date} if date else {}
    client = HttpClient(
        connection=connection,
        headers={},
        transport=httpx.MockTransport(
            lambda _: httpx.Response(200, headers=headers, stream=httpx.ByteStream(b"{}"))
        ),
    )
    client.read(path="/")
    return client


def _date(moment: datetime) -> str:
    return format_datetime(moment, usegmt=True)


class TestACursor:
    @pytest.mark.parametrize(
        ("date", "furthest"),
        [
            ("", NOW),
            ("yesterday", NOW),
            (_date(NOW - HOUR), NOW - HOUR),
            (_date(NOW + HOUR), NOW),
            # What a proxy says that lost its clock is no clock of the source.
            (_date(datetime(2015, 1, 1, tzinfo=UTC)), NOW),
        ],
    )
    def test_goes_no_further_than_both_clocks(self, date: str, furthest: datetime) -> None:
        http = _answered(date, clock=FixedClock(NOW))

        assert reached(datetime.max.replace(tzinfo=UTC), http=http) == furthest
        assert reached(furthest - HOUR, http=http) == furthest - HOUR

    def test_is_not_believed_when_it_stands_days_ahead(self) -> None:
        connection = _answered("", clock=FixedClock(NOW)).connection

        assert believed(NOW + HOUR, connection=connection) == NOW + HOUR
        assert believed(NOW + 48 * HOUR, connection=connection) is None
        assert believed(None, connection=connection) is None
