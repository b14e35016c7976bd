"""The people of the portal: they load records, win and lose deals, and edit, at their own instants."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from tieline.sandbox.hubspot_catalog import LOST, WON
from tieline.sandbox.hubspot_model import (
    CHILD_TO_PARENT,
    COMPANIES,
    CONTACTS,
    DEALS,
    LINE_ITEMS,
    OWNERS,
    PARENT_TO_CHILD,
    Invalid,
    ObjectType,
    get_object_type,
    instant,
)
from tieline.sandbox.hubspot_webhooks import WebhookTarget
from tieline.sandbox.records import Change, Record
from tieline.sandbox.wire import Request, Response, decode_json, json_response

if TYPE_CHECKING:
    from tieline.sandbox.hubspot import HubSpotServer

_LOADED = (COMPANIES, CONTACTS, DEALS, LINE_ITEMS)
_SHOWN = ("dealname", "amount", "deal_currency_code")


class HubSpotControl:
    """Do in one call what people do by hand in the product's pages."""

    def __init__(self, *, server: HubSpotServer) -> None:
        self._server = server
        self._verbs: Mapping[str, Callable[[Mapping[str, Any]], object]] = {
            "load": self._load,
            "win": lambda body: self._close(body, stage=WON),
            "lose": lambda body: self._close(body, stage=LOST),
            "edit": self._edit,
            "archive": self._archive,
            "webhooks": self._aim,
            "clock": self._set_clock,
        }

    def answer(self, request: Request) -> Response:
        """Answer one control request; the front has checked the token."""
        verb = request.path.removeprefix("/_sandbox/")
        if request.method == "GET" and verb == "journal":
            after = int(request.query.get("after", "0"))
            lines = self._server.store.journal(table=request.query.get("table"), after=after)
            return json_response({"journal": lines})
        if request.method == "GET" and verb == "deals":
            return json_response({"deals": self._open_deals()})
        if request.method == "GET" and verb == "webhooks":
            hooks = self._server.webhooks
            return json_response({"sent": hooks.sent, "failed": hooks.failed})
        if request.method != "POST" or verb not in self._verbs:
            return json_response({"message": f"there is no control {verb}"}, status=404)
        try:
            return json_response(self._verbs[verb](decode_json(request.body)))
        except (KeyError, TypeError) as error:
            raise Invalid(f"{verb} needs {error}") from error

    def _load(self, body: Mapping[str, Any]) -> object:
        """Load definitions, owners and objects by key, then the associations between them."""
        at = self._at(body)
        for word, rows in body.get("properties", {}).items():
            for row in rows:
                self._server.define_property(get_object_type(word), row, at=at, by="person")
        self._load_owners(body.get("owners", []), at)
        ids = {kind.table: self._load_objects(kind, body, at) for kind in _LOADED}
        for link in body.get("associations", []):
            self._link(link, ids, at)
        return {"ids": ids}

    def _load_owners(self, rows: list[Mapping[str, Any]], at: datetime) -> None:
        self._server.store.commit(
            [
                Change(
                    table=OWNERS,
                    record_id=int(row["id"]),
                    record={**row, "id": int(row["id"]), "created_at": instant(at)},
                    at=at,
                    by="person",
                    operation="create",
                )
                for row in rows
            ]
        )

    def _load_objects(
        self, kind: ObjectType, body: Mapping[str, Any], at: datetime
    ) -> dict[str, int]:
        ids = {}
        changes = []
        for row in body.get(kind.table, []):
            moment = _moment(row["at"]) if "at" in row else at
            record = self._server.new_object(kind, row["properties"], at=moment)
            record["_key"] = str(row["key"])
            ids[record["_key"]] = record["id"]
            changes.append(
                Change(
                    table=kind.table,
                    record_id=record["id"],
                    record=record,
                    at=moment,
                    by="person",
                    operation="create",
                )
            )
        self._server.store.commit(changes)
        return ids

    def _link(
        self, link: Mapping[str, Any], ids: Mapping[str, Mapping[str, int]], at: datetime
    ) -> None:
        source, target = get_object_type(link["from"][0]), get_object_type(link["to"][0])
        source_id = ids[source.table][link["from"][1]]
        target_id = ids[target.table][link["to"][1]]
        is_parent = link.get("type") == "parent"
        self._server.link(
            source,
            source_id,
            target,
            target_id,
            at=at,
            by="person",
            types=(CHILD_TO_PARENT, PARENT_TO_CHILD) if is_parent else None,
        )
        if is_parent:
            child = self._server.store.table(source.table)[source_id]
            self._change(source, child, {"hs_parent_company_id": str(target_id)}, at)

    def _close(self, body: Mapping[str, Any], *, stage: str) -> object:
        at = self._at(body)
        deal = self._find(DEALS, body["deal_id"])
        self._change(
            DEALS,
            deal,
            {
                "dealstage": stage,
                "closedate": instant(at),
                "hs_is_closed": "true",
                "hs_is_closed_won": str(stage == WON).lower(),
            },
            at,
        )
        return {"deal_id": str(deal["id"]), "dealstage": stage}

    def _open_deals(self) -> list[Mapping[str, object]]:
        """Return the deals that are neither won nor lost, as the pipeline shows them."""
        return [
            {
                "key": deal["_key"],
                "deal_id": str(deal["id"]),
                **{name: deal["properties"].get(name) for name in _SHOWN},
            }
            for deal in self._server.store.table(DEALS.table).values()
            if not deal["archived"] and deal["properties"].get("dealstage") not in (WON, LOST)
        ]

    def _edit(self, body: Mapping[str, Any]) -> object:
        kind = get_object_type(body["object"])
        record = self._find(kind, body["id"])
        self._change(kind, record, body["properties"], self._at(body))
        return {"id": str(record["id"])}

    def _archive(self, body: Mapping[str, Any]) -> object:
        kind = get_object_type(body["object"])
        at = self._at(body)
        record = self._find(kind, body["id"])
        gone = {**record, "archived": True, "updated_at": instant(at)}
        self._server.commit(kind, gone, at=at, by="person", operation="archive", changed=())
        return {"id": str(record["id"])}

    def _change(
        self, kind: ObjectType, record: Record, given: Mapping[str, Any], at: datetime
    ) -> None:
        changed = self._server.changed_object(kind, record, given, at=at)
        self._server.commit(
            kind, changed, at=at, by="person", operation="update", changed=list(given)
        )

    def _find(self, kind: ObjectType, ref: object) -> Record:
        """Return an object by its id or by the key it was loaded with."""
        table = self._server.store.table(kind.table)
        if str(ref).isdecimal() and int(str(ref)) in table:
            return table[int(str(ref))]
        for record in table.values():
            if record.get("_key") == str(ref):
                return record
        raise Invalid(f"there is no {kind.singular} {ref}")

    def _aim(self, body: Mapping[str, Any]) -> object:
        url = body["target"]
        self._server.webhooks.target = (
            WebhookTarget(
                url=url,
                duplicates=int(body.get("duplicates", 0)),
                is_reordered=bool(body.get("reorder", False)),
            )
            if url
            else None
        )
        return {"target": url}

    def _set_clock(self, body: Mapping[str, Any]) -> object:
        self._server.clock.set(_moment(body["now"]))
        return {"now": self._server.clock.now().isoformat()}

    def _at(self, body: Mapping[str, Any]) -> datetime:
        return _moment(body["at"]) if "at" in body else self._server.clock.now()


def _moment(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise Invalid(f"{text} says no zone")
    return moment.astimezone(UTC)
