"""People are told before a cut-off: once each, over real channels, whatever breaks meanwhile."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
import threading
from collections import Counter
from collections.abc import Iterator
from datetime import date, timedelta
from email.message import EmailMessage
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.rows import dict_row
from tests.support.mail_sink import LOST, MailSink, serving
from tests.support.message_town import CUT_OFF, PEPPER, WEB, Town

from tieline.console.guide import read_page
from tieline.kernel.errors import UserMistake
from tieline.notices import (
    StandIn,
    acknowledge,
    find_by_link,
    purge_notices,
    set_deputy,
    set_on_call,
)
from tieline.notices.writing import NOBODY
from tieline.runtime.database import Database
from tieline.runtime.migrate import Dsns
from tieline.services.escalating import due_step
from tieline.services.messaging import NOT_SENT, send_messages_again

KEY = b"twenty-four bytes or more"
TEAM, ANN, BEA, RUNNERS = (f"{name}@example.com" for name in ("delivery", "ann", "bea", "runners"))


@pytest.fixture
def sink() -> Iterator[MailSink]:
    with serving(MailSink()) as listening:
        yield listening


@pytest.fixture
def town(worker_database: Database, sink: MailSink, tmp_path: Path) -> Town:
    town = Town(database=worker_database, folder=tmp_path / "secrets").found()
    town.channel("post", "mail", f"smtp://{sink.place}", config={"from": "tieline@example.com"})
    town.reach("queue:delivery", "post", TEAM)
    town.reach("queue:integration", "post", RUNNERS)
    town.reach("person:ann", "post", ANN)
    town.reach("person:bea", "post", BEA)
    return town


@pytest.fixture
def heard() -> Iterator[tuple[str, list[dict[str, Any]]]]:
    events: list[dict[str, Any]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            told = f"{self.headers['webhook-id']}.{self.headers['webhook-timestamp']}."
            mine = hmac.new(KEY, told.encode() + body, hashlib.sha256).digest()
            if self.headers["webhook-signature"] == "v1," + base64.b64encode(mine).decode():
                events.append({**json.loads(body), "webhook-id": self.headers["webhook-id"]})
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/hook", events
    server.shutdown()
    server.server_close()
    thread.join()


def text_of(mail: EmailMessage) -> str:
    return str(mail.get_content()).replace("\r\n", "\n")


def token_of(mail: EmailMessage) -> str:
    found = re.search(rf"{WEB}/seen\?token=(\S+)", text_of(mail))
    assert found is not None
    return found.group(1)


def escalations(sink: MailSink) -> Counter[tuple[str, str]]:
    """Count what arrived by recipient and by what its subject says is left."""
    return Counter(
        (recipient.partition("@")[0], mail["Subject"].split(": ")[1].split(" to the")[0])
        for mail, recipient in zip(sink.mails, sink.recipients, strict=True)
        if mail["Subject"].startswith("DE ")
    )


class TestEscalation:
    @pytest.mark.sql
    def test_tells_each_owner_once_a_step_whoever_works(self, town: Town, sink: MailSink) -> None:
        for minutes in (61, 60, 59, 31, 30, 10, 9, 1):
            town.at(minutes=minutes).run(workers=2)

        assert escalations(sink) == {
            (owner, left): 1
            for owner in ("ann", "delivery", "runners")
            for left in ("1 h 00 min", "30 min", "10 min")
        }

        assert len({mail["Message-ID"] for mail in sink.mails}) == len(sink.mails)
        assert {notice.state for notice in town.notices()} == {"sent"}

        # What was told of stays told of when the messages themselves are no longer kept.
        told, kept = len(sink.mails), len(town.notices())
        with town.database.transaction() as connection:
            assert purge_notices(connection, before=CUT_OFF - timedelta(days=1)) == 0
            assert purge_notices(connection, before=CUT_OFF) == kept
        town.at(minutes=1).run()
        assert (len(sink.mails), town.notices()) == (told, [])

    def test_says_the_newest_step_only_when_it_was_down(self, town: Town, sink: MailSink) -> None:
        town.at(minutes=25).run()
        town.at(minutes=24).run()

        assert {left for _, left in escalations(sink)} == {"25 min"}
        assert set(escalations(sink).values()) == {1}

    def test_says_what_it_is_worth_and_where_to_look(self, town: Town, sink: MailSink) -> None:
        town.at(minutes=60).run()

        (mail,) = [mail for mail in sink.to(ANN) if mail["Subject"].startswith("DE ")]
        assert (
            mail["Subject"] == "DE 2026-10: 1 h 00 min to the cut-off, 1 case, 1.50 h, EUR 225.00"
        )
        (case_id,) = town.case_ids(assigned_to="ann")
        assert f"{WEB}/exceptions/{case_id}" in text_of(mail)
        assert "Firm DE closes 2026-10 on Thu 5 Nov 2026, 01:00 Berlin: in 1 h 00 min." in text_of(
            mail
        )
        (running,) = [mail for mail in sink.to(RUNNERS) if mail["Subject"].startswith("DE ")]
        assert "- 1 waiting to be sent, 2.00 h, EUR 300.00" in text_of(running)

    def test_is_silent_without_a_channel_and_names_who_is_reached_nowhere(
        self, town: Town, sink: MailSink
    ) -> None:
        with town.database.transaction() as connection:
            connection.execute("DELETE FROM reach WHERE recipient = 'queue:delivery'")
            connection.execute("UPDATE connection SET mode = 'observe' WHERE kind = 'channel'")
        town.at(minutes=60).run()
        assert town.notices() == []

        with town.database.transaction() as connection:
            connection.execute("UPDATE connection SET mode = 'act' WHERE kind = 'channel'")
        town.at(minutes=30).run()
        assert town.cases(NOBODY) == ["queue:delivery"]
        assert {owner for owner, _ in escalations(sink)} == {"ann", "runners"}

        town.reach("queue:delivery", "post", TEAM)
        town.at(minutes=10).run()
        assert town.cases(NOBODY) == []
        assert ("delivery", "10 min") in escalations(sink)

    @pytest.mark.parametrize(
        ("seconds", "step"),
        [(3601, None), (3600, 60), (1801, 60), (1800, 30), (600, 10), (1, 10), (0, None)],
    )
    def test_has_one_step_at_a_time(self, seconds: int, step: int | None) -> None:
        assert due_step(seconds) == step


class TestAMessage:
    def test_that_may_have_arrived_is_sent_again_as_the_same_one(
        self, town: Town, sink: MailSink
    ) -> None:
        sink.answers = [LOST] * 3
        town.at(minutes=60).run()

        ids = Counter(mail["Message-ID"] for mail in sink.mails)
        texts: dict[str, set[bytes]] = {mail["Message-ID"]: set() for mail in sink.mails}
        for mail in sink.mails:
            texts[mail["Message-ID"]].add(mail.as_bytes())
        assert max(ids.values()) == 2
        assert all(len(each) == 1 for each in texts.values())
        assert {notice.state for notice in town.notices()} == {"sent"}

    def test_that_a_restore_forgot_is_known_again_by_its_readers(
        self, town: Town, sink: MailSink, database: Dsns
    ) -> None:
        town.at(minutes=60).run()
        with psycopg.connect(database.owner) as owner:
            owner.execute("DELETE FROM notice")
            owner.execute("DELETE FROM notice_round")
        town.at(minutes=50).run()

        assert set(Counter(mail["Message-ID"] for mail in sink.mails).values()) == {2}

    def test_that_is_refused_is_a_case_until_it_is_sent(self, town: Town, sink: MailSink) -> None:
        sink.refused = {ANN: "550 no such user"}
        town.at(minutes=60).run()

        assert town.cases(NOT_SENT) == ["post"]
        assert sink.to(ANN) == []
        sink.refused = {}
        with town.database.transaction() as connection:
            sent = send_messages_again(connection, by="shell:me", now=town.clock.now())
        town.run()
        assert sent == len(sink.to(ANN)) > 0
        assert town.cases(NOT_SENT) == []

    def test_waits_while_the_channel_is_paused_and_gives_way_to_the_next(
        self, town: Town, sink: MailSink
    ) -> None:
        with town.database.transaction() as connection:
            connection.execute("UPDATE connection SET paused = true WHERE kind = 'channel'")
        town.at(minutes=60).run()
        assert sink.mails == []

        with town.database.transaction() as connection:
            connection.execute("UPDATE connection SET paused = false WHERE kind = 'channel'")
        town.at(minutes=30).run()
        assert {left for _, left in escalations(sink)} == {"30 min"}

    def test_goes_signed_to_a_receiver_too(
        self, town: Town, sink: MailSink, heard: tuple[str, list[dict[str, Any]]]
    ) -> None:
        url, events = heard
        secret = "whsec_" + base64.b64encode(KEY).decode()
        town.channel(
            "desk",
            "webhook",
            url,
            config={"carries": "notices"},
            secrets={"signing_secret": secret},
        )
        town.reach("person:ann", "desk", urgent_only=True)

        town.at(minutes=60).run()

        (event,) = events
        assert event["type"] == "tieline.notice"
        assert event["id"] == event["webhook-id"]
        assert (event["subject"], event["legalentity"]) == ("person:ann", "DE")
        assert event["data"]["urgent"]
        assert event["data"]["due_at"] == CUT_OFF.isoformat()
        assert event["data"]["subject"] in {mail["Subject"] for mail in sink.to(ANN)}


class TestWorkAtRisk:
    def test_is_told_to_its_sponsor_once_for_each_share_of_its_limit(
        self, town: Town, sink: MailSink
    ) -> None:
        with town.database.transaction() as connection:
            connection.execute(
                "WITH plan AS (INSERT INTO provisioning_plan (connection_key, source_epoch, deal_ref, state,"
                " entity_code, contract_id, project_id, plan, planned_at, known_at, correlation_id)"
                " SELECT 'clock', 0, 'deal-1', 'active', entity_code, contract_id, project_id,"
                " '{\"project_code\": \"P-DE\"}', now(), now(), 'c' FROM project WHERE project_code = 'P-DE'"
                " RETURNING plan_id, entity_code)"
                " INSERT INTO project_risk (plan_id, entity_code, sponsor, limit_amount, currency, ends_on,"
                " proposed_by, approved_by, opened_at)"
                " SELECT plan_id, entity_code, 'bea', 450, 'EUR', '2026-12-01', 'ann', 'cid', now() FROM plan"
            )
        before = len(sink.to(BEA))
        town.run()
        town.run()
        told = sink.to(BEA)[before:]
        with town.database.transaction() as connection:
            connection.execute("UPDATE verdict SET amount = amount * 2 WHERE outcome = 'held'")
        town.run()

        (mail,) = [each for each in told if "at risk" in each["Subject"]]
        assert mail["Subject"].startswith("P-DE: 80 % of what may be worked at risk, EUR 375.00")
        assert "clock:deal-1 is won" in text_of(mail)
        later = [each["Subject"] for each in sink.to(BEA)[before + len(told) :]]
        assert [each.partition(" of what")[0] for each in later if "at risk" in each] == [
            "P-DE: 100 %"
        ]


class TestUnconfirmedWrites:
    @pytest.mark.sql
    def test_page_who_is_on_call_once_per_target_and_cut_off(
        self, town: Town, sink: MailSink, database: Dsns
    ) -> None:
        with psycopg.connect(database.owner, row_factory=dict_row) as owner:
            _leave_unconfirmed(owner)
        with town.database.transaction() as connection:
            set_on_call(
                connection,
                stand_in=StandIn(
                    owner="queue:integration",
                    login="bea",
                    starts_on=date(2026, 11, 4),
                    ends_on=date(2026, 11, 5),
                ),
                by="test",
                now=town.clock.now(),
            )
        for hours in (25, 23, 22, 2):
            town.at(hours=hours).run()

        (mail,) = [mail for mail in sink.to(BEA) if "not confirmed" in mail["Subject"]]
        assert mail["Subject"] == (
            "DE 2026-10: 1 write to Tryton not confirmed for an hour, EUR 300.00"
        )
        assert mail["Importance"] == "high"
        said = r"Sent \d\d:\d\d, no answer\. Asking Tryton, second time, next \d\d:\d\d\. EUR 300\.00, due 01:00\."
        assert re.match(said, text_of(mail))
        town.at(minutes=60).run()
        leads = {
            lead for each in sink.mails for lead in re.findall(rf"{WEB}/guide/(\S+)", text_of(each))
        }
        assert len(leads) == 3
        for page_name, _, anchor in (lead.partition("#") for lead in leads):
            page = read_page(page_name)
            assert page is not None
            assert f'id="{anchor}"' in page.html or not anchor


class TestTheDigest:
    def test_comes_once_a_day_and_every_four_hours_on_the_last(
        self, town: Town, sink: MailSink
    ) -> None:
        arrived = []
        # 40 hours before one o'clock in Berlin it is nine in the morning; one day earlier it is eight at 41.
        for hours in (66, 65, 64, 50, 41, 40, 26, 24, 23, 20, 17, 16, 12, 8, 4, 3):
            before = len(sink.to(ANN))
            town.at(hours=hours).run(workers=2)
            arrived += [hours] * (len(sink.to(ANN)) - before)

        assert arrived == [65, 41, 24, 20, 16, 12, 8, 4]

    def test_says_everything_that_waits_by_deadline(self, town: Town, sink: MailSink) -> None:
        town.at(hours=40).run()

        (mail,) = sink.to(TEAM)
        assert mail["Subject"] == "Waits for you: 2 cases, 1.50 h, EUR 150.00, GBP 75.00"
        text = text_of(mail)
        assert text.startswith("For the team delivery.\n")
        due = "Due Thu 5 Nov 2026, 01:00 Berlin (in 1 d 16 h)"
        assert f"{due}, DE: 1 case, 1.00 h, EUR 150.00\n- It is wrong, 1.00 h" in text
        assert f"{due}, UK: 1 case, 0.50 h, GBP 75.00" in text
        for case_id in town.case_ids(assigned_to=None):
            assert f"{WEB}/exceptions/{case_id}" in text
        # Whoever owns nothing hears nothing.
        assert sink.to(RUNNERS) == sink.to(BEA) == []

    def test_says_alike_cases_in_one_line(self, town: Town, sink: MailSink) -> None:
        with town.database.transaction() as connection:
            connection.execute("UPDATE case_file SET reason = 'time.task_unknown'")
            connection.execute("UPDATE case_file SET assigned_to = NULL, entity_code = 'DE'")
        town.at(minutes=60).run()

        (mail,) = [mail for mail in sink.to(TEAM) if mail["Subject"].startswith("DE ")]
        (line,) = [line for line in text_of(mail).splitlines() if line.startswith("- ")]
        assert line.endswith(", 3 cases, 3.00 h, EUR 375.00, GBP 75.00")
        assert f"{WEB}/exceptions?reason=time.task_unknown&queue=delivery&entity=DE" in text_of(
            mail
        )

    def test_goes_to_the_deputy_on_the_days_they_stand_in(self, town: Town, sink: MailSink) -> None:
        stand_in = StandIn(
            owner="person:ann",
            login="bea",
            starts_on=date(2026, 11, 3),
            ends_on=date(2026, 11, 4),
        )
        with town.database.transaction() as connection:
            set_deputy(connection, stand_in=stand_in, by="test", now=town.clock.now())
            with pytest.raises(UserMistake, match="somebody acts for person:ann"):
                set_deputy(connection, stand_in=stand_in, by="test", now=town.clock.now())
        town.at(hours=40).run()
        town.at(hours=16).run()

        (mail,) = sink.to(BEA)
        assert text_of(mail).startswith("For ann.\n")
        assert len(sink.to(ANN)) == 1


class TestWhatSomebodyDoesNotSee:
    def test_is_told_to_the_queue_and_to_no_deputy(self, town: Town, sink: MailSink) -> None:
        days = {"starts_on": date(2026, 11, 3), "ends_on": date(2026, 11, 6)}
        with town.database.transaction() as connection:
            for deputy in ("bea", "cid"):
                stand_in = StandIn(owner=f"person:{deputy}", login="ann", **days)
                set_deputy(connection, stand_in=stand_in, by="test", now=town.clock.now())
            connection.execute("UPDATE person_login SET entities = '{UK}' WHERE login = 'ann'")
            connection.execute("UPDATE case_file SET assigned_to = 'bea' WHERE entity_code = 'DE'")
            later = StandIn(
                owner="person:bea",
                login="ann",
                starts_on=date(2026, 12, 1),
                ends_on=date(2026, 12, 2),
            )
            with pytest.raises(UserMistake, match="ann does not see DE"):
                set_deputy(connection, stand_in=later, by="test", now=town.clock.now())
        town.at(minutes=60).run()
        with town.database.transaction() as connection:
            connection.execute("UPDATE case_file SET assigned_to = 'ann' WHERE entity_code = 'DE'")
        town.at(minutes=30).run()

        assert sink.to(ANN) == []
        assert escalations(sink) == {
            **{(owner, "1 h 00 min"): 1 for owner in ("bea", "runners")},
            **{(owner, "30 min"): 1 for owner in ("delivery", "runners")},
        }


class TestTheLink:
    def test_stops_later_steps_for_what_was_said_to_be_known(
        self, town: Town, sink: MailSink
    ) -> None:
        town.at(minutes=60).run()
        (mail,) = [mail for mail in sink.to(ANN) if mail["Subject"].startswith("DE ")]
        with town.database.transaction() as connection:
            now = town.clock.now()
            token = token_of(mail)
            assert acknowledge(connection, token="tla_else", pepper=PEPPER, now=now) is None
            assert find_by_link(connection, token=token, pepper=PEPPER, now=CUT_OFF) is None
            for _ in range(2):
                assert acknowledge(connection, token=token, pepper=PEPPER, now=now) is not None
            audit = connection.execute(
                "SELECT actor, object FROM audit WHERE action = 'notice.acknowledged'"
            ).fetchall()
        town.at(minutes=30).run()

        assert [row["actor"] for row in audit] == ["person:ann"]
        assert {owner for owner, left in escalations(sink) if left == "30 min"} == {
            *("delivery", "runners")
        }
        # What comes up afterwards is told of.
        with town.database.transaction() as connection:
            connection.execute("UPDATE case_file SET assigned_to = 'ann' WHERE entity_code = 'DE'")
        town.at(minutes=10).run()
        (last,) = [m for m in sink.to(ANN) if ": 10 min to" in m["Subject"]]
        assert "1 case, 1.00 h, EUR 150.00" in last["Subject"]
        assert "Beside them 1 that you have said you know of." in text_of(last)

    def test_is_kept_as_a_hash_only(self, town: Town, sink: MailSink, database: Dsns) -> None:
        town.at(minutes=60).run()
        token = token_of(sink.mails[0])

        with psycopg.connect(database.owner) as owner:
            tables = owner.execute(
                "SELECT format('%I.%I', schemaname, tablename) FROM pg_tables"
                " WHERE schemaname IN ('tieline', 'dbos')"
            ).fetchall()
            # The owner of the tables is held to their policies as well.
            holding = [
                name
                for (name,) in tables
                if owner.execute(
                    f"SELECT 1 FROM {name} t WHERE strpos(t::text, %s) > 0 LIMIT 1".encode(),
                    (token.removeprefix("tla_"),),
                ).fetchone()
            ]
        assert holding == []


def _leave_unconfirmed(owner: Any) -> None:
    """Let the cleared hour be sent, not answered, and asked for twice, two hours ago."""
    owner.execute(
        "INSERT INTO effect (business_key, connection_key, source_epoch, object, source_ref,"
        " target_connection, noun, part, effect_no, kind, verdict_id, entry_id, entry_version,"
        " verdict_outcome, entity_code, period_id, project_id, seconds, amount, currency, work_class,"
        " release_id, correlation_id, planned_at, payload_hash)"
        " SELECT gen_random_uuid(), 'clock', 0, 'time_entry', t.source_ref, 'books', 'time_line',"
        " 'main', 1, 'book', v.verdict_id, t.entry_id, 1, 'cleared', 'DE', v.period_id, v.project_id,"
        " v.seconds, v.amount, v.currency, 1, v.release_id, 'c', now(), 'x'"
        " FROM time_entry t JOIN verdict v USING (verdict_id) WHERE t.source_ref = 'waits'"
    )
    for state in ("INTENT", "UNKNOWN", "PROBING", "UNKNOWN", "PROBING", "UNKNOWN"):
        owner.execute(
            "UPDATE effect SET state = %s, sent_at = clock_timestamp() - interval '2 hours',"
            " due_at = clock_timestamp() + interval '1 minute'",
            (state,),
        )
