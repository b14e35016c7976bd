"""What is named to a page and belongs to another legal entity answers as what does not exist: from the routes."""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any
from urllib.parse import quote, urlencode

import httpx
import pytest
from fastapi.routing import APIRoute
from psycopg.types.json import Jsonb
from tests.rooms.casework.hand_made_firm import NOW

from tieline.governance import ROLES, propose

from .conftest import Browser, House, _hash, token_of
from .test_changes import _CHANGED
from .test_missing import _EMPLOYED

_PLACE = re.compile(r"\{([a-z_]+)(?::path)?\}")
_NOBODYS = "0c0ffee0-0000-4000-8000-000000000000"


@dataclass(frozen=True, slots=True, kw_only=True)
class Thing:
    """What one place of an address or a form may name: theirs, and one of the same kind that is not there."""

    theirs: str
    missing: str = _NOBODYS


# What a place, a filter or a field names, by its name; a new one fails until it stands in one of these three.
_NAMES_A_THING = {
    "case_id": "case",
    "case": "case",
    "contract_id": "contract",
    "period_id": "period",
    "proposal_id": "proposal",
    "proposal": "proposal",
    "stop_id": "stop",
    "file_name": "file",
    "change": "change",
    "deal": "deal",
    "entity": "entity",
    "period": "period code",
    "project": "project",
    "person": "person",
    "approver": "person",
    "manager": "person",
    "owner": "login",
    "to": "login",
    "words": "project",
    "ref": "hour",
}
_OF_THE_FIRM = {
    "client": "a client is every company's",
    "connection_key": "a system is connected for the firm",
    "target": "a system is connected for the firm",
    "system": "a system is connected for the firm",
    "release": "rules hold for every company",
    "release_id": "rules hold for every company",
    "deputy": "whoever the firm employs may stand in",
    "draft": "rules hold for every company",
    "what_if_id": "asked and read by who sees every company",
    "field": "a field of a noun",
    "pick": "links are every company's",
    "token": "the word of a message's link, which nobody is logged in for",
    "login": "who one is",
}
_NAMES_NOTHING = {
    "action", "answer", "applies_when", "back", "carry", "client_from", "code", "deed", "digest", "ends_on",
    "fix", "kind", "last_on", "limit", "lost", "message", "name", "next", "note", "noun", "page", "password",
    "predicate", "queue", "reason", "rows", "severity", "sheet", "shown", "sponsor", "starts_on", "state", "sure",
    "theme", "until", "what", "which",
}  # fmt: skip
# What else a call must have so that it is refused for whose it is, and for nothing else.
_RIGHT = {
    "answer": "same",
    "client": _NOBODYS,
    "connection_key": "clock",
    "deal": "sales:7",
    "deputy": "bea@x.example",
    "digest": "0" * 64,
    "shown": "1.1",
    "ends_on": "2026-11-02",
    "entity": "DE",
    "field": "client.name",
    "last_on": "2026-11-04",
    "name": "operate/states",
    "note": "CN-1",
    "reason": "because",
    "release_id": "1",
    "starts_on": "2026-11-02",
    "target": "books",
    "theme": "dark",
    "what_if_id": _NOBODYS,
    "which": "picked",
}
# No file is loaded into these books, no pair waits, and links are shown to who sees every company.
_SHOWN_TO_NO_OWNER_HERE = {"/close/files", "/same-client", "/adopt", "/adopt.xlsx"}
_COVER: dict[str, Any] = {
    "amounts": {}, "dates": "ISO", "durations": "hours", "left_out": [], "periods": [], "steps": [],
    "unpriced_seconds": 0,
}  # fmt: skip


@pytest.fixture
def things(firm: House) -> dict[str, Thing]:
    """Give one thing of each kind that belongs to the other legal entity."""
    # No connector of these systems takes a file, whichever is asked.
    firm.system.connectors = SimpleNamespace(get=lambda *, connection_key: None)
    with firm.worker.transaction() as connection:
        run = connection.execute
        proposal = propose(
            connection, kind="case.leave_out", object=f"case:{firm.other_case_id}", entity_code="UK",
            payload={}, by="cyd", reason="theirs", now=NOW,
        )  # fmt: skip
        stop = run(
            "INSERT INTO posting_stop (check_name, subject, scope_key, target_connection, entity_code,"
            " because, fingerprint, since, last_red_at) VALUES ('check.ledger', '', 'x', 'books', 'UK',"
            " 'it says something else', '', %s, %s) RETURNING stop_id",
            (NOW, NOW),
        ).fetchone()
        run(
            "INSERT INTO import_file (file_name, target_connection, entity_code, proposal_id, reason, made_by,"
            " approved_by, made_at, valid_until, checksum, cover, lines, seconds)"
            " VALUES ('books-UK.csv', 'books', 'UK', %s, 'down', 'cyd', 'dan', %s,"
            " %s::timestamptz + interval '1 day', 'x', %s, 3, 10800)",
            (proposal.proposal_id, NOW, NOW, Jsonb(_COVER)),
        )
        change = run(_CHANGED, {"entry": firm.other_entry_id}).fetchone()
        run(_EMPLOYED, {"name": "Bea Other", "email": "bea@x.example", "at": NOW})
        run("UPDATE employment SET entity_code = 'UK'")
        run("UPDATE fiscal_period SET period_code = '2026-T9' WHERE entity_code = 'UK'")
        run("UPDATE case_file SET assigned_to = 'cyd' WHERE case_id = %s", (firm.other_case_id,))
        person = run("SELECT person_id FROM person").fetchone()
        assert person is not None
        # What waits for approval is theirs too, and would be held.
        run("UPDATE rule SET predicate = 'false'")
        run(
            "INSERT INTO crosswalk (connection_key, noun, source_ref, our_id, because, recorded_at)"
            " VALUES ('clock', 'project', 'p1', %s, 'a test', %s), ('clock', 'person', 'anna', %s, 'a test', %s)",
            (firm.other_project["project_id"], NOW, person["person_id"], NOW),
        )
        run(
            "INSERT INTO assignment (person_id, project_id, labor_category, approver_id, starts_on, recorded_at)"
            " VALUES (%s, %s, 'Consultant', %s, '2026-01-01', %s)",
            (person["person_id"], firm.other_project["project_id"], person["person_id"], NOW),
        )
        run(
            "INSERT INTO source_version (connection_key, source_epoch, object, source_ref, version, is_newest, noun,"
            " data, is_deleted, material_hash, material_version, recorded_at, raw_id, correlation_id)"
            " VALUES ('clock', 0, 'staffing', 'm1', 1, true, 'StaffingFact', %s, false, '', 1, %s, 1, 'c')",
            (
                Jsonb(
                    {
                        "fact": "assignment", "manages_project": True, "project_code": "P-UK",
                        "person_email": "bea@x.example",
                    }
                ),
                NOW,
            ),
        )  # fmt: skip
        run(
            "INSERT INTO person_login (login, display_name, password_hash, roles, entities, created_at, created_by)"
            " VALUES ('all', 'All', %s, %s, '{DE}', %s, 'setup')",
            (_hash(), [*ROLES], NOW),
        )
    assert stop is not None
    assert change is not None
    return {
        "case": Thing(theirs=str(firm.other_case_id)),
        "contract": Thing(theirs=str(firm.other_project["contract_id"])),
        "period": Thing(theirs=str(firm.periods["UK", "2026-10"])),
        "proposal": Thing(theirs=str(proposal.proposal_id)),
        "stop": Thing(theirs=str(stop["stop_id"])),
        "file": Thing(theirs="books-UK.csv", missing="books-XX.csv"),
        "change": Thing(theirs=str(change["change_id"])),
        "deal": Thing(theirs="sales:8", missing="sales:9"),
        "entity": Thing(theirs="UK", missing="XX"),
        "period code": Thing(theirs="2026-T9", missing="2026-T8"),
        "project": Thing(theirs="P-UK", missing="P-XX"),
        "person": Thing(theirs=str(person["person_id"])),
        "login": Thing(theirs="cyd", missing="xxx"),
        "hour": Thing(theirs="clock:booked-2", missing="clock:booked-9"),
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One call of a page; ``places`` are filled with what is named, all others with what is right."""

    method: str
    path: str
    places: tuple[str, ...]
    queries: tuple[str, ...]
    fields: tuple[str, ...]

    def send(
        self, browser: Browser, *, token: str, right: dict[str, str], named: dict[str, str]
    ) -> httpx.Response:
        words = {**right, **{place: named[_NAMES_A_THING[place]] for place in self.places}}
        address = _PLACE.sub(lambda found: quote(words[found[1]], safe=""), self.path)
        query = urlencode({name: words[name] for name in self.queries})
        return browser.client.request(
            self.method,
            f"{address}?{query}" if query else address,
            data={"csrf": token, **{name: words[name] for name in self.fields if name in words}}
            if self.method == "POST"
            else None,
        )


def _routes(house: House) -> Iterator[tuple[str, APIRoute]]:
    for route in house.web._pages._app.routes:
        if isinstance(route, APIRoute):
            yield from ((method, route) for method in sorted(route.methods or ()))


def _calls(house: House) -> Iterator[Call]:
    for method, route in _routes(house):
        queries = tuple(each.alias for each in route.dependant.query_params)
        needed = tuple(
            each.alias for each in route.dependant.query_params if each.field_info.is_required()
        )
        fields = tuple(each.alias for each in route.dependant.body_params)
        # An address names one thing, in one place or two; each filter and each field names its own.
        of_address = tuple(place for place in _PLACE.findall(route.path) if place in _NAMES_A_THING)
        alone = [(place,) for place in (*queries, *fields) if place in _NAMES_A_THING]
        for places in [of_address, *alone] if of_address else alone:
            yield Call(
                method=method,
                path=route.path,
                places=places,
                queries=(*needed, *(place for place in places if place in queries)),
                fields=fields,
            )


def _pages(house: House) -> Iterator[str]:
    for method, route in _routes(house):
        asked = [each.field_info.is_required() for each in route.dependant.query_params]
        if method == "GET" and "{" not in route.path and not any(asked):
            yield route.path


def _told(answer: httpx.Response, named: Iterable[str]) -> tuple[int, dict[str, str], str]:
    """Return all that an answer tells, but for the very words that were asked."""
    content = answer.content
    if content.startswith(b"PK"):
        with zipfile.ZipFile(io.BytesIO(content)) as book:
            # Its properties hold the second in which it was made.
            names = sorted(name for name in book.namelist() if not name.startswith("docProps"))
            content = b"".join(book.read(name) for name in names)
    text = content.decode("utf-8", "replace")
    headers = dict(answer.headers)
    headers.pop("content-length", None)
    for word in {each for name in named for each in (name, quote(name, safe=""))}:
        text = text.replace(word, "it")
        headers = {name: said.replace(word, "it") for name, said in headers.items()}
    return answer.status_code, headers, text


class TestAnotherEntity:
    def test_is_told_what_every_place_names(self, house: House) -> None:
        places = {
            place
            for _, route in _routes(house)
            for place in (
                *_PLACE.findall(route.path),
                *(each.alias for each in route.dependant.query_params),
                *(each.alias for each in route.dependant.body_params),
            )
        }

        assert places - {"csrf"} == set(_NAMES_A_THING) | set(_OF_THE_FIRM) | _NAMES_NOTHING

    def test_is_on_no_page_and_in_no_file(self, firm: House, things: dict[str, Thing]) -> None:
        stranger, owner = firm.browser("all"), firm.browser("cyd")
        words = {thing.theirs for name, thing in things.items() if name not in ("entity", "login")}
        words |= {"Firm UK", "Contract P-UK", "GBP", "Bea Other"}
        wrong, told = [], set()

        for path in _pages(firm):
            shown, known = (_told(who.get(path), ())[2] for who in (stranger, owner))
            wrong += [(path, each) for each in words if each in shown]
            told |= {each for each in words if each in known}

        assert wrong == []
        assert len(told) > len(words) / 2, told

    def test_answers_as_if_it_did_not_exist(self, firm: House, things: dict[str, Thing]) -> None:
        # Whoever may do everything, in one legal entity; and whose the things are.
        stranger, owner = firm.browser("all"), firm.browser("cyd")
        token = token_of(stranger.get("/"))
        right = {
            **_RIGHT,
            "case": str(firm.case_id),
            "case_id": str(firm.case_id),
            "contract_id": str(firm.project["contract_id"]),
            "period_id": str(firm.periods["DE", "2026-10"]),
        }
        theirs = {name: thing.theirs for name, thing in things.items()}
        missing = {name: thing.missing for name, thing in things.items()}
        wrong, untrue, asked = [], [], 0

        for call in _calls(firm):
            answers = [
                _told(
                    call.send(stranger, token=token, right=right, named=named), _used(call, named)
                )
                for named in (theirs, missing)
            ]
            asked += 1
            if answers[0] != answers[1] or answers[0][0] in (422, 500):
                wrong.append((call.method, call.path, call.places, *(each[0] for each in answers)))
            if call.method == "GET":
                answers = [
                    _told(call.send(owner, token="", right=right, named=named), _used(call, named))
                    for named in (theirs, missing)
                ]
                if answers[0] == answers[1]:
                    untrue.append((call.path, call.places, answers[0][0]))

        assert wrong == []
        assert {path for path, _, _ in untrue} == _SHOWN_TO_NO_OWNER_HERE, untrue
        assert asked > 80


def _used(call: Call, named: dict[str, str]) -> list[str]:
    return [named[_NAMES_A_THING[place]] for place in call.places]
