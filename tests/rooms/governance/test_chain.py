"""The audit's chain: what is intact is said to be, and whatever was changed is found and named."""

from __future__ import annotations

import io
import os
import random
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Thread
from typing import Any

import psycopg
import pytest
from psycopg import Connection, sql
from psycopg.errors import CheckViolation, InsufficientPrivilege
from psycopg.rows import dict_row
from tests.conftest import PreparedCluster

from tieline.governance import (
    BEGINNING,
    Anchor,
    AuditState,
    export_audit,
    find_noted_anchor,
    record_audit,
    seal_audit,
    verify_audit,
    verify_export,
)
from tieline.kernel.errors import UserMistake
from tieline.runtime.database import Database
from tieline.runtime.migrate import Dsns
from tieline.services.sealing import Sealing

NOW = datetime(2026, 11, 3, 9, 0, tzinfo=UTC)
ROWS = 40
SEED = 20_261_103
# Of each kind; TEST_THOROUGH=1 asks for as many as the audit promises.
TAMPERINGS = 1000 if os.environ.get("TEST_THOROUGH") else 25

Rows = Connection[dict[str, Any]]


def write(connection: Rows, number: int) -> None:
    record_audit(
        connection,
        now=NOW + timedelta(seconds=number),
        actor=f"ada{number % 3}",
        action="case.assigned",
        object=f"case:{number}",
        entity_code=("DE", "UK", None)[number % 3],
        reason=f"because {number} \u00e9\u4e2d",
        data={"amount": f"{number}.50", "nested": {"n": number}},
    )


@pytest.fixture
def chained(worker_database: Database) -> Database:
    with worker_database.transaction() as connection:
        for number in range(ROWS):
            write(connection, number)
    with worker_database.transaction() as connection:
        assert seal_audit(connection) == ROWS
    return worker_database


def verified(database: Database, *anchors: Anchor) -> AuditState:
    with database.transaction() as connection:
        return verify_audit(connection, anchors=anchors)


def exported(database: Database, *entities: str) -> tuple[bytes, Anchor]:
    target = io.BytesIO()
    with database.transaction() as connection:
        anchor = export_audit(connection, to=target, entities=entities)
    return target.getvalue(), anchor


class TestSealing:
    def test_links_each_row_once_in_the_order_it_is_found(self, worker_database: Database) -> None:
        with worker_database.transaction() as late:
            write(late, 1)
            with worker_database.transaction() as early:
                write(early, 2)
            with worker_database.transaction() as sealing:
                assert seal_audit(sealing) == 1
        with worker_database.transaction() as sealing:
            assert seal_audit(sealing) == 1
            assert seal_audit(sealing) == 0

        state = verified(worker_database)

        assert (state.is_intact, state.links, state.waiting) == (True, 2, 0)

    def test_keeps_nobody_waiting_who_writes(self, chained: Database) -> None:
        with chained.transaction() as sealing:
            write(sealing, 1)
            seal_audit(sealing)
            with chained.transaction() as other:
                other.execute("SET LOCAL lock_timeout = '50ms'")
                write(other, 2)
                assert seal_audit(other) == 0

        assert verified(chained).waiting == 1

    def test_by_four_at_once_makes_one_chain(self, chained: Database) -> None:
        def work(start: int) -> None:
            for number in range(start, start + 15):
                with chained.transaction() as connection:
                    write(connection, number)
                with chained.transaction() as connection:
                    seal_audit(connection, rows_max=4)

        threads = [Thread(target=work, args=(1000 * each,)) for each in range(4)]
        for each in threads:
            each.start()
        for each in threads:
            each.join()
        with chained.transaction() as connection:
            seal_audit(connection)

        state = verified(chained)
        assert (state.is_intact, state.links, state.waiting) == (True, ROWS + 60, 0)

    @pytest.mark.parametrize(
        "statement",
        [
            "INSERT INTO audit_seal VALUES (99, 1, decode(repeat('00', 32), 'hex'))",
            "DELETE FROM audit_unsealed",
        ],
    )
    def test_is_not_the_workers_to_do_by_hand(self, chained: Database, statement: Any) -> None:
        with chained.transaction() as connection, pytest.raises(InsufficientPrivilege):
            connection.execute(statement)

    @pytest.mark.parametrize(
        "statement", ["UPDATE audit_seal SET seal_no = 9", "DELETE FROM audit_seal"]
    )
    def test_is_not_undone_even_by_the_owner(
        self, chained: Database, database: Dsns, statement: Any
    ) -> None:
        with psycopg.connect(database.owner) as owner, pytest.raises(CheckViolation):
            owner.execute(statement)


@pytest.fixture
def intruder(
    chained: Database, database: Dsns, prepared_cluster: PreparedCluster
) -> Iterator[Rows]:
    """Lend a superuser whom no trigger and no reference stops."""
    name = psycopg.conninfo.conninfo_to_dict(database.owner)["dbname"]
    dsn = psycopg.conninfo.make_conninfo(prepared_cluster.cluster.superuser_dsn, dbname=str(name))
    with psycopg.connect(dsn, row_factory=dict_row) as connection:
        connection.execute("SET session_replication_role = replica; SET search_path = tieline")
        connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        yield connection
        connection.rollback()


def flip(connection: Rows, chance: random.Random) -> None:
    """Change one bit of what is kept, or one column."""
    row = chance.randint(1, ROWS)
    match chance.randrange(4):
        case 0:
            bit = chance.randrange(8 * 60)
            statement: Any = f"UPDATE audit SET canonical = set_bit(canonical, {bit}, 1 - get_bit(canonical, {bit}))"
        case 1:
            bit = chance.randrange(256)
            statement = (
                f"UPDATE audit_seal SET hash = set_bit(hash, {bit}, 1 - get_bit(hash, {bit}))"
            )
        case 2:
            column = chance.choice(["actor", "action", "object", "reason", "entity_code"])
            statement = f"UPDATE audit SET {column} = coalesce({column}, '') || 'x'"
        case _:
            statement = chance.choice(
                [
                    "UPDATE audit SET at = at + interval '1 microsecond'",
                    "UPDATE audit SET data = data || '{\"n\": 1}'",
                ]
            )
    connection.execute(
        statement
        + " WHERE audit_id = (SELECT audit_id FROM audit_seal ORDER BY seal_no OFFSET %s LIMIT 1)",
        (row - 1,),
    )


def delete(connection: Rows, chance: random.Random) -> None:
    """Delete a row, a link, both, or the end of the trail."""
    first = chance.randint(1, ROWS)
    last = ROWS if chance.random() < 0.4 else first
    span = {"first": first, "last": last}
    ids = "(SELECT audit_id FROM audit_seal WHERE seal_no BETWEEN %(first)s AND %(last)s)"
    which = chance.randrange(3)
    if which in (0, 2):
        connection.execute(f"DELETE FROM audit WHERE audit_id IN {ids}", span)
    if which in (1, 2):
        connection.execute(
            "DELETE FROM audit_seal WHERE seal_no BETWEEN %(first)s AND %(last)s", span
        )


def insert(connection: Rows, chance: random.Random) -> None:
    """Put a row in past the chain, or into it, with a link that follows from the one before."""
    number = 1_000 + chance.randrange(1_000)
    connection.execute(
        "INSERT INTO audit (audit_id, at, actor, action, object, reason, canonical) OVERRIDING SYSTEM VALUE"
        " VALUES (%s, %s, 'eve', 'case.assigned', 'x', 'r', 'forged')",
        (number, NOW),
    )
    if chance.random() < 0.6:
        place = chance.randint(1, ROWS)
        connection.execute(
            "UPDATE audit_seal SET seal_no = seal_no + 100000 WHERE seal_no >= %s", (place,)
        )
        connection.execute("UPDATE audit_seal SET seal_no = seal_no - 99999 WHERE seal_no > 100000")
        connection.execute(
            "INSERT INTO audit_seal VALUES (%(place)s, %(number)s, audit_link(NULL, coalesce((SELECT hash"
            " FROM audit_seal WHERE seal_no = %(place)s - 1), decode(repeat('00', 32), 'hex')), 'forged'))",
            {"place": place, "number": number},
        )


def reorder(connection: Rows, chance: random.Random) -> None:
    """Let two links stand for each other's rows, or change their places."""
    one, other = chance.sample(range(1, ROWS + 1), 2)
    if chance.random() < 0.3:
        one, other = ROWS - 1, ROWS
    column = chance.choice(["audit_id", "hash"])
    connection.execute("ALTER TABLE audit_seal DROP CONSTRAINT IF EXISTS audit_seal_audit_id_key")
    connection.execute(
        sql.SQL(
            "UPDATE audit_seal s SET {0} = t.{0} FROM audit_seal t"
            " WHERE (s.seal_no, t.seal_no) IN ((%(one)s, %(other)s), (%(other)s, %(one)s))"
        ).format(sql.Identifier(column)),
        {"one": one, "other": other},
    )


def cut_and_forge(connection: Rows, chance: random.Random) -> None:
    """Rewrite the end of the trail with links that follow: only an anchor tells."""
    place = chance.randint(1, ROWS)
    connection.execute(
        "UPDATE audit SET actor = 'eve', canonical = convert_to((convert_from(canonical, 'UTF8')::jsonb"
        " || '{\"actor\": \"eve\"}')::text, 'UTF8') WHERE audit_id = (SELECT audit_id FROM audit_seal"
        " WHERE seal_no = %s)",
        (place,),
    )
    connection.execute(
        """
        UPDATE audit_seal s SET hash = n.hash FROM (
            SELECT s.seal_no, audit_chain(decode(repeat('00', 32), 'hex'), a.canonical) OVER (ORDER BY s.seal_no) AS hash
            FROM audit_seal s JOIN audit a USING (audit_id)) n
        WHERE n.seal_no = s.seal_no
        """
    )


class TestATamperedDatabase:
    @pytest.mark.parametrize("tamper", [flip, delete, insert, reorder, cut_and_forge])
    def test_is_found_out_every_time(
        self, intruder: Rows, chained: Database, tamper: Callable[[Rows, random.Random], None]
    ) -> None:
        kept = verified(chained).anchor
        chance = random.Random(SEED)
        missed = []

        for number in range(TAMPERINGS):
            with intruder.transaction(force_rollback=True):
                tamper(intruder, chance)
                if self._state(intruder, kept).is_intact:
                    missed.append(number)

        assert missed == []
        assert self._state(intruder, kept).is_intact

    def test_names_the_row_that_was_changed(self, intruder: Rows) -> None:
        intruder.execute("UPDATE audit SET actor = 'eve' WHERE object = 'case:7'")

        state = self._state(intruder)

        assert [each.why for each in state.faults] == ["its columns are not what was written"]
        row = intruder.execute("SELECT audit_id FROM audit WHERE object = 'case:7'").fetchone()
        assert row is not None
        assert state.faults[0].audit_id == row["audit_id"]

    def test_is_told_by_an_anchor_alone_when_all_links_follow(self, intruder: Rows) -> None:
        before = self._state(intruder).anchor
        cut_and_forge(intruder, random.Random(SEED))

        assert self._state(intruder).is_intact
        assert [each.seal_no for each in self._state(intruder, before).faults] == [ROWS]

    @staticmethod
    def _state(connection: Rows, *anchors: Anchor) -> AuditState:
        # The snapshot is the intruder's own, set when the connection was lent.
        return verify_audit(connection, anchors=anchors)


class TestAnExport:
    def test_is_followed_without_a_database_past_rows_that_are_not_shown(
        self, chained: Database
    ) -> None:
        content, anchor = exported(chained, "DE")

        state = verify_export(io.BytesIO(content), anchors=[anchor])

        assert (state.is_intact, state.links, state.anchor) == (True, ROWS, anchor)
        assert b'case:1"' not in content
        assert content.count(b'"digest"') == sum(number % 3 == 1 for number in range(ROWS))

    def test_that_goes_on_after_another_is_held_by_its_anchor(self, chained: Database) -> None:
        _, before = exported(chained, "DE", "UK")
        with chained.transaction() as connection:
            write(connection, ROWS)
        with chained.transaction() as connection:
            seal_audit(connection)
        target = io.BytesIO()
        with chained.transaction() as connection:
            newest = export_audit(connection, to=target, entities=(), after=before)

        state = verify_export(io.BytesIO(target.getvalue()), anchors=[before, newest])

        assert (state.is_intact, state.links) == (True, 1)
        forged = Anchor(seal_no=before.seal_no, hash="ab" * 32)
        assert not verify_export(io.BytesIO(target.getvalue()), anchors=[forged]).is_intact

    def test_shows_a_thousand_random_changes(self, chained: Database) -> None:
        content, anchor = exported(chained, "DE", "UK")
        chance = random.Random(SEED)

        missed = [
            how.__name__
            for how in (_flip_bit, _drop_lines, _put_line_in, _swap_lines)
            for _ in range(250)
            if _is_intact(how(content, chance), anchor)
        ]

        assert missed == []

    def test_of_another_kind_is_refused(self) -> None:
        with pytest.raises(UserMistake, match="no exported audit"):
            verify_export(io.BytesIO(b'{"format":"other"}\n'))


def _is_intact(content: bytes, anchor: Anchor) -> bool:
    try:
        return verify_export(io.BytesIO(content), anchors=[anchor]).is_intact
    except UserMistake:
        return False


def _flip_bit(content: bytes, chance: random.Random) -> bytes:
    place = chance.randrange(len(content))
    return (
        content[:place] + bytes([content[place] ^ 1 << chance.randrange(8)]) + content[place + 1 :]
    )


def _drop_lines(content: bytes, chance: random.Random) -> bytes:
    """Drop lines in the middle, or the end together with an anchor line that fits."""
    lines = content.splitlines(keepends=True)
    first = chance.randint(1, ROWS)
    if chance.random() < 0.5:
        return b"".join(lines[:first] + lines[first + chance.randint(1, 3) :])
    left = lines[:first]
    seal_no = first - 1
    newest = BEGINNING.hash if seal_no == 0 else _hash_of(left[-1])
    left.append(b'{"anchor":"%d:%s","links":%d}\n' % (seal_no, newest.encode(), seal_no))
    return b"".join(left)


def _hash_of(line: bytes) -> str:
    import json

    return str(json.loads(line)["hash"])


def _put_line_in(content: bytes, chance: random.Random) -> bytes:
    lines = content.splitlines(keepends=True)
    lines.insert(chance.randint(1, len(lines)), chance.choice(lines[1:]))
    return b"".join(lines)


def _swap_lines(content: bytes, chance: random.Random) -> bytes:
    lines = content.splitlines(keepends=True)
    one, other = chance.sample(range(len(lines)), 2)
    if chance.random() < 0.3:
        one, other = ROWS - 1, ROWS
    lines[one], lines[other] = lines[other], lines[one]
    return b"".join(lines)


class TestTheHome:
    def test_notices_a_trail_that_was_cut_at_its_end(
        self, chained: Database, intruder: Rows, tmp_path: Path
    ) -> None:
        sealing = Sealing(database=chained, home=tmp_path)
        assert sealing.verify().is_intact
        noted = find_noted_anchor(tmp_path)
        intruder.execute("DELETE FROM audit_seal WHERE seal_no > 30")
        intruder.execute(
            "DELETE FROM audit WHERE audit_id NOT IN (SELECT audit_id FROM audit_seal)"
        )
        intruder.commit()
        with chained.transaction() as connection:
            for number in range(ROWS):
                write(connection, number)

        state = sealing.verify()

        assert noted is not None
        assert [each.seal_no for each in state.faults] == [noted.seal_no]
        # What is missing is not forgotten because the chain went on.
        assert find_noted_anchor(tmp_path) == noted
