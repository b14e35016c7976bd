"""HubSpot over HTTP: pages, joins, single records and status values; no business words."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any
from uuid import UUID

import httpx

from tieline.canonical import Command, FieldCommand, StatusCommand
from tieline.connectors.hubspot import properties as names
from tieline.connectors.hubspot import translate as words
from tieline.connectors.hubspot.properties import Mapped
from tieline.connectors.hubspot.webhook import verify_webhook
from tieline.kernel.errors import (
    AskPerson,
    MendTieline,
    Refused,
    StreamBroken,
    TielineError,
)
from tieline.sdk import (
    Capabilities,
    CheckItem,
    CheckReport,
    Connection,
    Hint,
    MissingField,
    Page,
    RawRecord,
    Receipt,
    Stored,
    Translated,
    Untranslatable,
    load_manifest,
    stands,
)
from tieline.sdk.http import HttpClient, NotFound, Pace, as_stream_error
from tieline.sdk.reach import believed, reached
from tieline.sdk.slices import (
    NotJson,
    array_slices,
    decode_exact,
    decode_page,
    element_slices,
    envelope,
    member_slices,
    unnamed,
)

MANIFEST: Capabilities = load_manifest(__package__)
LIST_RECORDS_MAX = 100
SEARCH_RECORDS_MAX = 200
SEARCH_REACH_MAX = 10_000  # "Paging through search results is limited to 10,000 results."
BATCH_IDS_MAX = 100
PAGES_MAX = 100_000
SEARCH_INTERVAL_MS = 250  # Search has a limit of its own, 5 per second, apart from the budget.

# The vendor's description names deals by their type number, the others by their word.
_PLACES = {
    "companies": "companies",
    "contacts": "contacts",
    "deals": "0-3",
    "line_items": "line_items",
}
_MODIFIED = {
    "companies": "hs_lastmodifieddate",
    "contacts": "lastmodifieddate",
    "deals": "hs_lastmodifieddate",
    "line_items": "hs_lastmodifieddate",
}
_STATUS_OBJECTS = {"deal": "deals", "deals": "deals", "companies": "companies"}

Raw = Mapping[str, Any]


def build(
    connection: Connection, *, transport: httpx.BaseTransport | None = None
) -> HubSpotConnector:
    """Make the connector of one HubSpot portal."""
    headers = {
        "Authorization": f"Bearer {connection.secrets['access_token']}",
        "Accept": "application/json",
    }
    return HubSpotConnector(
        connection=connection,
        http=HttpClient(connection=connection, headers=headers, transport=transport),
        mapping=names.mapped(connection.config),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Found:
    """One record of a page: its exact bytes and what is needed to join it; one without an id joins nothing."""

    ref: str
    body: bytes
    raw: Raw
    is_named: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class _Batch:
    """One page of records before they are joined."""

    found: tuple[_Found, ...]
    total: int | None
    after: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class HubSpotConnector:
    """Read one HubSpot portal and report status values to its deals and companies."""

    connection: Connection
    http: HttpClient
    mapping: Mapped
    _searches: Pace = field(
        default_factory=lambda: Pace(interval_ms=SEARCH_INTERVAL_MS), init=False, repr=False
    )
    _known_stages: list[Mapping[str, bytes]] = field(default_factory=list, init=False, repr=False)

    def check(self) -> CheckReport:
        """Try the token, the mapping's names and the properties it needs."""
        items = [
            CheckItem(name="mapping", is_good=False, fix=mistake)
            for mistake in names.mapping_mistakes(self.connection.config)
        ] or [CheckItem(name="mapping", is_good=True)]
        try:
            missing = self.missing_properties()
            stages = self._read_stages()
        except TielineError as error:
            return CheckReport(
                items=(*items, CheckItem(name="credentials", is_good=False, fix=str(error)))
            )
        items.append(CheckItem(name="credentials", is_good=True))
        items += [
            CheckItem(
                name="property",
                is_good=False,
                fix=f"{one.object} have no property {one.name}; `tieline connect` can create it.",
            )
            for one in missing
        ]
        items += [
            CheckItem(name="won_stages", is_good=False, fix=f"No pipeline has a stage {stage}.")
            for stage in sorted((self.mapping.won_stages or frozenset()) - set(stages))
        ]
        return CheckReport(items=tuple(items))

    def missing_properties(self) -> tuple[MissingField, ...]:
        """Return every property that the mapping names and the portal does not have."""
        missing = []
        for object_name, place in _PLACES.items():
            known = {row["name"] for row in self._results(f"/crm/v3/properties/{place}")}
            wanted = set(self.mapping.properties_of(object_name))
            reported = MANIFEST.write_of(StatusCommand.noun).fields.get(object_name, ())
            wanted |= {self.mapping.status[name] for name in reported}
            missing += [
                MissingField(object=object_name, name=name) for name in sorted(wanted - known)
            ]
        return tuple(missing)

    def create_properties(self, missing: Sequence[MissingField]) -> tuple[str, ...]:
        """Create what a person agreed to create; return their names."""
        for one in missing:
            self.http.write_json(
                method="POST",
                path=f"/crm/v3/properties/{_PLACES[one.object]}",
                content=names.definition_of(object_name=one.object, name=one.name),
            )
        return tuple(one.name for one in missing)

    def read_webhook(
        self, *, method: str, url: str, body: bytes, headers: Mapping[str, str], now: datetime
    ) -> Sequence[Hint]:
        """Return the hints of a call with a fresh signature; behind a proxy its own address counts."""
        if "client_secret" not in self.connection.secrets:
            raise AskPerson("no client_secret is stored to know webhooks by")
        return verify_webhook(
            method=method,
            url=str(self.connection.config.get("webhook_url", url)),
            body=body,
            headers=headers,
            secret=self.connection.secrets["client_secret"],
            now=now,
        )

    # -- reading -----------------------------------------------------------------------------------

    def pages(self, *, stream: str, cursor: str | None, is_full: bool) -> Iterator[Page]:
        """Yield a stream from its cursor; the cursor moves only with a page that ends a read."""
        overlap = timedelta(seconds=MANIFEST.stream_of(stream).overlap_seconds)
        self._known_stages.clear()
        marks = {} if is_full else self._marks(cursor)
        if stream == "owners":
            batches = self._owners()
        elif stream in marks:
            batches = self._changed(stream, marks, overlap)
        else:
            batches = self._listed(stream)
        return self._joined(stream, batches, marks)

    def read_one(self, *, object: str, source_ref: str) -> RawRecord | None:
        """Return the record, or None for the vendor's 404; a line item is told as its deal."""
        if object == "owners":
            found = self._one_of(f"/crm/v3/owners/{_number(source_ref)}", ())
            return None if found is None else _record("owners", found, found.body)
        if object == "line_items":
            deals = self._linked("line_items", "deals", [source_ref]).get(source_ref, [])
            return self._read_object("deals", self._deal_of(deals[0])) if deals else None
        return self._read_object(object, source_ref)

    def read_many(self, *, object: str, source_refs: Sequence[str]) -> Sequence[RawRecord]:
        """Return those of the records that are there; so many at once cost as few calls as one."""
        if object in ("companies", "deals") and len(source_refs) > 1:
            try:
                return self._join(object, self._read_batch(object, source_refs))
            except StreamBroken:
                # One of them is gone, and which is told of each alone.
                pass
        alone = (self.read_one(object=object, source_ref=ref) for ref in source_refs)
        return tuple(record for record in alone if record is not None)

    def _read_object(self, stream: str, source_ref: str) -> RawRecord | None:
        asked = [("properties", ",".join(self._asked_properties(stream)))]
        found = self._one_of(f"/crm/v3/objects/{_PLACES[stream]}/{_number(source_ref)}", asked)
        return None if found is None else self._join(stream, (found,))[0]

    def translate(self, *, record: RawRecord) -> Translated | Untranslatable:
        """Return the canonical form; pure."""
        return words.translate(record=record, mapping=self.mapping)

    def _joined(
        self, stream: str, batches: Iterator[_Batch], marks: Mapping[str, datetime]
    ) -> Iterator[Page]:
        seen: set[str] = set()
        read_to = dict(marks)
        for batch in batches:
            fresh = tuple(one for one in batch.found if one.ref not in seen)
            seen |= {one.ref for one in fresh}
            _reach(read_to, stream, batch.found)
            is_last = batch.after is None
            yield Page(
                records=self._join(stream, fresh),
                cursor=_cursor(self._vouched(read_to) if is_last else marks),
                total=batch.total,
                is_last=is_last,
            )

    def _marks(self, cursor: str | None) -> dict[str, datetime]:
        told = {
            name: believed(at, connection=self.connection) for name, at in _marks(cursor).items()
        }
        return {name: at for name, at in told.items() if at is not None}

    def _vouched(self, marks: Mapping[str, datetime]) -> dict[str, datetime]:
        return {name: reached(at, http=self.http) for name, at in marks.items()}

    def _owners(self) -> Iterator[_Batch]:
        after: str | None = None
        for _ in range(PAGES_MAX):
            query = [("limit", str(LIST_RECORDS_MAX)), *([("after", after)] if after else [])]
            batch = self._page("/crm/v3/owners", query=query)
            yield batch
            after = batch.after
            if after is None:
                return

    def _listed(self, stream: str) -> Iterator[_Batch]:
        """List everything; the number that search tells must be what came, or a page is missing."""
        path = f"/crm/v3/objects/{_PLACES[stream]}"
        asked = [
            ("limit", str(LIST_RECORDS_MAX)),
            ("properties", ",".join(self._asked_properties(stream))),
        ]
        seen: set[str] = set()
        after: str | None = None
        for _ in range(PAGES_MAX):
            batch = self._page(path, query=[*asked, *([("after", after)] if after else [])])
            _add_once(stream, seen, batch.found)
            after = batch.after
            if after is not None:
                yield batch
                continue
            total = self._count(stream)
            if total != len(seen):
                raise StreamBroken(f"{stream} has {total} records but sent {len(seen)}")
            yield _Batch(found=batch.found, total=total, after=None)
            return
        raise StreamBroken(f"{stream} has more than {PAGES_MAX} pages")

    def _count(self, stream: str) -> int:
        content = {"filterGroups": [], "limit": 1, "after": "0", "properties": [], "sorts": []}
        answer = self._search(stream, content)
        return _whole(answer.total)

    def _changed(
        self, stream: str, marks: Mapping[str, datetime], overlap: timedelta
    ) -> Iterator[_Batch]:
        """Yield what changed; a deal has also changed when one of its line items has."""
        if stream == "deals":
            since = marks.get("line_items", marks[stream])
            yield from self._deals_of_changed_lines(since - overlap)
        yield from self._search_all(stream, marks[stream] - overlap)

    def _deals_of_changed_lines(self, since: datetime) -> Iterator[_Batch]:
        for batch in self._search_all("line_items", since):
            links = self._linked("line_items", "deals", [one.ref for one in batch.found])
            refs = sorted({self._deal_of(link) for to in links.values() for link in to}, key=int)
            if refs:
                yield _Batch(found=self._read_batch("deals", refs), total=None, after="more")

    def _deal_of(self, link: bytes) -> str:
        ref = _to(link)
        if ref is None:
            raise StreamBroken("a line item belongs to a deal that no number names")
        return ref

    def _search_all(self, stream: str, since: datetime) -> Iterator[_Batch]:
        """Search in order of change, in windows that stay within the vendor's reach."""
        start = since
        while True:
            window: set[str] = set()
            newest = start
            for batch in self._search_window(stream, start):
                _add_once(stream, window, batch.found)
                newest = max([newest, *_modified(stream, batch.found)])
                is_reached = batch.after is None or len(window) >= SEARCH_REACH_MAX
                if is_reached and len(window) < min(_whole(batch.total), SEARCH_REACH_MAX):
                    raise StreamBroken(f"{stream} has {batch.total} records, sent {len(window)}")
                is_end = batch.after is None and _whole(batch.total) <= SEARCH_REACH_MAX
                yield batch if is_end or batch.after else _with_more(batch)
                if is_end:
                    return
                if is_reached:
                    break
            if newest == start:
                raise StreamBroken(f"more than {SEARCH_REACH_MAX} {stream} changed at one instant")
            start = newest

    def _search_window(self, stream: str, since: datetime) -> Iterator[_Batch]:
        total: int | None = None
        after: str | None = None
        while True:
            content = {
                "filterGroups": [
                    {
                        "filters": [
                            {
                                "propertyName": _MODIFIED[stream],
                                "operator": "GTE",
                                "value": str(_milliseconds(since)),
                            }
                        ]
                    }
                ],
                "sorts": [_MODIFIED[stream]],  # Ascending.
                "properties": self._asked_properties(stream),
                "limit": SEARCH_RECORDS_MAX,
                "after": after or "0",
            }
            batch = self._search(stream, content)
            total = batch.total if total is None else total
            if batch.total != total:
                raise StreamBroken(f"{stream} changed from {total} to {batch.total} while read")
            yield batch
            after = batch.after
            if after is None:
                return

    def _asked_properties(self, stream: str) -> list[str]:
        return sorted({*self.mapping.properties_of(stream), _MODIFIED[stream]})

    def _search(self, stream: str, content: Raw) -> _Batch:
        self._searches.wait()
        return self._page(
            f"/crm/v3/objects/{_PLACES[stream]}/search", method="POST", content=content
        )

    def _page(
        self,
        path: str,
        *,
        query: Sequence[tuple[str, str]] = (),
        method: str = "GET",
        content: Raw | None = None,
    ) -> _Batch:
        try:
            reply = self.http.read(path=path, query=query, method=method, content=content)
        except Refused as error:
            raise as_stream_error(error) from error
        try:
            page = decode_page(reply.body)
            slices = array_slices(reply.body, field="results")
            found = tuple(
                _found(raw, body) for raw, body in zip(page["results"], slices, strict=True)
            )
            after = ((page.get("paging") or {}).get("next") or {}).get("after")
            total = page.get("total")
        except (NotJson, KeyError, TypeError, ValueError, AttributeError) as error:
            raise StreamBroken(f"{path} sent a page that cannot be read") from error
        return _Batch(found=found, total=total, after=after)

    def _one_of(self, path: str, query: Sequence[tuple[str, str]]) -> _Found | None:
        try:
            reply = self.http.read(path=path, query=query)
        except NotFound:
            return None
        try:
            raw = decode_exact(reply.body)
            return _Found(ref=words.reference(raw), body=reply.body, raw=raw)
        except (NotJson, KeyError, TypeError) as error:
            raise StreamBroken(f"{path} sent a record that cannot be read") from error

    # -- joining: every body is an envelope of exact slices -----------------------------------------

    def _join(self, stream: str, found: Sequence[_Found]) -> tuple[RawRecord, ...]:
        """Put each record together with what it refers to.

        The body is {"deal": ..., "companies": [...], "line_items": [...], "stage": ...} (and so on
        for the other streams): the vendor's own bytes side by side, none of them written anew.
        """
        if not found:
            return ()
        if stream == "owners":
            return tuple(_record(stream, one, one.body) for one in found)
        refs = [one.ref for one in found if one.is_named]
        companies = self._linked(stream, "companies", refs)
        if stream != "deals":
            member = {"companies": "company", "contacts": "contact"}[stream]
            return tuple(
                _record(
                    stream,
                    one,
                    envelope({member: one.body, "companies": companies.get(one.ref, [])}),
                )
                for one in found
            )
        lines = self._lines_of(refs)
        stages = self._read_stages()
        return tuple(
            self._deal(one, companies.get(one.ref, []), lines.get(one.ref, []), stages)
            for one in found
        )

    def _deal(
        self,
        deal: _Found,
        companies: list[bytes],
        lines: list[_Found],
        stages: Mapping[str, bytes],
    ) -> RawRecord:
        told = _member(deal.raw, "properties")
        stage = str(_member(told, self.mapping.fields["deals"]["stage"]))
        body = envelope(
            {
                "deal": deal.body,
                "companies": companies,
                "line_items": [line.body for line in lines],
                "stage": stages.get(stage, b"null"),
            }
        )
        moments = [_changed_at(one) for one in (deal, *lines)]
        known = [moment for moment in moments if moment is not None]
        return RawRecord(
            object="deals",
            source_ref=deal.ref,
            body=body,
            source_at=max(known) if len(known) == len(moments) else None,
        )

    def _lines_of(self, deals: Sequence[str]) -> dict[str, list[_Found]]:
        named: dict[str, list[str]] = {}
        unnamed: dict[str, list[_Found]] = {}
        for deal, targets in self._linked("deals", "line_items", deals).items():
            named[deal], unnamed[deal] = [], []
            for link in targets:
                ref = _to(link)
                if ref is not None:
                    named[deal].append(ref)
                else:
                    # It stands there as its link: its deal is not understood without it.
                    unnamed[deal].append(_Found(ref="", body=link, raw={}))
        wanted = sorted({ref for refs in named.values() for ref in refs}, key=int)
        lines = {line.ref: line for line in self._read_batch("line_items", wanted)}
        return {
            deal: [*(lines[ref] for ref in sorted(refs, key=int)), *unnamed[deal]]
            for deal, refs in named.items()
        }

    def _read_batch(self, object_name: str, refs: Sequence[str]) -> tuple[_Found, ...]:
        found: list[_Found] = []
        for first in range(0, len(refs), BATCH_IDS_MAX):
            asked = refs[first : first + BATCH_IDS_MAX]
            content = {
                "inputs": [{"id": ref} for ref in asked],
                "properties": self._asked_properties(object_name),
                "propertiesWithHistory": [],
            }
            path = f"/crm/v3/objects/{_PLACES[object_name]}/batch/read"
            batch = self._page(path, method="POST", content=content)
            if {one.ref for one in batch.found} != set(asked):
                raise StreamBroken(f"{object_name} did not send all of the {len(asked)} asked for")
            found += batch.found
        return tuple(found)

    def _linked(self, stream: str, other: str, refs: Sequence[str]) -> dict[str, list[bytes]]:
        """Return the exact associations of each record, all pages of them."""
        path = f"/crm/v4/associations/{_PLACES[stream]}/{_PLACES[other]}/batch/read"
        links: dict[str, list[bytes]] = {}
        for first in range(0, len(refs), BATCH_IDS_MAX):
            inputs = [{"id": ref} for ref in refs[first : first + BATCH_IDS_MAX]]
            while inputs:
                inputs = self._links_page(path, inputs, links)
        return links

    def _links_page(
        self, path: str, inputs: list[dict[str, str]], links: dict[str, list[bytes]]
    ) -> list[dict[str, str]]:
        try:
            reply = self.http.read(method="POST", path=path, content={"inputs": inputs})
        except Refused as error:
            raise as_stream_error(error) from error
        more = []
        try:
            answer = decode_exact(reply.body)
            _refuse_partial(path, answer)
            for body in array_slices(reply.body, field="results"):
                members = member_slices(body)
                ref = str(decode_exact(members["from"])["id"])
                links.setdefault(ref, []).extend(element_slices(members["to"]))
                paging = decode_exact(members.get("paging", b"{}"))
                if after := (paging.get("next") or {}).get("after"):
                    more.append({"id": ref, "after": str(after)})
        except (NotJson, KeyError, TypeError, AttributeError) as error:
            raise StreamBroken(f"{path} sent associations that cannot be read") from error
        return more

    def _read_stages(self) -> Mapping[str, bytes]:
        """Return the exact description of every stage of every pipeline, read once per pass."""
        known = self._known_stages[:1]
        if known:
            return known[0]
        stages = {
            str(decode_exact(body)["id"]): body
            for pipeline in self._page(f"/crm/v3/pipelines/{_PLACES['deals']}").found
            for body in array_slices(pipeline.body, field="stages")
        }
        self._known_stages.append(stages)
        return stages

    def _results(self, path: str) -> Sequence[Raw]:
        try:
            results: Sequence[Raw] = self.http.read_json(path=path)["results"]
        except NotFound as error:
            raise AskPerson(f"{error}: check address and permissions") from error
        return results

    # -- writing -----------------------------------------------------------------------------------

    def write(self, *, command: Command) -> Receipt:
        """Set the values on the record; setting them twice leaves the same record."""
        if isinstance(command, FieldCommand):
            return self._set_fields(command)
        status = _status(command)
        changes = {self._property(name): value for name, value in status.values.items()}
        self.http.write_json(
            method="PATCH", path=_status_path(status), content={"properties": changes}
        )
        return Receipt(target_code=status.record_code)

    def probe(self, *, command: Command) -> Sequence[Stored]:
        """Return the record when it holds every asked value; else nothing stands there yet."""
        if isinstance(command, FieldCommand):
            return self._probe_fields(command)
        status = _status(command)
        asked = {name: self._property(name) for name in status.values}
        query = [("properties", ",".join(sorted(asked.values())))]
        found = self._one_of(_status_path(status), query)
        if found is None:
            return []
        held = found.raw["properties"]
        is_same = all(
            _is_equal(status.values[name], held.get(place)) for name, place in asked.items()
        )
        if not is_same:
            return []
        return [Stored(target_code=status.record_code, content=status.content())]

    def undo(self, *, noun: str, entity_code: str, target_code: str, business_key: UUID) -> str:
        """Refuse: a reported value is followed by the next one, never taken back."""
        _ = entity_code, business_key
        raise Refused(
            f"a {noun} reported to HubSpot record {target_code} is not taken back",
            reason="hubspot.no_undo",
        )

    def _set_fields(self, command: FieldCommand) -> Receipt:
        places = self.mapping.fields[command.object]
        self.http.write_json(
            method="PATCH",
            path=_record_path(command),
            content={"properties": {places[name]: text for name, text in command.values.items()}},
        )
        return Receipt(target_code=command.record_code)

    def _probe_fields(self, command: FieldCommand) -> Sequence[Stored]:
        places = {name: self.mapping.fields[command.object][name] for name in command.values}
        query = [("properties", ",".join(sorted(places.values())))]
        found = self._one_of(_record_path(command), query)
        if found is None:
            return []
        held = {name: found.raw["properties"].get(place) or "" for name, place in places.items()}
        return stands(command=command, held=held)

    def _property(self, name: str) -> str:
        places = self.mapping.status
        if name in places:
            return places[name]
        if name in places.values():
            return name
        raise Refused(f"{name} is not a value that is reported", reason="hubspot.unknown_value")


def _status(command: Command) -> StatusCommand:
    if not isinstance(command, StatusCommand) or command.object not in _STATUS_OBJECTS:
        raise MendTieline(f"HubSpot does not write {command.noun}")
    return command


def _record_path(command: FieldCommand) -> str:
    return f"/crm/v3/objects/{_PLACES[command.object]}/{_number(command.record_code)}"


def _status_path(command: StatusCommand) -> str:
    place = _PLACES[_STATUS_OBJECTS[command.object]]
    return f"/crm/v3/objects/{place}/{_number(command.record_code)}"


def _is_equal(asked: str, held: str | None) -> bool:
    if asked == (held or ""):
        return True
    try:
        return Decimal(asked) == Decimal(held or "x")
    except InvalidOperation:
        return False


def _refuse_partial(path: str, answer: Raw) -> None:
    """Accept of the errors in a 207 only "there are none", which is an answer."""
    for error in answer.get("errors") or ():
        if error.get("subCategory") != "crm.associations.NO_ASSOCIATIONS_FOUND":
            raise StreamBroken(f"{path} could not answer for all records")


def _record(stream: str, found: _Found, body: bytes) -> RawRecord:
    return RawRecord(
        object=stream,
        source_ref=found.ref,
        body=body,
        source_at=_changed_at(found),
    )


def _with_more(batch: _Batch) -> _Batch:
    return _Batch(found=batch.found, total=batch.total, after="more")


def _add_once(stream: str, seen: set[str], found: Sequence[_Found]) -> None:
    refs = {one.ref for one in found}
    if len(refs) < len(found) or refs & seen:
        raise StreamBroken(f"{stream} sent a record twice in one read")
    seen |= refs


def _found(raw: Any, body: bytes) -> _Found:
    """Return a record of a page; what has no id is named after its bytes, so that it is kept and told of."""
    try:
        return _Found(ref=words.reference(raw), body=body, raw=raw)
    except (KeyError, TypeError):
        return _Found(ref=unnamed(body), body=body, raw={}, is_named=False)


def _member(raw: Any, name: str) -> Any:
    return raw.get(name) if isinstance(raw, Mapping) else None


def _to(link: bytes) -> str | None:
    """Return the number of a record that a link names, or None where it names none."""
    told = str(_member(decode_exact(link), "toObjectId"))
    return told if told.isdecimal() else None


def _number(text: str) -> str:
    if not text.isdecimal():
        raise AskPerson(f"{text!r} is not a number of a HubSpot record")
    return text


def _whole(total: int | None) -> int:
    if not isinstance(total, int):
        raise StreamBroken("a search did not tell its total")
    return total


def _modified(stream: str, found: Sequence[_Found]) -> list[datetime]:
    """Return when records changed, as far as they tell it."""
    told = [_member(_member(one.raw, "properties"), _MODIFIED[stream]) for one in found]
    return [moment for text in told if (moment := _instant(text)) is not None]


def _changed_at(found: _Found) -> datetime | None:
    return _instant(_member(found.raw, "updatedAt"))


def _instant(text: Any) -> datetime | None:
    """Return an instant, or None: a record whose own cannot be read is not understood either."""
    try:
        return words.instant(text)
    except (ValueError, TypeError, ArithmeticError):
        return None


def _milliseconds(moment: datetime) -> int:
    since = moment.astimezone(UTC) - datetime(1970, 1, 1, tzinfo=UTC)
    return max(since // timedelta(milliseconds=1), 0)


def _reach(read_to: dict[str, datetime], stream: str, found: Sequence[_Found]) -> None:
    if stream == "owners":
        return
    for moment in _modified(stream, found):
        read_to[stream] = max(read_to.get(stream, moment), moment)


def _marks(cursor: str | None) -> dict[str, datetime]:
    told = json.loads(cursor) if cursor else {}
    return {name: datetime.fromisoformat(text) for name, text in told.items()}


def _cursor(marks: Mapping[str, datetime]) -> str:
    return json.dumps({name: moment.isoformat() for name, moment in sorted(marks.items())})
