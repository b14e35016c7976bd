"""Weights learned from decisions are used where they do better, and never where they would link wrongly."""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import timedelta

import pytest
from tests.rooms.casework.hand_made_firm import NOW
from tests.rooms.register.test_likeness import made_firms, written_again

from tieline.register import KeptWeights, find_weights, keep_weights, list_weights
from tieline.register.client_scores import FITTED, LEARNED
from tieline.register.likeness import Score, score_stock
from tieline.runtime.database import Database
from tieline.services.client_learning import Fared, is_better, learn_weights
from tieline.services.client_policy import ClientPolicy

_POLICY = ClientPolicy(link_odds=6.0, ask_odds=0.0, decisions_min=60)
_FIRMS = 120


class Stewards:
    """People who decided the pairs of a stock, and what is learned from them."""

    def __init__(self, worker: Database) -> None:
        self.worker = worker
        draw = random.Random(4)
        stock = made_firms(_FIRMS, seed=6)
        rows = [*stock, *(written_again(firm, draw) for firm in stock)]
        scored = score_stock(rows, asked=[True] * len(rows), scorer=None)
        assert scored.scorer is not None
        self.scores = sorted(scored.scores, key=lambda each: abs(each.odds))
        with worker.transaction() as connection:
            row = connection.execute(
                "INSERT INTO client (recorded_at) VALUES (%s) RETURNING client_id", (NOW,)
            ).fetchone()
            assert row is not None
            self.client_id = row["client_id"]
            keep_weights(
                connection, scorer=scored.scorer, kind=FITTED, records=len(rows), decisions=0,
                compared={}, is_used=True, now=NOW,
            )  # fmt: skip

    def decide(self, count: int, say: Callable[[Score], bool]) -> None:
        with self.worker.transaction() as connection, connection.cursor() as cursor:
            cursor.executemany(
                "INSERT INTO client_decision (subject, client_id, is_same, decided_by, reason, decided_at,"
                " odds, fitted_odds, levels, weights_version) VALUES (%s, %s, %s, 'ann', 'seen', %s, %s, %s,"
                " %s, 1) ON CONFLICT (subject, client_id) WHERE undone_at IS NULL"
                " DO UPDATE SET is_same = excluded.is_same",
                [
                    (
                        f"record:sales:{place}", self.client_id, say(each),
                        NOW + timedelta(seconds=place), each.odds, each.fitted_odds, list(each.levels),
                    )
                    for place, each in enumerate(self.scores[:count])
                ],
            )  # fmt: skip

    def learn(self) -> KeptWeights | None:
        with self.worker.transaction() as connection:
            return learn_weights(connection, policy=_POLICY, now=NOW)


def _is_same(score: Score) -> bool:
    return score.left % _FIRMS == score.right % _FIRMS


class TestWeights:
    @pytest.fixture
    def stewards(self, worker_database: Database) -> Stewards:
        return Stewards(worker_database)

    def test_are_learned_once_from_enough_and_refused_where_they_would_link_wrongly(
        self, stewards: Stewards
    ) -> None:
        stewards.decide(59, _is_same)
        assert stewards.learn() is None

        stewards.decide(200, _is_same)
        first = stewards.learn()
        assert first is not None
        assert (first.state, first.kind, first.decisions) == ("current", LEARNED, 200)
        before, after = first.compared["before"], first.compared["after"]
        assert after["surprise"] < before["surprise"]
        assert after["links_right"] == after["links"]
        assert stewards.learn() is None, "nothing was decided since"

        # Where a few that look the same are not, what would link by itself would be wrong.
        draw = random.Random(5)
        stewards.decide(
            len(stewards.scores), lambda score: _is_same(score) and draw.random() < 0.985
        )
        second = stewards.learn()
        assert second is not None
        assert second.state == "refused"
        with stewards.worker.transaction() as connection:
            found = find_weights(connection)
            assert found is not None
            assert found.version == first.version
            assert [each.state for each in list_weights(connection)] == [
                "refused",
                "current",
                "past",
            ]

    def test_never_replace_others_for_links_that_are_less_sure(self) -> None:
        sure = Fared(surprise=0.5, right=90, links=40, links_right=40)
        better_but = Fared(surprise=0.2, right=99, links=60, links_right=59)
        better = Fared(surprise=0.2, right=99, links=60, links_right=60)

        assert not is_better(better_but, than=sure, policy=_POLICY)
        assert is_better(better, than=sure, policy=_POLICY)
        assert not is_better(sure, than=better, policy=_POLICY)
