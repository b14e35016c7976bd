"""Books on a real port that fail on a plan, and a poster that talks to them by their own manifest."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any
from urllib.parse import urlsplit

from tests.rooms.sandbox.serving import serving
from tests.support.target import FixedClock, OpenBudgets
from tieline.kernel.errors import TielineError
from tieline.ledger import plan
from tieline.posting.lines import LinePoster, Scope, Sent
from tieline.proof.books import PACKAGES, SYSTEMS
from tieline.runtime.database import Database
from tieline.sandbox.books import Books, Desk
from tieline.sandbox.faults import FaultInjector
from tieline.sandbox.front import Front, plain_error
from tieline.sandbox.wire import Delivery, Request
from tieline.sdk import Capabilities, Connection

WRITES = r"^/v1/(lines|documents)$"
SEARCHES = r"^/v1/(lines/search$|documents\?)"
_ROUNDS_MAX = 12


@dataclass(slots=True, kw_only=True)
class FailingBooks:
    """Books of a profile behind a front; one fault at a time."""

    profile: str
    books: Books
    front: Front
    injector: FaultInjector
    url: str = ""
    late: list[Any] = field(default_factory=list)

    def fail(self, kind: str, *, path: str = WRITES, **words: Any) -> None:
        """Let the next request of a kind meet a fault, once."""
        rule = {"name": "next", "kind": kind, "path": path, "occurrences": [1], **words}
        self.injector.add([rule])

    def be_well(self) -> None:
        """Meet no fault any more, and answer for whole batches."""
        self.books.items = None
        self.injector.arm([str(rule["name"]) for rule in self.injector.rules()], is_armed=False)

    def standing(self) -> list[int]:
        """Return the seconds of every line that stands, as the journal tells it."""
        stands: dict[int, int] = {}
        for entry in self._entries():
            if entry["event"] == "stored":
                stands[entry["id"]] = entry["seconds"]
            elif entry["event"] == "voided":
                stands.pop(entry["id"])
        return sorted(stands.values())

    def asked(self) -> list[list[int]]:
        """Return the seconds of the lines of each call that was ever made."""
        return [
            sorted(words[3] for words in entry["lines"])
            for entry in self._entries()
            if entry["event"] == "asked"
        ]

    def _entries(self) -> list[Mapping[str, Any]]:
        assert isinstance(self.books.journal, io.StringIO)
        return [json.loads(line) for line in self.books.journal.getvalue().splitlines()]

    # -- a directory of connectors with these books in it -----------------------------------------

    def get(self, *, connection_key: str) -> Any:
        connection = Connection(
            connection_key=connection_key,
            base_url=self.url,
            config={"has_references": self.profile != "naive-erp"},
            secrets={"token": "t"},
            allowed_hosts=frozenset({urlsplit(self.url).netloc}),
        )
        return self._package().build(connection)

    def capabilities(self, *, connection_key: str) -> Capabilities:
        manifest: Capabilities = self._package().MANIFEST
        return manifest

    def _package(self) -> Any:
        return import_module(f"{PACKAGES[SYSTEMS[self.profile]]}.connector")


@contextmanager
def failing_books(profile: str) -> Iterator[FailingBooks]:
    """Serve books until the test is done."""
    books = Books(profile=profile, token="t", journal=io.StringIO())
    injector = FaultInjector(name="books", plan={"seed": 1}, log=None)
    front = Front(
        answer=books.answer, injector=injector, control_token="c", error_answer=plain_error
    )
    desk = Desk(front=front, journal=books.journal)
    held = FailingBooks(profile=profile, books=books, front=front, injector=injector)

    async def deliver(request: Request) -> Delivery:
        if request.path == "/settled":
            await front.settle()
            request = Request(method="GET", target="/nowhere")
        return await desk.deliver(request)

    with serving(deliver) as url:
        held.url = url
        yield held


@dataclass(frozen=True, slots=True, kw_only=True)
class Posting:
    """Post the hours of a scope to books, as the flow does, without waiting for leases' time."""

    books: FailingBooks
    poster: LinePoster
    owner: Database
    scope: Scope
    clock: FixedClock

    @classmethod
    def to(
        cls,
        books: FailingBooks,
        *,
        worker: Database,
        owner: Database,
        scope: Scope,
        clock: FixedClock,
    ) -> Posting:
        poster = LinePoster(
            database=worker,
            connectors=books,
            budgets=OpenBudgets(),  # type: ignore[arg-type]
            clock=clock,
        )
        return cls(books=books, poster=poster, owner=owner, scope=scope, clock=clock)

    def round(self) -> Sent | TielineError:
        """Plan what there is and do one round; an error of a connector ends it, as it does in the flow."""
        with self.poster.database.transaction() as connection:
            plan(connection, entry_ids=None, now=self.clock.now())
        try:
            return self.poster.round(scope=self.scope)
        except TielineError as error:
            return error

    def let_settle(self) -> None:
        """Let late commits arrive and every wait be over."""
        import httpx

        httpx.get(f"{self.books.url}/settled")
        with self.owner.transaction() as connection:
            connection.execute(
                "UPDATE effect SET due_at = NULL, sent_at = sent_at - interval '1 hour'"
                " WHERE state NOT IN ('CONFIRMED', 'WITHDRAWN')"
            )

    def until_done(self) -> None:
        """Do rounds until nothing moves."""
        for _ in range(_ROUNDS_MAX):
            done = self.round()
            if isinstance(done, Sent) and done.wait_seconds is None and not done.voided:
                return
            self.let_settle()
        raise AssertionError(f"posting did not come to an end: {done}")

    def states(self, *, seconds: list[int]) -> list[tuple[int, str]]:
        """Return the states of the lines of so many seconds, in their order."""
        with self.owner.transaction() as connection:
            rows = connection.execute(
                "SELECT seconds, state FROM effect WHERE kind = 'book' AND seconds = ANY (%s)"
                " ORDER BY seconds, effect_no",
                (seconds,),
            ).fetchall()
        return [(row["seconds"], row["state"]) for row in rows]

    def net_seconds(self) -> int:
        """Return the sum of our ledger."""
        with self.owner.transaction() as connection:
            row = connection.execute(
                "SELECT coalesce(sum(seconds), 0)::int AS s FROM ledger_line"
            ).fetchone()
        assert row is not None
        return int(row["s"])
