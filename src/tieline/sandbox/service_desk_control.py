"""The people of the desk: they set it up, retitle, answer and close requests, and grant rights."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

from tieline.sandbox.records import Change, Record
from tieline.sandbox.service_desk_model import (
    COMMENTS,
    DESKS,
    FIRST_IDS,
    OPEN_STATUS,
    REQUEST_TYPES,
    REQUESTS,
    Refusal,
)
from tieline.sandbox.wire import Request, Response, decode_json, json_response

if TYPE_CHECKING:
    from tieline.sandbox.service_desk import ServiceDeskServer

AGENT = {"account_id": "agent-1", "email": "agent@example.com", "name": "Ada Agent"}
FORM: tuple[Mapping[str, Any], ...] = (
    {
        "fieldId": "summary",
        "name": "Summary",
        "required": True,
        "defaultValues": [],
        "validValues": [],
        "jiraSchema": {"type": "string", "system": "summary"},
        "visible": True,
    },
    {
        "fieldId": "description",
        "name": "What has happened?",
        "required": False,
        "defaultValues": [],
        "validValues": [],
        "jiraSchema": {"type": "string", "system": "description"},
        "visible": True,
    },
)
STANDARD: Mapping[str, Any] = {
    "desks": [{"key": "FIN", "name": "Finance operations"}],
    "request_types": [{"desk": "FIN", "name": "Report a problem"}],
}


class ServiceDeskControl:
    """Do in one call what people do by hand in the product's pages."""

    def __init__(self, *, server: ServiceDeskServer) -> None:
        self._server = server
        self._store = server.store
        self._verbs: Mapping[str, Callable[[Mapping[str, Any]], object]] = {
            "load": self.load,
            "raise": self._raise,
            "edit": self._edit,
            "comment": self._comment,
            "move": self._move,
            "rights": self._rights,
            "index": self._index,
            "clock": self._set_clock,
        }

    def answer(self, request: Request) -> Response:
        """Answer one control request; the front has checked the token."""
        verb = request.path.removeprefix("/_sandbox/")
        if request.method == "GET" and verb == "journal":
            after = int(request.query.get("after", "0"))
            lines = self._store.journal(table=request.query.get("table"), after=after)
            return json_response({"journal": lines})
        if request.method != "POST" or verb not in self._verbs:
            return json_response({"message": f"there is no control {verb}"}, status=404)
        try:
            return json_response(self._verbs[verb](decode_json(request.body)))
        except (KeyError, TypeError) as error:
            raise Refusal(422, f"{verb} needs {error}") from error

    def load(self, body: Mapping[str, Any]) -> Mapping[str, Mapping[str, str]]:
        """Set up desks by key and request types by name; return their ids."""
        desks = {desk["key"]: desk for desk in self._store.table(DESKS).values()}
        changes: list[Change] = []
        for row in body.get("desks", []):
            identity = self._store.next_id(DESKS, first=FIRST_IDS[DESKS])
            desks[row["key"]] = {"id": identity, "project_id": identity + 11_000, **row}
            changes.append(self._change(DESKS, desks[row["key"]], "create"))
        kinds: dict[str, Record] = {}
        for row in body.get("request_types", []):
            kinds[row["name"]] = {
                "id": self._store.next_id(REQUEST_TYPES, first=FIRST_IDS[REQUEST_TYPES]),
                "desk_id": desks[row["desk"]]["id"],
                "name": row["name"],
                "description": row.get("description", row["name"]),
                "fields": [*FORM, *row.get("fields", [])],
            }
            changes.append(self._change(REQUEST_TYPES, kinds[row["name"]], "create"))
        self._store.commit(changes)
        return {
            "desks": {key: str(desk["id"]) for key, desk in desks.items()},
            "request_types": {name: str(kind["id"]) for name, kind in kinds.items()},
        }

    def _raise(self, body: Mapping[str, Any]) -> object:
        """Raise a request as another customer does in the portal, and perhaps let us take part."""
        customer = {"account_id": "customer-1", "email": "c@example.com", "name": "Cy Customer"}
        kinds = self._store.table(REQUEST_TYPES)
        record = self._server.new_request(
            kinds[int(body["request_type_id"])], dict(body["fields"]), reporter=customer
        )
        if body.get("shared"):
            record["participants"] = [self._server.account["account_id"]]
        self._store.commit([self._change(REQUESTS, record, "create")])
        return {"key": record["key"]}

    def _edit(self, body: Mapping[str, Any]) -> object:
        request = self._server.get_request(body["key"])
        changed = {**request, "fields": {**request["fields"], **body["fields"]}}
        self._store.commit([self._change(REQUESTS, changed, "update")])
        return {"key": request["key"]}

    def _comment(self, body: Mapping[str, Any]) -> object:
        """Answer a request as an agent does, ``count`` times."""
        request = self._server.get_request(body["key"])
        comments = [
            self._server.new_comment(
                request, body["body"], is_public=body.get("public", True), author=AGENT
            )
            for _ in range(body.get("count", 1))
        ]
        self._store.commit([self._change(COMMENTS, one, "create") for one in comments])
        return {"ids": [one["id"] for one in comments]}

    def _move(self, body: Mapping[str, Any]) -> object:
        """Bring a request into a status, whatever the workflow says; without one, open it."""
        status = (body["status"], body["category"]) if "status" in body else OPEN_STATUS
        changed = self._server.moved(self._server.get_request(body["key"]), status)
        self._store.commit([self._change(REQUESTS, changed, "update")])
        return {"status": status[0]}

    def _rights(self, body: Mapping[str, Any]) -> object:
        self._server.refused = frozenset(body["refused"])
        return {"refused": sorted(self._server.refused)}

    def _index(self, body: Mapping[str, Any]) -> object:
        self._server.index_lag_ms = int(body["lag_ms"])
        return {"lag_ms": self._server.index_lag_ms}

    def _set_clock(self, body: Mapping[str, Any]) -> object:
        self._server.clock.set(datetime.fromisoformat(body["now"]))
        return {"now": self._server.clock.now().isoformat()}

    def _change(self, table: str, record: Record, operation: str) -> Change:
        return Change(
            table=table,
            record_id=record["id"],
            record=record,
            at=self._server.clock.now(),
            by="person",
            operation=operation,
        )
