"""Jira Service Management over HTTP: one request per matter, comments for what comes later about it."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx

from tieline.connectors.jira_service import translate as words
from tieline.kernel.errors import (
    AskPerson,
    NotExecuted,
    OutcomeUnknown,
    Refused,
    StreamBroken,
    TielineError,
    TryAgain,
)
from tieline.sdk import (
    Capabilities,
    CheckItem,
    CheckReport,
    Connection,
    Notice,
    NoticeReceipt,
    load_manifest,
)
from tieline.sdk.http import HttpClient, NotFound, as_stream_error

MANIFEST: Capabilities = load_manifest(__package__)
API = "/rest/servicedeskapi"
PAGE_RECORDS_MAX = 50
PAGES_MAX = 100
INVALID = "vendor.400"
_FIELDS = ("summary", "description")

Record = Mapping[str, Any]


def build(
    connection: Connection, *, transport: httpx.BaseTransport | None = None
) -> JiraServiceConnector:
    """Make the connector of one request type of one service desk."""
    pair = f"{connection.secrets['email']}:{connection.secrets['api_token']}"
    headers = {
        "Authorization": "Basic " + base64.b64encode(pair.encode()).decode(),
        "Accept": "application/json",
        # The vendor calls the list of request types experimental, and gives it to nobody unasked.
        "X-ExperimentalApi": "opt-in",
    }
    return JiraServiceConnector(
        connection=connection,
        http=HttpClient(connection=connection, headers=headers, transport=transport),
        service_desk=str(connection.config["service_desk"]),
        request_type=str(connection.config["request_type"]),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """The form that a request is raised with."""

    desk_id: str
    type_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class JiraServiceConnector:
    """Bring notices to a service desk, and see which of them stand there."""

    connection: Connection
    http: HttpClient
    service_desk: str
    request_type: str
    _place: list[Place] = field(default_factory=list, init=False, repr=False)

    def check(self) -> CheckReport:
        """Try the credentials, the service desk, the form of the request type, and the rights."""
        items: list[CheckItem] = []
        try:
            desk = self._desk(items)
            kind = None if desk is None else self._type(desk, items)
            if desk is not None and kind is not None:
                items.append(_form(kind))
                place = Place(desk_id=desk["id"], type_id=kind["id"])
                items.append(self._rights(place, is_safe=_asks_for_summary(kind)))
        except TielineError as error:
            name = "rights" if items else "credentials"
            items.append(CheckItem(name=name, is_good=False, fix=f"{error}."))
        return CheckReport(items=tuple(items))

    def send(self, *, notice: Notice) -> NoticeReceipt:
        """Raise a request, or comment on the open one about the same matter; nothing where it stands.

        :raises NotExecuted: it surely was not sent.
        :raises Refused: the desk refuses this notice for good.
        :raises AskPerson: the desk refuses us until a person acts.
        :raises OutcomeUnknown: it may or may not have arrived.
        """
        matter = words.matter_word(notice)
        try:
            place = self._known_place()
            standing = self._requests(place, matter) if words.may_continue(notice) else []
            told = self._told(standing, words.notice_word(notice))
        except TryAgain as error:
            raise NotExecuted(str(error), retry_after_seconds=error.retry_after_seconds) from error
        if told is not None:
            return told
        text = words.body(
            text=notice.text, link=notice.acknowledge_url, word=words.notice_word(notice)
        )
        for request in standing:
            if _is_open(request):
                try:
                    return self._comment(request, text)
                except NotFound:
                    # Somebody deleted it since: the matter begins anew.
                    break
        return self._create(place, words.summary(subject=notice.subject, word=matter), text)

    def find_notice(self, *, notice: Notice) -> NoticeReceipt | None:
        """Return where a notice stands: on a request, or in a comment on one."""
        standing = self._requests(self._known_place(), words.matter_word(notice))
        return self._told(standing, words.notice_word(notice))

    # -- requests and comments ---------------------------------------------------------------------

    def _requests(self, place: Place, word: str) -> Sequence[Record]:
        """Return our own requests under a word, those with the latest activity first."""
        query = [
            ("searchTerm", word),
            ("requestOwnership", "OWNED_REQUESTS"),
            ("requestStatus", "ALL_REQUESTS"),
            ("serviceDeskId", place.desk_id),
            ("requestTypeId", place.type_id),
        ]
        found = list(self._every(f"{API}/request", query))
        # The search may also bring what only resembles the word.
        return [request for request in found if word in _value(request, "summary")]

    def _told(self, requests: Sequence[Record], word: str) -> NoticeReceipt | None:
        for request in requests:
            if word in _value(request, "description"):
                return NoticeReceipt(receiver_code=request["issueKey"])
        for request in requests:
            key = request["issueKey"]
            for comment in self._every(f"{API}/request/{key}/comment", ()):
                if word in comment.get("body", ""):
                    return NoticeReceipt(receiver_code=f"{key}#{comment['id']}")
        return None

    def _create(self, place: Place, summary: str, text: str) -> NoticeReceipt:
        content = {
            "serviceDeskId": place.desk_id,
            "requestTypeId": place.type_id,
            "requestFieldValues": {"summary": summary, "description": text},
        }
        made = self.http.write_json(method="POST", path=f"{API}/request", content=content)
        return NoticeReceipt(receiver_code=_answered(made, "issueKey"))

    def _comment(self, request: Record, text: str) -> NoticeReceipt:
        key = request["issueKey"]
        made = self.http.write_json(
            method="POST",
            path=f"{API}/request/{key}/comment",
            content={"body": text, "public": True},
        )
        return NoticeReceipt(receiver_code=f"{key}#{_answered(made, 'id')}")

    # -- asking ------------------------------------------------------------------------------------

    def _known_place(self) -> Place:
        if self.service_desk.isdecimal() and self.request_type.isdecimal():
            return Place(desk_id=self.service_desk, type_id=self.request_type)
        if not self._place:
            items: list[CheckItem] = []
            desk = self._desk(items)
            kind = None if desk is None else self._type(desk, items)
            if desk is None or kind is None:
                raise AskPerson(f"{self.connection.connection_key}: {items[-1].fix}")
            self._place.append(Place(desk_id=desk["id"], type_id=kind["id"]))
        return self._place[0]

    def _desk(self, items: list[CheckItem]) -> Record | None:
        desks = list(self._every(f"{API}/servicedesk", ()))
        items.append(CheckItem(name="credentials", is_good=True))
        names = {desk["id"]: desk["projectKey"] for desk in desks}
        return _only(desks, names, items, name="service_desk", wanted=self.service_desk)

    def _type(self, desk: Record, items: list[CheckItem]) -> Record | None:
        query = [("serviceDeskId", desk["id"]), ("expand", "field")]
        kinds = list(self._every(f"{API}/requesttype", query))
        names = {kind["id"]: kind["name"] for kind in kinds}
        return _only(kinds, names, items, name="request_type", wanted=self.request_type)

    def _rights(self, place: Place, *, is_safe: bool) -> CheckItem:
        """Ask what may be seen, and send a request that cannot come about: refused as invalid is good."""
        self._requests(place, words.key_word(self.connection.connection_key))
        if not is_safe:
            return CheckItem(name="rights", is_good=True)
        content = {
            "serviceDeskId": place.desk_id,
            "requestTypeId": place.type_id,
            "requestFieldValues": {},
        }
        try:
            self.http.write(method="POST", path=f"{API}/request", content=content)
        except Refused as error:
            is_good = error.reason == INVALID
            return CheckItem(name="rights", is_good=is_good, fix="" if is_good else f"{error}.")
        fix = "This request type takes a request without a summary, and one was raised: choose another."
        return CheckItem(name="rights", is_good=False, fix=fix)

    def _every(self, path: str, query: Sequence[tuple[str, str]]) -> Iterator[Record]:
        """Yield what a paged address holds, to its last page."""
        start = 0
        for _ in range(PAGES_MAX):
            asked = [*query, ("start", str(start)), ("limit", str(PAGE_RECORDS_MAX))]
            try:
                page = self.http.read_json(path=path, query=asked)
            except Refused as error:
                raise as_stream_error(error) from error
            values = _page(page, path, start=start)
            yield from values
            if page["isLastPage"]:
                return
            start += len(values)
        raise StreamBroken(f"{path} has more than {PAGES_MAX} pages")


def _page(page: Any, path: str, *, start: int) -> Sequence[Record]:
    try:
        values: Sequence[Record] = page["values"]
        is_whole = page["start"] == start and page["size"] == len(values)
        is_empty = not values and not page["isLastPage"]
    except (KeyError, TypeError) as error:
        raise StreamBroken(f"{path} sent a page that cannot be read") from error
    if not is_whole or is_empty:
        raise StreamBroken(f"{path} sent another page than was asked for")
    return values


def _only(
    found: Sequence[Record],
    names: Mapping[str, str],
    items: list[CheckItem],
    *,
    name: str,
    wanted: str,
) -> Record | None:
    meant = [one for one in found if wanted in (one["id"], names[one["id"]])]
    is_good = len(meant) == 1
    count = "None" if not meant else "More than one"
    seen = ", ".join(f"{words} ({one})" for one, words in sorted(names.items())) or "none"
    fix = "" if is_good else f"{count} is called {wanted}; this account sees {seen}."
    items.append(CheckItem(name=name, is_good=is_good, fix=fix))
    return meant[0] if is_good else None


def _form(kind: Record) -> CheckItem:
    """Say whether a request can be raised with a summary and a description alone."""
    form = _fields(kind)
    lacking = [name for name in _FIELDS if form and name not in form]
    asked = [
        one["name"]
        for name, one in form.items()
        if name not in _FIELDS and one.get("required") and not one.get("defaultValues")
    ]
    fixes = [f"Put {name} on its form." for name in lacking]
    fixes += [f"It also asks for {name}: give that a default, or choose another." for name in asked]
    return CheckItem(name="form", is_good=not fixes, fix=" ".join(fixes))


def _asks_for_summary(kind: Record) -> bool:
    summary = _fields(kind).get("summary", {})
    return bool(summary.get("required")) and not (
        summary.get("defaultValues") or summary.get("presetValues")
    )


def _fields(kind: Record) -> Mapping[str, Record]:
    told = (kind.get("fields") or {}).get("requestTypeFields") or ()
    return {one["fieldId"]: one for one in told}


def _is_open(request: Record) -> bool:
    return bool(request["currentStatus"].get("statusCategory") != "DONE")


def _value(request: Record, name: str) -> str:
    values = {one["fieldId"]: one.get("value") for one in request["requestFieldValues"]}
    return str(values.get(name) or "")


def _answered(made: Any, name: str) -> str:
    try:
        return str(made[name])
    except (KeyError, TypeError) as error:
        raise OutcomeUnknown(f"a request was answered without {name}") from error
