"""Every address of the API against every scope a key can have, generated from the description."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import timedelta
from uuid import uuid4

from tests.rooms.casework.hand_made_firm import NOW

from tieline.governance import SCOPES, add_person, close_person, issue_api_key

from .conftest import PEPPER, House
from .test_description import described

_PLACE = re.compile(r"\{[^}]+\}")


def _operations() -> Iterator[tuple[str, str, str | None, bool]]:
    for path, methods in described()["paths"].items():
        for method, operation in methods.items():
            yield method, path, operation.get("x-scope"), bool(operation.get("security"))


def _issue(house: House, name: str, *scopes: str, by: str = "ann", days: int | None = None) -> str:
    with house.worker.transaction() as connection:
        issued = issue_api_key(
            connection,
            pepper=PEPPER,
            name=name,
            scopes=scopes,
            entities=("DE",),
            by=by,
            now=NOW,
            expires_at=None if days is None else NOW + timedelta(days=days),
        )
    return issued.secret


def _status(house: House, method: str, path: str, key: str | None) -> int:
    headers = {"Idempotency-Key": uuid4().hex}
    if key is not None:
        headers["Authorization"] = f"Bearer {key}"
    address = _PLACE.sub(str(uuid4()), path)
    body: dict[str, str] | None = {} if method in ("post", "put", "patch") else None
    return house.client.request(method, address, headers=headers, json=body).status_code


def test_each_address_opens_to_the_scopes_it_names_and_to_no_other(house: House) -> None:
    keys = {scope: _issue(house, f"only {scope}", scope) for scope in sorted(SCOPES)}
    wrong, asked = [], 0

    for method, path, scope, is_guarded in _operations():
        if not is_guarded:
            continue
        for held, key in keys.items():
            asked += 1
            is_let_in = scope is None or held in (scope, "admin")
            status = _status(house, method, path, key)
            if (status == 403) is is_let_in or status == 401 or status >= 500:
                wrong.append((method, path, held, status))
        if _status(house, method, path, None) != 401:
            wrong.append((method, path, "no key", 0))

    assert wrong == []
    assert asked == len(SCOPES) * sum(guarded for *_, guarded in _operations()) > 200


def test_a_key_opens_nothing_once_it_or_the_person_it_acts_for_has_ended(house: House) -> None:
    with house.worker.transaction() as connection:
        for login, ends_at in (("boss", None), ("gone", None), ("ended", NOW)):
            add_person(
                connection,
                login=login,
                display_name=login,
                password="a long enough password",
                roles=("admin",),
                entities=("DE",),
                by="setup",
                now=NOW,
                ends_at=ends_at,
            )
        close_person(connection, login="gone", by="boss", reason="left", now=NOW)
    expected = {
        _issue(house, "fresh", "admin", by="boss", days=1): 200,
        _issue(house, "over", "admin", by="boss", days=0): 401,
        _issue(house, "of gone", "admin", by="Gone"): 401,
        _issue(house, "of ended", "admin", by="ended"): 401,
    }

    assert {key: _status(house, "get", "/v1/cases", key) for key in expected} == expected
