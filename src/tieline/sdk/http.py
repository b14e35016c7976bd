"""The HTTP client of all connectors: bounded, without redirects, errors by consequence."""

from __future__ import annotations

import ssl
import threading
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from email.utils import parsedate_to_datetime
from functools import cache
from typing import Any, NoReturn
from urllib.parse import urlsplit

import httpx

from tieline.kernel.errors import (
    AskPerson,
    NotExecuted,
    OutcomeUnknown,
    Refused,
    StreamBroken,
    TielineError,
    TryAgain,
)
from tieline.sdk.protocols import Connection
from tieline.sdk.slices import NotJson, decode_exact, encode_exact

CONNECT_TIMEOUT_SECONDS = 5
REPLY_BYTES_MAX = 32 * 1024 * 1024
REFUSAL_CHARACTERS_MAX = 200
RETRY_AFTER_DEFAULT_SECONDS = 15
RETRY_AFTER_SECONDS_MAX = 3600
READ_DEADLINE_FACTOR = 6

Query = Iterable[tuple[str, str]]


class Pace:
    """Keep calls of one kind apart, where a vendor limits them beside its general limit."""

    def __init__(self, *, interval_ms: int) -> None:
        self._interval_ns = interval_ms * 1_000_000
        self._next_ns = 0
        self._lock = threading.Lock()

    def wait(self) -> None:
        """Wait for this call's turn."""
        with self._lock:
            now_ns = time.monotonic_ns()
            turn_ns = max(now_ns, self._next_ns)
            self._next_ns = turn_ns + self._interval_ns
        if turn_ns > now_ns:
            threading.Event().wait((turn_ns - now_ns) / 1_000_000_000)


class NotFound(Refused):
    """The vendor answered 404 or 410: the record does not exist there (any more)."""

    code = "call.not_found"

    def __init__(self, message: str) -> None:
        super().__init__(message, reason="vendor.not_found")


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """One complete answer with a status of the 200s."""

    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpClient:
    """Call one vendor for one connection.

    ``transport`` is only given by tests that watch or break the wire.
    """

    connection: Connection
    headers: Mapping[str, str] = field(repr=False)
    transport: httpx.BaseTransport | None = None
    reply_bytes_max: int = REPLY_BYTES_MAX
    _client: list[httpx.Client] = field(default_factory=list, init=False, repr=False)
    _dated: dict[str, datetime | None] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    def read(
        self,
        *,
        path: str,
        query: Query = (),
        method: str = "GET",
        content: Any = None,
        headers: Mapping[str, str] | None = None,
    ) -> Reply:
        """Ask for something; a search by POST is a read too. Bytes are sent as they are.

        :raises NotFound: 404 or 410.
        :raises AskPerson: credentials or permissions are refused, or a host is not allowed.
        :raises TryAgain: not now; ``StreamBroken`` when the answer stopped before its end.
        """
        return self._call(_READ, method, path, query, content, headers)

    def write(
        self,
        *,
        method: str,
        path: str,
        content: Any = None,
        query: Query = (),
        headers: Mapping[str, str] | None = None,
    ) -> Reply:
        """Send a write once; ``headers`` are those of this call, such as its signature.

        :raises NotExecuted: it surely did not happen.
        :raises Refused: the vendor understood and refused it; ``NotFound`` for 404 and 410.
        :raises AskPerson: credentials or permissions are refused, or a host is not allowed.
        :raises OutcomeUnknown: it may or may not have happened.
        :raises LeaseLost: this process may have been declared lost; nothing was sent.
        """
        return self._call(_WRITE, method, path, query, content, headers)

    def read_json(
        self, *, path: str, query: Query = (), method: str = "GET", content: Any = None
    ) -> Any:
        """Ask and decode exactly; the errors are those of ``read``."""
        reply = self.read(path=path, query=query, method=method, content=content)
        return decoded(reply, purpose=_READ, name=self._name(method, path))

    def write_json(self, *, method: str, path: str, content: Any = None) -> Any:
        """Send once and decode the answer; one that cannot be read leaves the outcome unknown."""
        reply = self.write(method=method, path=path, content=content)
        return decoded(reply, purpose=_WRITE, name=self._name(method, path))

    def answered_at(self) -> datetime | None:
        """Return when the last answer was given by the clock of who gave it, where it says so."""
        return self._dated.get(_DATE)

    def close(self) -> None:
        """Let go of the connections; the next call opens new ones."""
        while self._client:
            self._client.pop().close()

    def _call(
        self,
        purpose: str,
        method: str,
        path: str,
        query: Query,
        content: Any,
        own_headers: Mapping[str, str] | None = None,
    ) -> Reply:
        name = self._name(method, path)
        url = self._allowed_url(path)
        body = content if content is None or isinstance(content, bytes) else encode_exact(content)
        headers = {} if body is None else {"Content-Type": "application/json"}
        headers.update(own_headers or {})
        before_call = self.connection.before_call
        paced = before_call() if before_call is not None else None
        try:
            response, reply_body = self._exchange(
                purpose, name, method, url, query, body=body, headers=headers
            )
        except (TryAgain, OutcomeUnknown):
            if paced is not None:
                paced.failed()
            raise
        except BaseException:
            if paced is not None:
                paced.not_made()
            raise
        if paced is not None:
            paced.answered(
                status=response.status_code,
                headers=response.headers,
                wait_seconds=_wait_asked_for(response),
            )
        self._dated[_DATE] = _http_date(response.headers.get(_DATE, ""))
        if 200 <= response.status_code < 300:
            return Reply(
                status=response.status_code,
                headers=dict(response.headers),
                body=reply_body,
            )
        raise _error_of_status(purpose, name, response, reply_body)

    def _exchange(
        self,
        purpose: str,
        name: str,
        method: str,
        url: str,
        query: Query,
        *,
        body: bytes | None,
        headers: Mapping[str, str],
    ) -> tuple[httpx.Response, bytes]:
        try:
            request = self._http().build_request(
                method, url, params=tuple(query) or None, content=body, headers=headers
            )
            if purpose == _WRITE and self.connection.before_write is not None:
                self.connection.before_write()
            response = self._http().send(request, stream=True)
        except _NEVER_SENT as error:
            raise NotExecuted(f"{name} could not be reached ({type(error).__name__})") from None
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            _lost(purpose, f"{name} gave no answer ({type(error).__name__})")
        try:
            return response, self._body(response, purpose, name)
        finally:
            response.close()

    def _body(self, response: httpx.Response, purpose: str, name: str) -> bytes:
        if response.headers.get("content-encoding", "identity") not in ("", "identity"):
            _lost(purpose, f"{name} answered in an encoding that was not asked for")
        deadline = time.monotonic() + self._deadline_seconds(purpose)
        chunks: list[bytes] = []
        size = 0
        try:
            for chunk in response.iter_raw():
                size += len(chunk)
                if size > self.reply_bytes_max:
                    _lost(
                        purpose,
                        f"{name} answered more than {self.reply_bytes_max} bytes",
                    )
                if time.monotonic() > deadline:
                    _lost(purpose, f"{name} did not finish its answer in time")
                chunks.append(chunk)
        except httpx.HTTPError as error:
            _lost(purpose, f"{name} broke off its answer ({type(error).__name__})")
        return b"".join(chunks)

    def _deadline_seconds(self, purpose: str) -> int:
        seconds = self.connection.timeout_seconds
        return seconds if purpose == _WRITE else seconds * READ_DEADLINE_FACTOR

    def _allowed_url(self, path: str) -> str:
        url = self.connection.base_url.rstrip("/") + path
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError:
            raise AskPerson(
                f"{self.connection.connection_key} has an address that names no host and port"
            ) from None
        if parts.username is not None:
            raise AskPerson(f"{self.connection.connection_key} has an address with a user in it")
        usual_port = _PORTS.get(parts.scheme)
        place = f"{parts.hostname}:{port or usual_port}"
        # A host that is listed without its port is meant at the usual one only.
        places = {place, parts.hostname} if port in (None, usual_port) else {place}
        if usual_port is None or not places & self.connection.allowed_hosts:
            raise AskPerson(
                f"{self.connection.connection_key} may not call {place}: it is not among its hosts"
            )
        return url

    def _name(self, method: str, path: str) -> str:
        return f"{self.connection.connection_key} {method} {path}"

    def _http(self) -> httpx.Client:
        # Built at the first call: a connector object is made for every page that names it.
        if not self._client:
            self._client.append(
                _Closing(
                    transport=self.transport,
                    verify=trusted_authorities(),
                    follow_redirects=False,
                    trust_env=False,
                    headers={"Accept-Encoding": "identity", **self.headers},
                    timeout=httpx.Timeout(
                        self.connection.timeout_seconds, connect=CONNECT_TIMEOUT_SECONDS
                    ),
                )
            )
        return self._client[0]


@cache
def trusted_authorities() -> ssl.SSLContext:
    """Return whom every call trusts; reading them takes longer than most calls, so once."""
    return httpx.create_ssl_context(trust_env=False)


class _Closing(httpx.Client):
    """Close with the connector that held it, for nobody tells a connector that it is not needed."""

    def __del__(self) -> None:
        self.close()


_PORTS = {"https": 443, "http": 80}
_SENTENCES = ("message", "errorMessage")
_DATE = "date"
_READ = "read"
_WRITE = "write"
_NEVER_SENT = (
    httpx.ConnectError,
    httpx.ConnectTimeout,
    httpx.PoolTimeout,
    httpx.UnsupportedProtocol,
    httpx.LocalProtocolError,
)


def _wait_asked_for(response: httpx.Response) -> int | None:
    match response.status_code:
        case 429:
            return retry_after_seconds(response.headers)
        case 503:
            return _told_wait(response.headers)
        case _:
            return None


def decoded(reply: Reply, *, purpose: str, name: str) -> Any:
    """Decode an answer exactly, or say what its loss means."""
    try:
        return decode_exact(reply.body)
    except NotJson:
        _lost(purpose, f"{name} answered something that cannot be read")


def _lost(purpose: str, sentence: str) -> NoReturn:
    if purpose == _WRITE:
        raise OutcomeUnknown(sentence) from None
    raise StreamBroken(sentence) from None


def _error_of_status(
    purpose: str, name: str, response: httpx.Response, body: bytes
) -> TielineError:
    """Map a status to its consequence; the one table for every vendor."""
    status = response.status_code
    sentence = f"{name} answered {status}"
    match status:
        case 429:
            return NotExecuted(sentence, retry_after_seconds=retry_after_seconds(response.headers))
        case 401 | 403:
            return AskPerson(f"{sentence}: its credentials or permissions were refused")
        case 404 | 410:
            return NotFound(sentence)
        case 408:
            return OutcomeUnknown(sentence) if purpose == _WRITE else TryAgain(sentence)
        case _ if 400 <= status < 500:
            message = refusal_message(body)
            return Refused(
                f"{sentence}: {message}" if message else sentence,
                reason=f"vendor.{status}",
            )
        case _ if purpose == _WRITE:
            return OutcomeUnknown(sentence)
        case _ if 300 <= status < 400:
            return AskPerson(f"{sentence}: redirects are not followed, correct its address")
        case _:
            return TryAgain(sentence, retry_after_seconds=_told_wait(response.headers))


def refusal_message(body: bytes) -> str:
    """Return the vendor's own short sentence where it keeps one under a name we know, else ''."""
    try:
        content = decode_exact(body)
    except NotJson:
        return ""
    told = [content.get(name) for name in _SENTENCES] if isinstance(content, dict) else []
    sentence = next((one for one in told if isinstance(one, str)), "")
    return " ".join(sentence.split())[:REFUSAL_CHARACTERS_MAX]


def retry_after_seconds(headers: Mapping[str, str]) -> int:
    """Read Retry-After in seconds or as a date; absurd and negative waits are capped."""
    told = _told_wait(headers)
    return RETRY_AFTER_DEFAULT_SECONDS if told is None else told


def _told_wait(headers: Mapping[str, str]) -> int | None:
    text = headers.get("retry-after", "").strip()
    if not text:
        return None
    try:
        seconds = Decimal(text)
    except InvalidOperation:
        return _wait_until(text, headers.get("date", ""))
    if not seconds.is_finite():
        return RETRY_AFTER_SECONDS_MAX
    return int(min(max(seconds.to_integral_value(rounding="ROUND_CEILING"), Decimal(1)), _MAX))


_MAX = Decimal(RETRY_AFTER_SECONDS_MAX)


def _wait_until(text: str, answered: str) -> int | None:
    # Measured on the vendor's own clock: its Date header says when it answered.
    until, since = _http_date(text), _http_date(answered)
    if until is None or since is None:
        return None
    return min(max(int((until - since).total_seconds()), 1), RETRY_AFTER_SECONDS_MAX)


def _http_date(text: str) -> datetime | None:
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def as_stream_error(error: Refused) -> AskPerson:
    """Say what a refused read means for a stream: an empty page would be a lie."""
    if isinstance(error, NotFound):
        return AskPerson(f"{error}: the stream is not there, check address and permissions")
    return AskPerson(f"{error}: the vendor refuses the question")
