"""Every page and every deed against every role, taken from the application itself."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import date
from typing import Any
from uuid import UUID, uuid4

from fastapi.routing import APIRoute
from tests.rooms.casework.hand_made_firm import NOW

from tieline.governance import ADMIN, ROLES, propose

from .conftest import House, _hash

_APPROVE = {"controller", "finance"}
_WORK = {*_APPROVE, "delivery", "integration"}
_PAUSE = {"controller", "integration"}
_ADOPT = {"controller", "data_steward"}
_EVERYBODY = {*ROLES}
_TURN_DOWN = "/approvals/{proposal_id}/reject"
# What moves money, a system or a case names its roles here once more: a new deed fails until somebody did.
_DEEDS = {
    "/login": _EVERYBODY,
    "/logout": _EVERYBODY,
    "/theme": _EVERYBODY,
    "/approvals/{proposal_id}/approve": _APPROVE,
    # Somebody else's; one's own is taken back by whoever works.
    _TURN_DOWN: _APPROVE,
    "/approvals/rules/{release_id}/approve": _APPROVE,
    "/approvals/rules/{release_id}/reject": _APPROVE,
    "/adopt/link": _ADOPT,
    "/adopt/leave": _ADOPT,
    "/adopt/again": _ADOPT,
    "/adopt/sure": _ADOPT,
    "/adopt/propose": _ADOPT,
    "/adopt/sheet": _ADOPT,
    "/changes/agree": _APPROVE,
    "/changes/credited": _APPROVE,
    "/close/{contract_id}/{period_id}/release": _APPROVE,
    "/close/{contract_id}/{period_id}/withdraw": _APPROVE,
    "/close/files": _APPROVE,
    "/close/periods/{period_id}/close": _APPROVE,
    "/close/periods/{period_id}/reopen": _APPROVE,
    "/connections/stops/{stop_id}/lift": _APPROVE,
    "/connections/{connection_key}/pause": _PAUSE,
    "/connections/{connection_key}/resume": _PAUSE,
    "/drift/apply": {"controller", "integration"},
    "/exceptions/again": _WORK,
    "/exceptions/assign": _WORK,
    "/exceptions/{case_id}/assign": _WORK,
    "/exceptions/{case_id}/again": _WORK,
    "/exceptions/{case_id}/dismiss": _WORK,
    "/exceptions/{case_id}/leave-out": _WORK,
    "/exceptions/{case_id}/same-client": {*_WORK, "data_steward"},
    "/same-client/answer": {*_WORK, "data_steward"},
    "/same-client/undo": {*_WORK, "data_steward"},
    "/missing/remind": _WORK,
    "/missing/deputize": _WORK,
    "/handover/apply": _APPROVE,
    "/what-if": _WORK,
    "/what-if/{what_if_id}/stop": _WORK,
    "/what-if/rule": _APPROVE,
    "/seen": _EVERYBODY,
}
# What one is about to do is shown to whom may do it.
_PREVIEWS = {"/exceptions/again", "/exceptions/{case_id}/again"}
_PLACE = re.compile(r"\{([a-z_]+)(?::path)?\}")
_SOMETHING = str(uuid4())
_WORDS: dict[Any, str] = {UUID: _SOMETHING, list[UUID]: _SOMETHING, date: "2026-11-02"}

_NAMED = {"digest": "0" * 64}


def _routes(house: House) -> Iterator[tuple[str, APIRoute]]:
    for route in house.web._pages._app.routes:
        if isinstance(route, APIRoute):
            yield from ((method, route) for method in sorted(route.methods or ()))


def _fields(route: APIRoute) -> dict[str, str]:
    """Fill what a form must have with something of its kind: what is refused then is refused by right."""
    return {
        field.alias: _NAMED.get(field.alias)
        or _WORDS.get(field.field_info.annotation, "2026-11-02")
        for field in route.dependant.body_params
        if field.field_info.is_required()
    }


def _address(path: str) -> str:
    return _PLACE.sub(lambda found: "1" if found[1] == "release_id" else str(uuid4()), path)


def _join(house: House) -> None:
    with house.worker.transaction() as connection:
        for role in ROLES:
            connection.execute(
                "INSERT INTO person_login (login, display_name, password_hash, roles, entities,"
                " created_at, created_by) VALUES (%s, %s, %s, %s, '{DE}', %s, 'setup')",
                (role, role, _hash(), [role], NOW),
            )


def test_each_deed_is_done_by_the_roles_it_takes_and_refused_to_all_others(house: House) -> None:
    _join(house)
    # Whose it is decides who may turn it down, so this one is there.
    with house.worker.transaction() as connection:
        proposal = propose(
            connection,
            kind="case.leave_out",
            object="case:1",
            entity_code="DE",
            payload={},
            by="ann",
            reason="it is not ours",
            now=NOW,
        )
    there = {_TURN_DOWN: f"/approvals/{proposal.proposal_id}/reject"}
    deeds = {route.path: route for method, route in _routes(house) if method == "POST"}
    assert set(deeds) == set(_DEEDS)
    wrong = []

    for role in ROLES:
        browser = house.browser(role)
        for path, route in deeds.items():
            if _DEEDS[path] == _EVERYBODY:
                continue
            answer = browser.send(there.get(path) or _address(path), **_fields(route))
            is_known = role in _DEEDS[path] or role == ADMIN
            if (answer.status_code == 403) is is_known or answer.status_code >= 500:
                wrong.append((role, path, answer.status_code))

    assert wrong == []


def test_each_page_is_shown_to_every_role_and_to_no_stranger(house: House) -> None:
    _join(house)
    stranger, auditor = house.browser(), house.browser("auditor")
    wrong = []

    for method, route in _routes(house):
        if method != "GET" or route.path in ("/login", "/seen"):
            continue
        address = _address(route.path)
        if stranger.get(address).status_code != 303:
            wrong.append(("stranger", route.path, stranger.get(address).status_code))
        expected = {403} if route.path in _PREVIEWS else {200, 303, 404, 422}
        if auditor.get(address).status_code not in expected:
            wrong.append(("auditor", route.path, auditor.get(address).status_code))

    assert wrong == []


def test_an_auditor_finds_no_button_that_changes_anything(firm: House) -> None:
    _join(firm)
    # Some pages are only for who sees every legal entity.
    firm.rows(
        "UPDATE person_login SET entities = '{DE, UK}' WHERE login = 'auditor' RETURNING login"
    )
    browser = firm.browser("auditor")
    contract = f"{firm.project['contract_id']}/{firm.periods['DE', '2026-10']}"
    ours = {"/theme", "/logout"}
    found: set[str] = set()

    for address in (
        "/",
        "/exceptions",
        f"/exceptions/{firm.case_id}",
        "/close",
        f"/close/{contract}",
        f"/close/periods/{firm.periods['DE', '2026-10']}",
        "/changes",
        "/missing",
        "/delivery",
        "/adopt",
        "/handover",
        "/early",
        "/what-if",
        "/what-if/rule",
        "/connections",
        "/drift",
        "/approvals",
    ):
        page = browser.get(address)
        assert page.status_code == 200, address
        found |= set(re.findall(r'method="post" action="([^"]*)"', page.text))

    # Their own two are found, so others would be.
    assert found == ours
    # Nor is a link called what they may not do.
    assert "and close it" not in browser.get("/close").text
    assert "and close it" in firm.browser("dan").get("/close").text
