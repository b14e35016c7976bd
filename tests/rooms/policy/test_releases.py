"""A release of rules decides when a second person agreed, and the audit says who did what."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from tieline.governance import list_audit
from tieline.kernel.errors import UserMistake
from tieline.policy import approve_release, current_release, draft_release, reject_release
from tieline.runtime.database import Database

NOW = datetime(2026, 11, 3, 14, tzinfo=UTC)


@pytest.fixture
def draft_id(owner_database: Database) -> int:
    with owner_database.transaction() as connection:
        return draft_release(
            connection,
            title="stricter",
            rules=(),
            values=(),
            overrides=(),
            proposed_by="ann",
            reason="the client asked",
            now=NOW,
        )


class TestApprovingARelease:
    def test_is_audited_where_it_happens(self, owner_database: Database, draft_id: int) -> None:
        with owner_database.transaction() as connection:
            approve_release(
                connection, release_id=draft_id, approved_by="bob", now=NOW, through="a key"
            )

            (told,) = list_audit(connection, object=f"release:{draft_id}")
            current = current_release(connection)

        assert (told.action, told.actor, told.at) == ("release.approved", "bob", NOW)
        assert told.data == {"proposed_by": "ann", "key": "a key"}
        assert (current.release_id, current.approved_by) == (draft_id, "bob")

    def test_is_undone_with_its_audit(self, owner_database: Database, draft_id: int) -> None:
        def approve_and_fail() -> None:
            with owner_database.transaction() as connection:
                approve_release(connection, release_id=draft_id, approved_by="bob", now=NOW)
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            approve_and_fail()

        with owner_database.transaction() as connection:
            assert list_audit(connection, object=f"release:{draft_id}") == ()
            with pytest.raises(UserMistake, match="no release"):
                current_release(connection)

    def test_takes_a_second_person_however_they_are_written(
        self, owner_database: Database, draft_id: int
    ) -> None:
        with owner_database.transaction() as connection:
            with pytest.raises(UserMistake, match="somebody else approves"):
                approve_release(connection, release_id=draft_id, approved_by="Ann", now=NOW)

            assert list_audit(connection, object=f"release:{draft_id}") == ()


class TestRejectingARelease:
    def test_is_audited_and_final(self, owner_database: Database, draft_id: int) -> None:
        with owner_database.transaction() as connection:
            reject_release(
                connection, release_id=draft_id, rejected_by="bob", reason="too strict", now=NOW
            )

            (told,) = list_audit(connection, object=f"release:{draft_id}")
            with pytest.raises(UserMistake, match="is not a draft"):
                approve_release(connection, release_id=draft_id, approved_by="cyd", now=NOW)

        assert (told.action, told.actor, told.reason) == ("release.rejected", "bob", "too strict")
