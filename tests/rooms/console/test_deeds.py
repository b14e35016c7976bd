"""What a person does on a page is theirs to do, comes from our own form, and needs a second pair of eyes."""

from __future__ import annotations

import itertools
import re
import threading
from concurrent.futures import ThreadPoolExecutor, as_completed
from typing import Any

import httpx
import pytest
from psycopg.types.json import Jsonb
from tests.rooms.casework.hand_made_firm import NOW, Firm

from tieline.casework import sync_time_cases
from tieline.console import entrance
from tieline.ledger import plan
from tieline.validation import judge

from .conftest import PASSWORD, House, token_of


class TestForms:
    def test_are_refused_without_their_token(self, firm: House) -> None:
        browser = firm.browser("ann")

        for address in (
            f"/exceptions/{firm.case_id}/assign",
            f"/exceptions/{firm.case_id}/again",
            f"/exceptions/{firm.case_id}/leave-out",
            "/connections/clock/pause",
            "/logout",
            "/theme",
        ):
            for token in ({}, {"csrf": ""}, {"csrf": "0" * 64}, {"csrf": "ü"}):
                answer = browser.client.post(address, data={"reason": "x", "to": "ann", **token})
                assert answer.status_code == 403, address
        assert firm.rows("SELECT 1 AS one FROM audit WHERE action LIKE 'case.%%'") == []

    def test_of_somebody_else_are_refused(self, firm: House) -> None:
        token = token_of(firm.browser("bob").get("/"))

        answer = firm.browser("ann").client.post(
            f"/exceptions/{firm.case_id}/assign", data={"csrf": token, "to": "ann"}
        )

        assert answer.status_code == 403

    def test_of_a_stranger_lead_to_the_login(self, firm: House) -> None:
        answer = firm.browser().client.post(f"/exceptions/{firm.case_id}/assign", data={"to": "x"})

        assert answer.status_code == 303

    @pytest.mark.parametrize(
        "fields",
        [
            {},
            {"reason": ""},
            {"reason": "   "},
            {"reason": "a\x00b"},
            {"reason": "x" * 2000},
        ],
    )
    def test_with_bad_words_are_answered_with_a_page(
        self, firm: House, fields: dict[str, str]
    ) -> None:
        answer = firm.browser("ann").send(f"/exceptions/{firm.case_id}/again", **fields)

        assert answer.status_code == 422
        assert answer.headers["content-type"].startswith("text/html")

    @pytest.mark.parametrize(
        ("address", "status"),
        [
            ("/exceptions/not-a-number", 422),
            ("/exceptions?page=0", 422),
            ("/exceptions?page=99999999999999999999", 422),
            ("/exceptions?page=2", 200),
            ("/exceptions?reason=%00", 400),
            ("/exceptions?reason=%01", 422),
            ("/exceptions?entity=%C3%28", 200),
            ("/exceptions?queue=" + "x" * 500, 422),
            ("/close?state=nonsense&period=x", 200),
            ("/trace?kind=nonsense&ref=1", 422),
            ("/trace?kind=hour&ref=%27%3B--", 404),
            ("/approvals?state=nonsense", 422),
            ("/close/1/2", 422),
            ("/nothing/here", 404),
        ],
    )
    def test_and_addresses_that_make_no_sense_never_break(
        self, firm: House, address: str, status: int
    ) -> None:
        answer = firm.browser("ann").get(address)

        assert answer.status_code == status

    def test_have_a_cap(self, firm: House) -> None:
        browser = firm.browser("ann")

        large = browser.send(f"/exceptions/{firm.case_id}/again", reason="x" * 1_100_000)
        strange = browser.client.post(f"/exceptions/{firm.case_id}/again", json={"reason": "x"})

        assert large.status_code == 413
        assert strange.status_code == 415
        assert "default-src 'none'" in large.headers["content-security-policy"]


class TestLoggingIn:
    @pytest.mark.parametrize("is_under_tls", [False, True])
    def test_gives_a_cookie_that_no_script_and_no_other_site_gets(
        self, house: House, is_under_tls: bool
    ) -> None:
        house.web.is_under_tls = is_under_tls
        browser = house.browser()
        if is_under_tls:
            browser.client.base_url = httpx.URL("https://tieline.example")

        answer = browser.log_in("ann", back="/close")

        cookie = next(
            value
            for value in answer.headers.get_list("set-cookie")
            if value.startswith("tieline_session")
        )
        assert answer.headers["location"] == "/close"
        assert "HttpOnly" in cookie
        assert "samesite=strict" in cookie.lower()
        assert ("Secure" in cookie) is is_under_tls

    @pytest.mark.parametrize("back", ["https://evil.example", "//evil.example", "/\\evil", "x"])
    def test_leads_to_our_own_pages_only(self, house: House, back: str) -> None:
        assert house.browser().log_in("ann", back=back).headers["location"] == "/"

    def test_fails_with_a_wrong_password_or_a_made_up_name(self, house: House) -> None:
        browser = house.browser()

        assert browser.log_in("ann", "wrong").status_code == 401
        assert browser.log_in("nobody", PASSWORD).status_code == 401
        assert browser.get("/").status_code == 303

    def test_is_kept_from_nobody_where_they_came_in_before(self, house: House) -> None:
        own, elsewhere, stranger = house.browser("ann"), house.browser(), house.browser()
        own.send("/logout")

        guesses = {stranger.log_in("ann", "wrong").status_code for _ in range(10)}

        assert guesses == {401}
        assert elsewhere.log_in("ann").status_code == 401
        assert own.log_in("ann").status_code == 303
        # Guessing is no better there: ten, and the browser is one like any other.
        assert {own.log_in("ann", "wrong").status_code for _ in range(10)} == {401}
        assert own.log_in("ann").status_code == 401
        assert own.log_in("bob").status_code == 303

    def test_of_a_crowd_keeps_nobody_from_the_pages(
        self, house: House, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        own, inside = house.browser("ann"), house.browser("bob")
        own.send("/logout")
        is_let_go, looked_at = threading.Event(), []

        def look(connection: Any, *, login: str, **_: Any) -> None:
            looked_at.append(login)
            if login.startswith("made up"):
                is_let_go.wait(60)

        monkeypatch.setattr(entrance, "authenticate", look)

        with ThreadPoolExecutor(max_workers=20) as crowd:
            guesses = [
                crowd.submit(house.browser().log_in, f"made up {number}") for number in range(20)
            ]
            # Who waits for a turn is not answered: all others are.
            refused = list(itertools.islice(as_completed(guesses), 15))
            page = inside.get("/")
            back = own.log_in("ann")
            is_let_go.set()

        assert page.status_code == 200
        assert back.status_code == 401
        assert "ann" in looked_at
        assert {each.result().status_code for each in refused} == {503}
        assert {each.result().headers["retry-after"] for each in refused} == {"3"}
        assert sorted(each.result().status_code for each in guesses) == [401] * 5 + [503] * 15

    def test_leads_back_to_where_one_was_whatever_host_is_named(self, house: House) -> None:
        answer = house.browser().client.get("/close?period=x", headers={"Host": "evil.example"})

        assert answer.headers["location"] == "/login?next=%2Fclose%3Fperiod%3Dx"

    def test_is_refused_from_a_foreign_form(self, house: House) -> None:
        answer = house.browser().client.post(
            "/login", data={"login": "ann", "password": PASSWORD, "csrf": "x"}
        )

        assert answer.status_code == 403

    def test_ends_with_logging_out(self, house: House) -> None:
        browser = house.browser("ann")
        kept = dict(browser.client.cookies)

        browser.send("/logout")
        browser.client.cookies.update(kept)

        assert browser.get("/").status_code == 303
        # A page that is open and asks for its newest part goes to the login as a whole.
        part = browser.client.get("/overview/now", headers={"HX-Request": "true"})
        assert (part.status_code, part.headers["hx-redirect"]) == (401, "/login")

    def test_remembers_light_or_dark(self, house: House) -> None:
        browser = house.browser("ann")

        answer = browser.send("/theme", theme="dark", back="/close")

        assert answer.headers["location"] == "/close"
        assert 'data-bs-theme="dark"' in browser.get("/").text


class TestCases:
    def test_are_handed_out_sent_again_and_written_down(self, firm: House) -> None:
        browser = firm.browser("ann")

        browser.send(f"/exceptions/{firm.case_id}/assign", to="bob")
        browser.send(f"/exceptions/{firm.case_id}/again", reason="described the work")

        case = firm.rows("SELECT assigned_to FROM case_file WHERE case_id = %s", firm.case_id)[0]
        told = firm.rows(
            "SELECT actor, action FROM audit WHERE object LIKE 'case:%%' ORDER BY 1, 2"
        )
        assert case["assigned_to"] == "bob"
        assert (
            len(firm.rows("SELECT 1 AS one FROM rejudge WHERE because LIKE 'case.replay:%%'")) == 1
        )
        assert [row["actor"] for row in told] == ["ann", "ann"]

    def test_are_previewed_before_they_are_sent_again(self, firm: House) -> None:
        browser = firm.browser("ann")
        page = f"/exceptions/{firm.case_id}/again"

        free = browser.get(page)
        firm.rows(
            "INSERT INTO rule (release_id, book, code, position, scope, applies_when, predicate, severity,"
            " owner_queue, thing, message, fix_hint, source) SELECT release_id, 'time', 'time.overlap', 2,"
            " 'row', 'true', 'false', 'error', 'delivery', 'entry', 'x', 'x', 'test' FROM release"
            " RETURNING 1 AS one"
        )
        held = browser.get(page)

        assert "1 of 1" in free.text
        assert "0 of 1" in held.text
        assert "Put it right where it comes from first" in held.text
        assert firm.rows("SELECT 1 AS one FROM rejudge WHERE because LIKE 'case.replay:%%'") == []
        assert browser.get(f"/exceptions/{firm.other_case_id}/again").status_code == 404
        assert firm.browser("eve").get(page).status_code == 403

    def test_are_sent_again_together_as_it_was_shown(self, firm: House) -> None:
        firm.rows("UPDATE person_login SET roles = '{auditor}' WHERE login = 'eve' RETURNING login")
        browser = firm.browser("dan")
        closed = firm.rows(
            "INSERT INTO case_file (reason, owner_queue, thing_kind, thing_key, entity_code, opened_at,"
            " correlation_id, state, closed_at, closed_because) VALUES ('time.rate_missing', 'finance',"
            " 'project', 'clock:7', 'DE', now(), 'c', 'closed', now(), 'healed') RETURNING case_id"
        )[0]["case_id"]
        picked = f"which=picked&case={firm.case_id}&case={firm.other_case_id}&case={closed}"

        shown = browser.get(f"/exceptions/again?{picked}").text
        form = dict(re.findall(r'name="(digest)" value="([^"]*)"', shown))
        sent = {"case": [str(firm.case_id), str(firm.other_case_id), str(closed)], **form}
        untrue = browser.send("/exceptions/again", **{**sent, "digest": "0" * 64}, reason="mended")
        before = firm.rows("SELECT 1 AS one FROM rejudge WHERE because LIKE 'case.replay:%%'")
        done = browser.send("/exceptions/again", **sent, reason="mended")

        assert "2 of 2" in shown
        assert "It is closed by now" in shown
        assert (untrue.status_code, before) == (409, [])
        assert done.headers["location"] == "/exceptions?done=sent_several_again"
        assert (
            len(firm.rows("SELECT 1 AS one FROM rejudge WHERE because LIKE 'case.replay:%%'")) == 2
        )
        assert {
            row["object"]
            for row in firm.rows("SELECT object FROM audit WHERE action = 'case.replayed'")
        } == {f"case:{firm.case_id}", f"case:{firm.other_case_id}"}
        assert firm.browser("eve").get(f"/exceptions/again?{picked}").status_code == 403
        assert firm.browser("ann").get(f"/exceptions/again?{picked}").status_code == 404
        assert browser.get("/exceptions/again?which=picked").status_code == 409

    def test_that_fit_a_filter_are_shown_with_what_still_holds_them(self, firm: House) -> None:
        browser = firm.browser("dan")
        page = browser.get("/exceptions?entity=DE").text
        firm.rows("UPDATE rule SET predicate = 'false' RETURNING 1 AS one")

        held = browser.get("/exceptions/again?entity=DE").text

        assert 'href="/exceptions/again?entity=DE"' in page
        assert "0 of 1" in held
        assert "What holds it is still there: The entry says nothing about the work" in held
        assert "none of them would change" in held

    def test_of_a_refused_write_are_shown_as_what_is_sent_again(self, house: House) -> None:
        with house.worker.transaction() as connection:
            made = Firm(connection).found()
            entry_id = made.entry("refused-1")
            connection.execute("UPDATE time_entry SET object = 'time_entries'")
            project = made.project("P-DE")
            for noun, ref, our_id in (
                ("project", "p1", project["project_id"]),
                ("task", "t1", project["task_id"]),
                ("person", "anna", made.person_id),
            ):
                connection.execute(
                    "INSERT INTO crosswalk (connection_key, noun, source_ref, our_id, because, recorded_at)"
                    " VALUES ('clock', %s, %s, %s, 'test', %s)",
                    (noun, ref, our_id, NOW),
                )
            made.judge(entry_id, "held", project=project)
            judge(
                connection,
                neighbor_keys=[f"entry:{entry_id}"],
                clock=house.system.clock,
                correlation_id="c",
            )
            plan(connection, entry_ids=[entry_id], now=NOW)
            for state in ("INTENT", "REJECTED"):
                connection.execute("UPDATE effect SET state = %s, payload_hash = 'x'", (state,))
            sync_time_cases(connection, now=NOW, correlation_id="c")

        shown = house.browser("ann").get("/exceptions/again").text

        assert "1 sent again" in shown
        assert "EUR 150.00" in shown.partition('<th scope="row">Sent</th>')[2]
        assert house.rows("SELECT state FROM effect") == [{"state": "REJECTED"}]

    def test_that_hold_hours_are_not_dismissed(self, firm: House) -> None:
        answer = firm.browser("ann").send(f"/exceptions/{firm.case_id}/dismiss", reason="fine")

        assert answer.status_code == 409
        assert "time entries wait" in answer.text

    def test_are_only_looked_at_without_a_role(self, firm: House) -> None:
        browser = firm.browser("eve")

        assert browser.get(f"/exceptions/{firm.case_id}").status_code == 200
        for verb in ("assign", "again", "dismiss", "leave-out"):
            answer = browser.send(f"/exceptions/{firm.case_id}/{verb}", reason="x", to="eve")
            assert answer.status_code == 403
        assert browser.send("/connections/clock/pause", reason="x").status_code == 403


class TestLeavingOut:
    def test_takes_a_second_person(self, firm: House) -> None:
        ann, bob = firm.browser("ann"), firm.browser("bob")

        ann.send(f"/exceptions/{firm.case_id}/leave-out", reason="booked twice")
        proposal_id = firm.rows("SELECT proposal_id FROM proposal")[0]["proposal_id"]
        own = ann.send(f"/approvals/{proposal_id}/approve")
        before = firm.rows("SELECT 1 AS one FROM exclusion")
        second = bob.send(f"/approvals/{proposal_id}/approve", reason="agreed")

        assert own.status_code == 409
        assert "may not approve it" in own.text
        assert before == []
        assert second.status_code == 303
        assert firm.rows("SELECT proposed_by, approved_by FROM exclusion") == [
            {"proposed_by": "ann", "approved_by": "bob"}
        ]

    def test_can_be_decided_where_it_was_proposed(self, firm: House) -> None:
        firm.browser("ann").send(f"/exceptions/{firm.case_id}/leave-out", reason="booked twice")

        own = firm.browser("ann").get(f"/exceptions/{firm.case_id}").text
        other = firm.browser("bob").get(f"/exceptions/{firm.case_id}").text

        assert "somebody else must agree" in own
        assert ">Approve<" not in own
        assert ">Approve<" in other

    def test_means_the_hours_that_were_proposed(self, firm: House) -> None:
        firm.browser("ann").send(f"/exceptions/{firm.case_id}/leave-out", reason="booked twice")
        proposal_id = firm.rows("SELECT proposal_id FROM proposal")[0]["proposal_id"]
        firm.rows(
            "INSERT INTO case_member (case_id, member_kind, member_key, entry_id, seconds, joined_at)"
            " VALUES (%s, 'time_entry', 'later', %s, 60, now()) RETURNING case_id",
            firm.case_id,
            firm.entry_id,
        )

        answer = firm.browser("bob").send(f"/approvals/{proposal_id}/approve")

        assert answer.status_code == 409
        assert firm.rows("SELECT state FROM proposal")[0]["state"] == "proposed"
        assert firm.rows("SELECT 1 AS one FROM exclusion") == []

    def test_is_turned_down_with_a_word(self, firm: House) -> None:
        firm.browser("ann").send(f"/exceptions/{firm.case_id}/leave-out", reason="booked twice")
        proposal_id = firm.rows("SELECT proposal_id FROM proposal")[0]["proposal_id"]

        firm.browser("bob").send(f"/approvals/{proposal_id}/reject", reason="it was real work")

        assert "it was real work" in firm.browser("ann").get("/approvals", state="rejected").text


class TestWhichClient:
    @pytest.fixture
    def asked(self, firm: House) -> str:
        """Ask which client a company of the CRM is; return the page of the case."""
        client_id = firm.rows("SELECT client_id FROM client")[0]["client_id"]
        data: dict[str, Any] = {
            "name": "Nordwind", "vat_number": None, "street": None, "postal_code": None,
            "city": "Kiel", "country_code": None, "domain": None, "parent_ref": None,
            "is_active": True, "extras": {},
        }  # fmt: skip
        firm.rows(
            "INSERT INTO source_version (connection_key, source_epoch, object, source_ref, version,"
            " is_newest, noun, data, is_deleted, material_hash, material_version, recorded_at, raw_id,"
            " correlation_id) VALUES ('sales', 0, 'companies', '9', 1, true, 'Client', %s, false, 'h',"
            " 1, now(), 1, 'c') RETURNING version",
            Jsonb(data),
        )
        rows = firm.rows(
            "INSERT INTO case_file (reason, owner_queue, thing_kind, thing_key, opened_at,"
            " correlation_id, details) VALUES ('client.same_client_unclear', 'client_steward',"
            " 'client', 'sales:9', now(), 'c', %s) RETURNING case_id",
            Jsonb({"candidates": f"{client_id} (93)"}),
        )
        return f"/exceptions/{rows[0]['case_id']}"

    def test_is_compared_and_decided_by_two_people(self, firm: House, asked: str) -> None:
        client_id = firm.rows("SELECT client_id FROM client")[0]["client_id"]
        ann, bob = firm.browser("ann"), firm.browser("bob")

        shown = ann.get(asked).text
        nothing = ann.send(f"{asked}/same-client", client="x", reason="by phone")
        ann.send(f"{asked}/same-client", client=str(client_id), reason="by phone")
        proposal_id = firm.rows("SELECT proposal_id FROM proposal")[0]["proposal_id"]
        waiting = bob.get("/approvals").text
        own = ann.send(f"/approvals/{proposal_id}/approve")
        done = bob.send(f"/approvals/{proposal_id}/approve")

        assert "Kiel" in shown
        assert "Nordwind AG" in shown
        assert nothing.status_code == 409
        assert "Say which client it is" in waiting
        assert "<strong>Nordwind AG</strong>" in waiting
        assert (own.status_code, done.status_code) == (409, 303)
        assert firm.rows("SELECT our_id FROM crosswalk WHERE source_ref = '9'") == [
            {"our_id": client_id}
        ]
        assert "Solved" in ann.get(asked).text

    def test_is_only_looked_at_without_a_role(self, firm: House, asked: str) -> None:
        browser = firm.browser("eve")

        assert "It is a new client" in browser.get(asked).text
        answer = browser.send(f"{asked}/same-client", client="new", reason="x")
        assert answer.status_code == 403


class TestReleasing:
    def test_of_a_complete_contract_asks_for_its_invoice(self, firm: House) -> None:
        address = f"/close/{firm.other_project['contract_id']}/{firm.periods['UK', '2026-10']}"

        answer = firm.browser("cyd").send(f"{address}/release")

        assert answer.headers["location"] == f"{address}?done=released"
        assert firm.rows("SELECT released_by FROM release_lock") == [{"released_by": "cyd"}]
        assert len(firm.rows("SELECT 1 AS one FROM work_item WHERE kind = 'draft_invoice'")) == 1

    def test_of_an_incomplete_one_says_what_is_carried(self, firm: House) -> None:
        browser = firm.browser("ann")
        address = f"/close/{firm.project['contract_id']}/{firm.periods['DE', '2026-10']}"

        silent = browser.send(f"{address}/release")
        told = browser.send(f"{address}/release", carry="one hour waits for its text")

        assert silent.status_code == 409
        assert "say what is carried" in silent.text
        assert told.status_code == 303
        assert "one hour waits for its text" in browser.get(address).text

    def test_shows_who_pays_what(self, firm: House) -> None:
        address = f"/close/{firm.project['contract_id']}/{firm.periods['DE', '2026-10']}"
        browser = firm.browser("ann")
        alone = browser.get(address).text
        firm.rows(
            "UPDATE readiness r SET shares = jsonb_build_array(jsonb_build_object('client_id', c.client_id,"
            " 'percent', '33.34', 'takes_rounding', true, 'amount', '66.68'))"
            " FROM contract c WHERE c.contract_id = r.contract_id RETURNING r.contract_id"
        )

        shown = browser.get(address).text

        assert "Who pays what" not in alone
        assert "Nordwind AG" in shown
        assert "33.34 %" in shown
        assert "66.68" in shown
        assert "not drafted yet" in shown
        assert browser.get(f"{address}/file.xlsx").status_code == 200

    def test_takes_a_role(self, firm: House) -> None:
        address = f"/close/{firm.project['contract_id']}/{firm.periods['DE', '2026-10']}"

        assert firm.browser("eve").send(f"{address}/release", carry="x").status_code == 403


class TestPausing:
    def test_is_written_down_and_undone(self, firm: House) -> None:
        browser = firm.browser("ann")

        browser.send("/connections/clock/pause", reason="they move house")
        paused = browser.get("/connections").text
        twice = browser.send("/connections/clock/pause", reason="again")
        browser.send("/connections/clock/resume", reason="done")

        assert "Paused by us" in paused
        assert twice.status_code == 409
        assert browser.send("/connections/nothing/pause", reason="x").status_code == 404
        assert firm.rows("SELECT paused FROM connection WHERE connection_key = 'clock'") == [
            {"paused": False}
        ]
        assert len(firm.rows("SELECT 1 AS one FROM audit WHERE object = 'connection:clock'")) == 2


class TestTheApi:
    def test_is_served_by_the_same_process(self, firm: House) -> None:
        client = firm.browser().client

        assert client.get("/v1/openapi.json").json()["openapi"].startswith("3.1")
        assert client.get("/v1/cases").status_code == 401
        assert client.get("/healthz").json()["status"] == "ok"


class TestAStop:
    def test_is_shown_and_may_be_lifted_by_two_people(self, firm: House) -> None:
        with firm.worker.transaction() as connection:
            connection.execute(
                "INSERT INTO posting_stop (check_name, subject, scope_key, target_connection, entity_code,"
                " because, fingerprint, since, last_red_at) VALUES ('check.ledger', '', 'x', 'books', 'DE',"
                " '1 ledger lines say something else', '', %s, %s)",
                (NOW, NOW),
            )
        (stop,) = firm.rows("SELECT stop_id FROM posting_stop")
        browser = firm.browser("ann")

        for address in ("/", "/close", "/connections"):
            page = browser.get(address).text
            assert "because 1 ledger lines say something else" in page, address
            assert "into books, DE" in page, address
            assert "because 1 ledger lines" not in firm.browser("cyd").get(address).text
        address = f"/connections/stops/{stop['stop_id']}/lift"
        assert firm.browser("eve").send(address, reason="why not").status_code == 403
        assert firm.browser("cyd").send(address, reason="not mine").status_code == 404
        assert browser.send(address, reason="a known repair").status_code == 303
        (proposal,) = firm.rows("SELECT proposal_id FROM proposal WHERE kind = 'posting.lift_stop'")
        approve = f"/approvals/{proposal['proposal_id']}/approve"
        assert firm.browser("bob").send(approve).status_code == 303

        assert firm.rows("SELECT 1 AS one FROM posting_stop WHERE lifted_at IS NULL") == []
        assert "Posting stopped" not in browser.get("/").text


class TestSeveralExceptionsAtOnce:
    def test_are_given_to_somebody_who_may_see_all_of_them(self, firm: House) -> None:
        dan, eve = firm.browser("dan"), firm.browser("eve")
        cases = [str(firm.case_id), str(firm.other_case_id)]
        token = token_of(dan.get("/"))

        def give(to: str) -> int:
            data = {"csrf": token, "case": cases, "to": to}
            return dan.client.post("/exceptions/assign", data=data).status_code

        assert 'name="case"' in dan.get("/exceptions").text
        assert 'name="case"' not in eve.get("/exceptions").text
        assert give("ann") == 409
        assert firm.rows("SELECT 1 AS one FROM case_file WHERE assigned_to IS NOT NULL") == []
        assert give("dan") == 303
        given = firm.rows("SELECT count(*) AS count FROM case_file WHERE assigned_to = 'dan'")
        assert given[0]["count"] == len(cases)
