"""Who may log in, call, see and approve."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import psycopg
import pytest
from psycopg import Connection
from psycopg.errors import InsufficientPrivilege
from tests.rooms.casework.hand_made_firm import Firm

from tieline.casework import (
    assign,
    dismiss,
    fix_and_replay,
    get_case,
    list_cases,
    open_case,
    sync_time_cases,
)
from tieline.governance import (
    SCOPES,
    add_person,
    approve,
    authenticate,
    change_person,
    close_person,
    end_session,
    end_sessions,
    find_session,
    issue_api_key,
    list_audit,
    list_proposals,
    open_session,
    open_web_transaction,
    propose,
    record_audit,
    reject,
    revoke_api_key,
    set_password,
    verify_api_key,
)
from tieline.kernel.cases import CaseMember, CaseRequest
from tieline.kernel.errors import UserMistake
from tieline.runtime.database import Database
from tieline.runtime.migrate import Dsns

NOW = datetime(2026, 11, 3, 9, 0, tzinfo=UTC)
PEPPER = b"a pepper of thirty-two bytes, kept"
PASSWORD = "correct horse battery"

Rows = Connection[dict[str, Any]]
# Who comes in, how systems are connected, and what holds for every legal entity: there is no row of one among them,
# or, where it is named, it is a rule and no fact of its business.
_OF_THE_FIRM = {
    "api_answer", "api_key", "check_result", "client_later", "connection", "connection_budget",
    "connection_go_live", "connection_limit", "connection_slot", "dirty_mark", "exclusion", "executor",
    "field_owner", "fx_rate", "handover_pace", "inbound_code", "inbox", "known_browser", "login_identity",
    "outbound_code", "outbox", "outcome_count", "person_login", "policy_value", "posting_pace",
    "project_template", "project_version", "release", "restoration", "rule", "schema_version", "session",
    "severity_override", "template_choice", "used_sign_in", "work_item",
}  # fmt: skip


def ada(connection: Rows) -> Any:
    return add_person(
        connection,
        login="Ada",
        display_name="Ada L.",
        password=PASSWORD,
        roles=["controller"],
        entities=["DE"],
        by="init",
        now=NOW,
    )


class TestLogin:
    def test_opens_with_the_right_password_only(self, worker_connection: Rows) -> None:
        ada(worker_connection)

        person = authenticate(worker_connection, login="ADA", password=PASSWORD, now=NOW)

        assert person is not None
        assert (person.login, person.entities) == ("ada", ("DE",))
        assert authenticate(worker_connection, login="ada", password="wrong", now=NOW) is None
        assert authenticate(worker_connection, login="nobody", password=PASSWORD, now=NOW) is None

    def test_locks_after_ten_wrong_passwords_for_a_while(self, worker_connection: Rows) -> None:
        ada(worker_connection)
        for _ in range(10):
            authenticate(worker_connection, login="ada", password="wrong", now=NOW)

        locked = authenticate(worker_connection, login="ada", password=PASSWORD, now=NOW)
        later = NOW + timedelta(minutes=16)
        # One more mistake is no ten: the lock was for a while.
        authenticate(worker_connection, login="ada", password="wrong", now=later)
        opened = authenticate(worker_connection, login="ada", password=PASSWORD, now=later)

        assert locked is None
        assert opened is not None

    def test_keeps_no_password(self, worker_connection: Rows) -> None:
        ada(worker_connection)

        row = worker_connection.execute("SELECT password_hash FROM person_login").fetchone()

        assert row is not None
        assert row["password_hash"].startswith("$argon2id$")

    def test_refuses_a_short_password_and_a_taken_login(self, worker_connection: Rows) -> None:
        ada(worker_connection)

        with pytest.raises(UserMistake, match="at least 12"):
            set_password(worker_connection, login="ada", password="short", by="ada", now=NOW)
        with pytest.raises(UserMistake, match="is taken"):
            ada(worker_connection)


class TestSession:
    def test_ends_by_time_by_word_and_by_a_new_password(self, worker_connection: Rows) -> None:
        person = ada(worker_connection)
        first = open_session(worker_connection, person=person, pepper=PEPPER, now=NOW)
        second = open_session(worker_connection, person=person, pepper=PEPPER, now=NOW)

        def found(token: str, now: datetime = NOW) -> bool:
            return find_session(worker_connection, token=token, pepper=PEPPER, now=now) is not None

        assert found(first.token)
        assert not found(first.token, NOW + timedelta(hours=11))
        end_session(worker_connection, token=first.token, pepper=PEPPER, now=NOW)
        assert not found(first.token)
        assert found(second.token)
        set_password(worker_connection, login="ada", password=PASSWORD + "!", by="ada", now=NOW)
        assert not found(second.token)
        assert second.token not in repr(second)


class TestApiKey:
    def test_opens_its_scopes_until_it_is_revoked(self, worker_connection: Rows) -> None:
        key = issue_api_key(
            worker_connection,
            pepper=PEPPER,
            name="planner",
            scopes=["time:read"],
            entities=["DE"],
            by="ada",
            now=NOW,
        )

        caller = verify_api_key(worker_connection, pepper=PEPPER, secret=key.secret, now=NOW)

        assert caller is not None
        assert caller.may("time:read")
        assert not caller.may("time:write")
        assert key.secret not in repr(key)
        assert verify_api_key(worker_connection, pepper=PEPPER, secret="tl_x", now=NOW) is None
        other = b"another pepper of some length"
        assert verify_api_key(worker_connection, pepper=other, secret=key.secret, now=NOW) is None
        revoke_api_key(worker_connection, name="planner", by="ada", reason="lost", now=NOW)
        assert verify_api_key(worker_connection, pepper=PEPPER, secret=key.secret, now=NOW) is None

    def test_does_no_more_than_its_issuer_may_today(self, worker_connection: Rows) -> None:
        boss(worker_connection)
        key_scopes = SCOPES - {"time:write"}
        key = issue_api_key(
            worker_connection, pepper=PEPPER, name="erp", by="Boss", now=NOW, entities=["DE", "UK"],
            scopes=key_scopes,
        )  # fmt: skip
        add_person(
            worker_connection, login="next", display_name="N", password=PASSWORD, roles=["admin"],
            entities=["DE"], by="boss", now=NOW,
        )  # fmt: skip

        def may(*roles: str) -> tuple[set[str], tuple[str, ...]]:
            change_person(
                worker_connection, login="boss", roles=roles, entities=["DE"], by="next", reason="r",
                now=NOW, ends_at=None,
            )  # fmt: skip
            found = verify_api_key(worker_connection, pepper=PEPPER, secret=key.secret, now=NOW)
            assert found is not None
            return set(found.scopes), found.entities

        assert may("admin")[0] == key_scopes
        assert may("auditor") == ({"time:read"}, ("DE",))
        assert may("data_steward", "costs")[0] == {"time:read", "cases:write", "costs:read"}
        assert may("finance")[0] == key_scopes - {"costs:read", "admin"}

    def test_refuses_a_scope_that_does_not_exist(self, worker_connection: Rows) -> None:
        with pytest.raises(UserMistake, match="everything"):
            issue_api_key(
                worker_connection,
                pepper=PEPPER,
                name="x",
                scopes=["everything"],
                entities=[],
                by="ada",
                now=NOW,
            )


def asked(connection: Rows, by: str = "ada") -> Any:
    return propose(
        connection,
        kind="case.leave_out",
        object="case:1",
        entity_code="DE",
        payload={"case_id": "1"},
        by=by,
        reason="never worked",
        now=NOW,
    )


class TestProposal:
    def test_is_approved_by_somebody_else_once(self, worker_connection: Rows) -> None:
        proposal = asked(worker_connection)

        with pytest.raises(UserMistake, match="may not approve"):
            approve(worker_connection, proposal_id=proposal.proposal_id, by="ADA", now=NOW)
        approved = approve(worker_connection, proposal_id=proposal.proposal_id, by="ben", now=NOW)

        assert (approved.state, approved.approved_by) == ("approved", "ben")
        assert approved.payload == {"case_id": "1"}
        with pytest.raises(UserMistake, match="already approved by ben"):
            reject(
                worker_connection, proposal_id=proposal.proposal_id, by="eve", reason="", now=NOW
            )
        assert list_proposals(worker_connection) == ()
        actions = [row.action for row in list_audit(worker_connection, object="case:1")]
        assert actions == ["proposal.approved", "proposal.proposed"]

    @pytest.mark.parametrize(
        "statement",
        [
            "UPDATE proposal SET state = 'approved', approved_by = 'ada', decided_by = 'ada'",
            "UPDATE proposal SET state = 'approved', approved_by = 'Ada', decided_by = 'x'",
            "UPDATE proposal SET payload = '{}'",
            "UPDATE proposal SET proposed_by = 'eve'",
        ],
    )
    def test_the_database_refuses_to_bend_it(self, worker_connection: Rows, statement: Any) -> None:
        asked(worker_connection)

        with pytest.raises(psycopg.errors.CheckViolation):
            worker_connection.execute(statement)


class TestLeaving:
    def test_ends_sessions_at_once_and_lets_nobody_in_again(self, worker_connection: Rows) -> None:
        person = ada(worker_connection)
        boss(worker_connection)
        opened = open_session(worker_connection, person=person, pepper=PEPPER, now=NOW)

        close_person(worker_connection, login="ADA", by="boss", reason="left", now=NOW)

        assert find_session(worker_connection, token=opened.token, pepper=PEPPER, now=NOW) is None
        assert authenticate(worker_connection, login="ada", password=PASSWORD, now=NOW) is None
        assert [each.action for each in list_audit(worker_connection, object="login:ada")] == [
            "person.closed",
            "person.added",
        ]

    def test_happens_by_itself_when_the_time_is_over(self, worker_connection: Rows) -> None:
        ends_at = NOW + timedelta(days=1)
        person = add_person(
            worker_connection,
            login="paula",
            display_name="Paula",
            password=PASSWORD,
            roles=["auditor"],
            entities=["DE"],
            by="setup",
            now=NOW,
            ends_at=ends_at,
        )
        opened = open_session(worker_connection, person=person, pepper=PEPPER, now=NOW)
        expected = [(ends_at - timedelta(seconds=1), True), (ends_at, False)]

        for at, is_in in expected:
            found = find_session(worker_connection, token=opened.token, pepper=PEPPER, now=at)
            known = authenticate(worker_connection, login="paula", password=PASSWORD, now=at)
            assert (found is not None, known is not None) == (
                is_in and opened.expires_at > at,
                is_in,
            )

    def test_other_rights_hold_in_sessions_that_are_open(self, worker_connection: Rows) -> None:
        person = ada(worker_connection)
        boss(worker_connection)
        opened = open_session(worker_connection, person=person, pepper=PEPPER, now=NOW)

        change_person(
            worker_connection,
            login="ada",
            roles=["auditor"],
            entities=["UK"],
            ends_at=None,
            by="boss",
            reason="another task",
            now=NOW,
        )
        found = find_session(worker_connection, token=opened.token, pepper=PEPPER, now=NOW)
        ended = end_sessions(worker_connection, login="ada", by="boss", reason="lost", now=NOW)

        assert found is not None
        assert (found.roles, found.entities, ended) == (("auditor",), ("UK",), 1)
        assert find_session(worker_connection, token=opened.token, pepper=PEPPER, now=NOW) is None

    def test_leaves_somebody_who_can_give_rights(self, worker_connection: Rows) -> None:
        boss(worker_connection)

        with pytest.raises(UserMistake, match="administrator"):
            close_person(worker_connection, login="boss", by="boss", reason="x", now=NOW)


def boss(connection: Rows) -> Any:
    return add_person(
        connection,
        login="boss",
        display_name="Boss",
        password=PASSWORD,
        roles=["admin"],
        entities=["DE"],
        by="setup",
        now=NOW,
    )


class TestAudit:
    @pytest.mark.parametrize(
        "statement", ["UPDATE audit SET actor = 'x'", "DELETE FROM audit", "TRUNCATE audit CASCADE"]
    )
    def test_only_gains_rows_even_from_the_owner(self, database: Dsns, statement: Any) -> None:
        with psycopg.connect(database.owner) as owner:
            owner.execute(
                "INSERT INTO audit (at, actor, action, object, reason)"
                " VALUES (%s, 'ada', 'tested', 'x', 'r')",
                (NOW,),
            )
            with pytest.raises(psycopg.errors.CheckViolation):
                owner.execute(statement)

    def test_refuses_the_worker_to_change_a_row(self, worker_connection: Rows) -> None:
        with pytest.raises(InsufficientPrivilege):
            worker_connection.execute("UPDATE audit SET actor = 'x'")


@pytest.fixture
def web_database(database: Dsns) -> Iterator[Database]:
    opened = Database(database.web, pool_max=2, application_name="test").open()
    yield opened
    opened.close()


def open_blocked_deal(connection: Rows, entity_code: str) -> UUID:
    return open_case(
        connection,
        request=CaseRequest(
            reason="deal.blocked",
            owner_queue="sales",
            thing_kind="deal",
            thing_key=f"d-{entity_code}",
            entity_code=entity_code,
            members=(CaseMember(kind="deal", key="d"),),
        ),
        now=NOW,
        correlation_id="c",
    )


class TestSight:
    def test_shows_the_rows_of_the_callers_entities_only(
        self, worker_database: Database, web_database: Database
    ) -> None:
        with worker_database.transaction() as connection:
            firm = Firm(connection).found()
            firm.project("P-DE")
            firm.project("P-UK", entity_code="UK")
            cases = {code: open_blocked_deal(connection, code) for code in ("DE", "UK")}

        with open_web_transaction(web_database, entities=["DE"]) as web:
            seen = [case.entity_code for case in list_cases(web)]
            projects = web.execute("SELECT project_code FROM project").fetchall()
            members = web.execute("SELECT case_id FROM case_member").fetchall()
            terms = web.execute("SELECT count(*) AS terms FROM contract_version").fetchone()
            with pytest.raises(LookupError):
                get_case(web, case_id=cases["UK"])
        with web_database.transaction() as after:
            blind = list_cases(after)

        assert seen == ["DE"]
        assert [row["project_code"] for row in projects] == ["P-DE"]
        assert terms == {"terms": 1}
        assert [row["case_id"] for row in members] == [cases["DE"]]
        assert blind == ()

    def test_shows_what_is_of_the_whole_firm_to_who_sees_all_of_it(
        self, worker_database: Database, web_database: Database
    ) -> None:
        with worker_database.transaction() as connection:
            Firm(connection).found()
            for kind, payload in (
                ("register.load", {}),
                ("register.running_contracts", {}),
                ("inbox.replay", {"figures": {"entities": ["DE", "UK"]}}),
                ("client.merge", {}),
            ):
                propose(
                    connection, kind=kind, object="x", entity_code=None, payload=payload, by="ada",
                    reason="r", now=NOW,
                )  # fmt: skip

        def seen(*entities: str) -> set[str]:
            with open_web_transaction(web_database, entities=entities) as web:
                return {each.kind for each in list_proposals(web)}

        assert seen("DE", "UK") == {
            "register.load", "register.running_contracts", "inbox.replay", "client.merge",
        }  # fmt: skip
        assert seen("DE") == {"client.merge"}
        assert seen() == set()

    def test_is_of_every_table_that_pages_read_but_what_is_the_firms(
        self, web_database: Database
    ) -> None:
        with web_database.transaction() as web:
            rows = web.execute(
                """
                SELECT c.relname FROM pg_class c
                WHERE c.relnamespace = 'tieline'::regnamespace AND c.relkind IN ('r', 'p')
                  AND NOT c.relispartition AND NOT c.relrowsecurity
                  AND has_table_privilege('tieline_web', c.oid, 'SELECT')
                """
            ).fetchall()

        assert {row["relname"] for row in rows} == _OF_THE_FIRM

    def test_lets_a_page_work_on_its_cases(
        self, worker_database: Database, web_database: Database
    ) -> None:
        with worker_database.transaction() as connection:
            firm = Firm(connection).found()
            case_id = open_blocked_deal(connection, "DE")
            firm.judge(firm.entry("e1"), "held", "time.anything")
            sync_time_cases(connection, now=NOW, correlation_id="c")

        with open_web_transaction(web_database, entities=["DE"]) as web:
            (held,) = list_cases(web, reason="time.anything")
            assign(web, case_id=held.case_id, to="ada")
            replayed = fix_and_replay(web, case_id=held.case_id, by="ada", reason="mapped", now=NOW)
            dismiss(web, case_id=case_id, reason="signed on paper", by="ada", now=NOW)
            record_audit(
                web,
                now=NOW,
                actor="ada",
                action="case.dismissed",
                object=f"case:{case_id}",
                entity_code="DE",
                reason="signed on paper",
            )
            proposal = asked(web)
            approve(web, proposal_id=proposal.proposal_id, by="ben", now=NOW)

        assert replayed == 1

    @pytest.mark.parametrize(
        "statement",
        [
            "DELETE FROM ledger_line",
            "SELECT * FROM raw_record",
            "SELECT * FROM time_entry_version",
            "UPDATE effect SET state = 'CONFIRMED'",
            "UPDATE audit SET actor = 'x'",
            "UPDATE proposal SET proposed_by = 'x'",
            "UPDATE person_login SET roles = '{admin}'",
            "UPDATE person_login SET password_hash = 'x'",
            "INSERT INTO person_login (login) VALUES ('x')",
            "INSERT INTO api_key (name) VALUES ('x')",
            "UPDATE api_key SET revoked_at = NULL",
            "DELETE FROM secret",
            "SELECT rate_amount FROM contract_line",
        ],
    )
    def test_lets_no_page_write_what_is_not_its_own(
        self, web_database: Database, statement: Any
    ) -> None:
        with web_database.transaction() as web, pytest.raises(InsufficientPrivilege):
            web.execute(statement)
