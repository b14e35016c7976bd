"""Sessions with Tryton: one integration user per legal entity, over the client of all connectors."""

from __future__ import annotations

import base64
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from urllib.parse import quote

import httpx

from tieline.connectors.tryton import wire
from tieline.connectors.tryton.answers import Call, from_error, lost
from tieline.kernel.errors import (
    AskPerson,
    MendTieline,
    NotExecuted,
    OutcomeUnknown,
    Refused,
    TielineError,
    TryAgain,
)
from tieline.sdk import Connection
from tieline.sdk.http import HttpClient, NotFound, as_stream_error, trusted_authorities
from tieline.sdk.http import Reply as HttpReply
from tieline.sdk.reach import reached
from tieline.sdk.slices import NotJson


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """Keep a reply's value and its bytes, from which raw records are cut."""

    result: Any
    body: bytes


@dataclass(slots=True, kw_only=True)
class Session:
    """Speak as the integration user of one legal entity; log in when first needed."""

    connection: Connection
    transport: httpx.BaseTransport
    path: str
    login: str
    password: str = field(repr=False)
    _client: HttpClient | None = field(default=None, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def read(self, method: str, *params: Any, context: Mapping[str, Any] | None = None) -> Any:
        """Call a method that changes nothing and return its result."""
        return self.reply(method, *params, context=context).result

    def reply(self, method: str, *params: Any, context: Mapping[str, Any] | None = None) -> Reply:
        """Call a method that changes nothing and return the whole reply."""
        return self._call(Call.READ, method, params, context)

    def write(self, method: str, *params: Any, context: Mapping[str, Any] | None = None) -> Any:
        """Call a method that changes something, once."""
        return self._call(Call.WRITE, method, params, context).result

    def search(
        self,
        model: str,
        domain: list[Any],
        fields: list[str],
        *,
        limit: int | None = None,
        context: Mapping[str, Any] | None = None,
    ) -> list[dict[str, Any]]:
        """Return matching records, inactive ones too, oldest first."""
        rows: list[dict[str, Any]] = self.read(
            f"model.{model}.search_read",
            domain,
            0,
            limit,
            [["id", "ASC"]],
            fields,
            context={"active_test": False, **(context or {})},
        )
        return rows

    def reached(self, moment: datetime) -> datetime:
        """Return an instant that was told, but none that no clock vouches for."""
        return reached(moment, http=self._logged_in())

    def version(self) -> str:
        """Return the server's version, for which nobody need log in."""
        answer = _post(self._with_headers({}), "/rpc/", Call.READ, "common.server.version", [])
        return str(_understood(Call.READ, "common.server.version", answer).result)

    def _call(
        self,
        call: Call,
        method: str,
        params: tuple[Any, ...],
        context: Mapping[str, Any] | None,
    ) -> Reply:
        # The language decides in which words Tryton refuses; answers.SENTENCES reads English.
        sent = [*params, {"language": "en", **(context or {})}]
        client = self._logged_in()
        try:
            answer = _post(client, self.path, call, method, sent)
        except AskPerson:
            # A session that Tryton forgot is refused before anything is done; so is a right that
            # is missing, which is then refused a second time.
            client = self._logged_in(instead_of=client)
            answer = _post(client, self.path, call, method, sent)
        return _understood(call, method, answer)

    def _logged_in(self, *, instead_of: HttpClient | None = None) -> HttpClient:
        with self._lock:
            if self._client is None or self._client is instead_of:
                self._client = self._with_headers({"Authorization": self._log_in()})
            return self._client

    def _log_in(self) -> str:
        method = "common.db.login"
        params = [self.login, {"password": self.password}]
        with before_the_write():
            answer = _post(self._with_headers({}), self.path, Call.READ, method, params)
            result = _understood(Call.READ, method, answer).result
        token = f"{self.login}:{result[0]}:{result[1]}".encode()
        return f"Session {base64.b64encode(token).decode()}"

    def _with_headers(self, headers: Mapping[str, str]) -> HttpClient:
        return HttpClient(
            connection=self.connection,
            headers={"Accept": "application/json", **headers},
            transport=self.transport,
        )


class Sessions:
    """Hold the sessions of a connection, one per legal entity."""

    def __init__(self, *, connection: Connection, transport: httpx.BaseTransport | None) -> None:
        plain = PlainReplies(
            transport or httpx.HTTPTransport(trust_env=False, verify=trusted_authorities())
        )
        database = _required(connection.config, "database")
        path = f"/{quote(database, safe='')}/rpc/"
        self._sessions = {
            code: Session(
                connection=connection,
                transport=plain,
                path=path,
                login=_required(entity, "login"),
                password=_password(connection, code),
            )
            for code, entity in _companies(connection.config).items()
        }

    def get(self, *, entity_code: str) -> Session:
        """Return the session of a legal entity.

        :raises AskPerson: the connection has no integration user for it.
        """
        if entity_code not in self._sessions:
            raise AskPerson(f"the connection names no company {entity_code} of Tryton")
        return self._sessions[entity_code]

    def all(self) -> Iterator[tuple[str, Session]]:
        """Yield every legal entity with its session, in the order of the configuration."""
        yield from self._sessions.items()


class PlainReplies(httpx.BaseTransport):
    """Correct Tryton 8.0, which calls its long replies gzip when it was asked for identity.

    ``trytond/protocols/jsonrpc.py`` sets the header outside of the condition.
    """

    def __init__(self, inner: httpx.BaseTransport) -> None:
        self._inner = inner

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Pass the request on and drop the header that is not true."""
        response = self._inner.handle_request(request)
        if request.headers.get("Accept-Encoding") == "identity":
            response.headers.pop("Content-Encoding", None)
        return response

    def close(self) -> None:
        """Give back the sockets."""
        self._inner.close()


@contextmanager
def before_the_write() -> Iterator[None]:
    """Say of a failed question before a write what it means for the write: not executed."""
    try:
        yield
    except NotExecuted:
        raise
    except TryAgain as error:
        raise NotExecuted(str(error), retry_after_seconds=error.retry_after_seconds) from error


@contextmanager
def after_a_write() -> Iterator[None]:
    """Say of a failure after part of the work is done what it means: the outcome is unknown."""
    try:
        yield
    except OutcomeUnknown:
        raise
    except TielineError as error:
        raise OutcomeUnknown(str(error)) from error


def _post(client: HttpClient, path: str, call: Call, method: str, params: list[Any]) -> HttpReply:
    try:
        content = {"id": 1, "method": method, "params": wire.encode(params)}
        ask = client.write if call is Call.WRITE else client.read
        return ask(method="POST", path=path, content=content)
    except NotFound as error:
        raise AskPerson(f"{error}: Tryton does not know this address or database") from error
    except Refused as error:
        if call is Call.READ:
            raise as_stream_error(error) from error
        raise
    except (NotJson, TypeError) as error:
        raise MendTieline(f"{method}: {error}") from error


def _understood(call: Call, method: str, answer: HttpReply) -> Reply:
    try:
        content = wire.decode(answer.body)
    except (ValueError, KeyError, TypeError, ArithmeticError, RecursionError) as error:
        raise lost(call=call, message=f"the answer to {method} is not readable") from error
    match content:
        case {"error": found}:
            raise from_error(error=found, call=call, method=method)
        case {"result": result}:
            return Reply(result=result, body=answer.body)
        case _:
            raise lost(call=call, message=f"the answer to {method} has no result")


def _companies(config: Mapping[str, Any]) -> Mapping[str, Mapping[str, Any]]:
    companies = config.get("companies")
    if not isinstance(companies, Mapping) or not companies:
        raise AskPerson("the connection's configuration names no companies and their logins")
    return companies


def _required(table: Mapping[str, Any], name: str) -> str:
    if not table.get(name):
        raise AskPerson(f"the connection's configuration does not say {name}")
    return str(table[name])


def _password(connection: Connection, entity_code: str) -> str:
    name = f"password.{entity_code}"
    if name not in connection.secrets:
        raise AskPerson(f"the connection has no secret {name}")
    return connection.secrets[name]
