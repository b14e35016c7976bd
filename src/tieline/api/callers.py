"""Who calls, what their key may do, and a change that is made once however often it is asked for."""

import hashlib
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, TypeVar

from fastapi import Depends, Header, Request
from fastapi.responses import JSONResponse
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from psycopg import Connection
from psycopg.types.json import Jsonb
from pydantic import BaseModel

from tieline.api.problems import Problem
from tieline.governance import ApiCaller, open_web_transaction, verify_api_key
from tieline.runtime.database import Database, Row
from tieline.services.deciding import Decider
from tieline.services.system import System

REPEATED = "Idempotent-Replayed"
_KEY_CHARACTERS_MAX = 200
_KEY = re.compile(r"[\x21-\x7e]{1,200}")
_bearer = HTTPBearer(auto_error=False, scheme_name="key", description="A key of `tieline keys`.")

_Door = TypeVar("_Door", bound=Callable[..., object])
Work = Callable[[Connection[Row]], BaseModel]


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One changing call: its caller, its key, and the instant it is made at."""

    caller: ApiCaller
    key: str
    address: str
    now: datetime
    database: Database

    @property
    def by(self) -> Decider:
        """Return the person the key acts for."""
        return Decider(login=self.caller.issued_by, through=self.caller.name)

    def once(
        self,
        *,
        body: BaseModel | None,
        work: Work,
        status: int = 200,
        database: Database | None = None,
    ) -> JSONResponse:
        """Do the work and keep its answer in one transaction, or repeat the answer that is kept.

        :raises Problem: the same key came with another call before.
        """
        asked = hashlib.sha256(
            self.address.encode() + b"\n" + (body.model_dump_json().encode() if body else b"")
        ).digest()
        with open_web_transaction(
            database or self.database,
            entities=self.caller.entities,
            sees_costs=self.caller.sees_costs,
        ) as connection:
            kept = self._reserve(connection, asked)
            if kept is not None:
                return JSONResponse(
                    kept["answer"], status_code=kept["status"], headers={REPEATED: "true"}
                )
            answer = work(connection).model_dump(mode="json")
            connection.execute(
                "UPDATE api_answer SET status = %s, answer = %s"
                " WHERE (key_id, idempotency_key) = (%s, %s)",
                (status, Jsonb(answer), self.caller.key_id, self.key),
            )
        return JSONResponse(answer, status_code=status)

    def _reserve(self, connection: Connection[Row], asked: bytes) -> Row | None:
        # A call with the same key at the same moment waits here until the first has committed.
        reserved = connection.execute(
            "INSERT INTO api_answer (key_id, idempotency_key, request_hash) VALUES (%s, %s, %s)"
            " ON CONFLICT DO NOTHING RETURNING key_id",
            (self.caller.key_id, self.key, asked),
        ).fetchone()
        if reserved is not None:
            return None
        kept = connection.execute(
            "SELECT request_hash, status, answer FROM api_answer"
            " WHERE (key_id, idempotency_key) = (%s, %s)",
            (self.caller.key_id, self.key),
        ).fetchone()
        assert kept is not None
        if bytes(kept["request_hash"]) != asked:
            raise Problem(
                status=422,
                code="idempotency_key.reused",
                detail="this Idempotency-Key came with another call before: choose a new one",
            )
        return kept


@dataclass(frozen=True, slots=True)
class Doors:
    """Make the dependencies that let callers in."""

    system: System

    def may(self, scope: str | None) -> Callable[..., ApiCaller]:
        """Return the dependency that lets a caller with a scope (None: any key) in."""

        def caller(
            given: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)],
        ) -> ApiCaller:
            return self._let_in(given, scope)

        return _with_scope(caller, scope)

    def may_change(self, scope: str) -> Callable[..., Change]:
        """Return the dependency of a call that changes something; it carries a key of its own."""

        def change(
            request: Request,
            given: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)],
            idempotency_key: Annotated[
                str | None,
                Header(
                    description="A word of the caller's choice, new for every change; the same word"
                    " with the same call repeats the first answer.",
                    max_length=_KEY_CHARACTERS_MAX,
                ),
            ] = None,
        ) -> Change:
            caller = self._let_in(given, scope)
            if idempotency_key is None or not _KEY.fullmatch(idempotency_key):
                raise Problem(
                    status=400,
                    code="idempotency_key.missing",
                    detail="a call that changes something carries the header Idempotency-Key,"
                    f" 1 to {_KEY_CHARACTERS_MAX} visible characters",
                )
            return Change(
                caller=caller,
                key=idempotency_key,
                address=f"{request.method} {request.url.path}",
                now=self.system.clock.now(),
                database=self.system.web_database,
            )

        return _with_scope(change, scope)

    @contextmanager
    def sight(self, caller: ApiCaller) -> Iterator[Connection[Row]]:
        """Open a transaction that sees the caller's legal entities."""
        with open_web_transaction(
            self.system.web_database, entities=caller.entities, sees_costs=caller.sees_costs
        ) as connection:
            yield connection

    def _let_in(self, given: HTTPAuthorizationCredentials | None, scope: str | None) -> ApiCaller:
        if given is None or not given.credentials:
            raise Problem(status=401, code="key.missing", detail="send a key as a bearer token")
        with self.system.web_database.transaction() as connection:
            found = verify_api_key(
                connection,
                pepper=self.system.pepper,
                secret=given.credentials,
                now=self.system.clock.now(),
            )
        if found is None:
            raise Problem(status=401, code="key.unknown", detail="the key opens nothing")
        if scope is not None and not found.may(scope):
            raise Problem(
                status=403, code="key.scope_missing", detail=f"the key has no scope {scope}"
            )
        return found


def _with_scope(door: _Door, scope: str | None) -> _Door:
    # The description of the API reads it from the dependency.
    vars(door)["scope"] = scope
    return door
