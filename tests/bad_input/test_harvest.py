"""A time tool that answers with what nobody should say: each bad record fails by itself, under its own number."""

from __future__ import annotations

import json
from pathlib import Path

import httpx

from tieline.connectors import harvest
from tieline.sdk import Connection, Translated

_FIXTURE = Path(harvest.__file__).parent / "fixtures" / "time_entries.json"
_ENTRY = json.loads(_FIXTURE.read_text(encoding="utf-8")) | {"id": 1}
_BAD = (
    {"id": 11, "hours": float("nan")},
    {"id": 12, "hours": "many"},
    {"id": 13, "spent_date": "9999-99-99"},
    {"id": 14, "updated_at": "9999-12-31T23:59:59-12:00"},
    {"id": 15, "user": None},
    {"id": 16, "hours": float("inf")},
)


def test_each_bad_hour_fails_by_itself_and_is_known_by_its_number() -> None:
    entries = [_ENTRY, *({**_ENTRY, **bad} for bad in _BAD), {**_ENTRY, "id": "nothing"}]
    page = {
        "time_entries": entries,
        "total_entries": len(entries),
        "next_page": None,
        "page": 1,
    }
    body = json.dumps(page).encode()
    connector = harvest.build(
        Connection(
            connection_key="clock",
            base_url="http://clock.test",
            config={},
            secrets={"access_token": "token", "account_id": "17"},
            allowed_hosts=frozenset({"clock.test"}),
            timeout_seconds=5,
        ),
        transport=httpx.MockTransport(
            lambda _: httpx.Response(
                200,
                stream=httpx.ByteStream(body),
                headers={"content-type": "application/json"},
            )
        ),
    )

    (read,) = connector.pages(stream="time_entries", cursor=None, is_full=False)

    results = {record.source_ref: connector.translate(record=record) for record in read.records}
    understood = {ref for ref, result in results.items() if isinstance(result, Translated)}
    assert len(results) == len(entries)
    # When it was changed last orders an hour among its states; what it says stays as it is.
    assert understood == {"1", "14"}
    assert {ref for ref in results if ref.isdecimal()} == {"1", *(str(bad["id"]) for bad in _BAD)}
    # Every byte of what is not understood is kept.
    assert b"".join(record.body for record in read.records).count(b'"hours": NaN') == 1
