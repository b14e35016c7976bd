"""Messages reach a service desk once each, although its answers are lost, late or a refusal to hurry."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.promises.connectors.vendors import Vendor, running_service_desk
from tests.support.message_town import Town, words_at

from tieline.connectors.jira_service import JiraServiceConnector
from tieline.kernel.errors import StreamBroken
from tieline.runtime.database import Database
from tieline.sdk import Notice, NoticeReceipt

OWNERS = ("person:ann", "queue:delivery")
# Of DE both are told, of UK the team alone.
MATTERS = 3


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Vendor]:
    with running_service_desk(tmp_path) as running:
        yield running
        assert running.exchanges


@pytest.fixture
def town(worker_database: Database, desk: Vendor, tmp_path: Path) -> Town:
    town = Town(database=worker_database, folder=tmp_path / "secrets").found()
    town.service_desk(desk.url)
    for owner in OWNERS:
        town.reach(owner, "desk")
    return town


def _fault(desk: Vendor, kind: str, number: int, **more: Any) -> None:
    name = f"{kind} {number} {more.get('method', '')}"
    rule = {"name": name, "kind": kind, "method": "POST", "path": "/request"}
    desk.do("faults", {"add": [{**rule, "occurrences": [number], **more}]})


def _injected(desk: Vendor) -> dict[str, int]:
    answer = httpx.get(f"{desk.url}/_sandbox/faults", headers={"x-sandbox-token": "control"})
    counts: dict[str, int] = answer.json()
    return counts


class TestMessages:
    def test_reach_the_desk_once_whatever_becomes_of_the_answers(
        self, town: Town, desk: Vendor, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        brought: list[Notice] = []
        send = JiraServiceConnector.send

        def breaking_off(self: JiraServiceConnector, *, notice: Notice) -> NoticeReceipt:
            receipt = send(self, notice=notice)
            if not brought:
                brought.append(notice)
                raise StreamBroken("what was asked afterwards broke off")
            return receipt

        monkeypatch.setattr(JiraServiceConnector, "send", breaking_off)
        # Each rule counts all that is sent. Two digests come first, of which one answer is lost and the
        # first question after it is refused; two more come with the three requests of the first step,
        # and at later steps as many comments.
        _fault(desk, "answer_lost", 1)
        _fault(desk, "refuse_503_before", 1, method="GET", path=r"/request\?")
        _fault(desk, "truncated_body", 3)
        _fault(desk, "rate_limit_429", 4, retry_after_seconds=1)
        _fault(desk, "refuse_503_before", 7)
        _fault(desk, "late_commit", 11, delay_ms=700, hold_ms=10)
        desk.do("index", {"lag_ms": 300})

        for before in ({"hours": 40}, {"minutes": 60}, {"minutes": 30}, {"minutes": 10}):
            notices = town.at(**before).bring(workers=2)

        assert brought
        on, below = words_at(desk)
        notices = [notice for notice in notices if notice.connection_key == "desk"]
        assert {notice.state for notice in notices} == {"sent"}
        assert Counter(notice.kind for notice in notices) == {"digest": 4, "escalation": 9}
        assert (len(on), len(below)) == (4 + MATTERS, 2 * MATTERS)
        assert max(Counter(on + below).values()) == 1
        assert _injected(desk) == {
            "answer_lost": 1,
            "late_commit": 1,
            "rate_limit_429": 1,
            "refuse_503_before": 2,
            "truncated_body": 1,
        }
