"""Tryton's JSON-RPC from the sandbox's side: enough to seed a firm and to look at it."""

from __future__ import annotations

import base64
import json
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

import httpx

_CALL_SECONDS_MAX = 120


class RpcError(Exception):
    """Carry what Tryton said no to."""


class RpcSession:
    """Hold one user's session with one Tryton database."""

    def __init__(self, *, url: str, database: str, login: str, password: str) -> None:
        self._http = httpx.Client(timeout=_CALL_SECONDS_MAX, trust_env=False)
        self._address = f"{url.rstrip('/')}/{database}/rpc/"
        self.context: dict[str, Any] = {}
        answer = self._post("common.db.login", [login, {"password": password}], headers={})
        if not answer:
            raise RpcError(f"{login} may not log in to {database}")
        token = base64.b64encode(f"{login}:{answer[0]}:{answer[1]}".encode()).decode()
        self._headers = {"Authorization": f"Session {token}"}

    def close(self) -> None:
        """Give back the connections."""
        self._http.close()

    def call(self, method: str, *params: Any, **context: Any) -> Any:
        """Call a method; the context is appended as Tryton wants it."""
        sent = [*params, {**self.context, **context}]
        return self._post(method, sent, headers=self._headers)

    def create(self, model: str, rows: list[dict[str, Any]], **context: Any) -> list[int]:
        """Create records in one call, one transaction."""
        if not rows:
            return []
        found = self.call(f"model.{model}.create", rows, **context)
        return [int(number) for number in found]

    def write(self, model: str, ids: list[int], values: dict[str, Any], **context: Any) -> None:
        """Change records."""
        self.call(f"model.{model}.write", ids, values, **context)

    def find(
        self, model: str, domain: list[Any], fields: list[str], **context: Any
    ) -> list[dict[str, Any]]:
        """Return matching records, inactive ones too."""
        context = {"active_test": False, **context}
        rows: list[dict[str, Any]] = self.call(
            f"model.{model}.search_read",
            domain,
            0,
            None,
            [["id", "ASC"]],
            fields,
            **context,
        )
        return rows

    def _post(self, method: str, params: list[Any], *, headers: dict[str, str]) -> Any:
        body = json.dumps({"id": 1, "method": method, "params": params}, default=_encoded)
        reply = self._http.post(
            self._address,
            content=body,
            headers={"Content-Type": "application/json", **headers},
        )
        if reply.status_code != httpx.codes.OK:
            raise RpcError(f"{method} was answered {reply.status_code}")
        answer = json.loads(reply.text, object_hook=_decoded, parse_float=Decimal)
        if isinstance(answer, dict) and answer.get("error"):
            raise RpcError(f"{method}: {answer['error']}")
        return answer["result"] if isinstance(answer, dict) else answer


def _encoded(value: Any) -> Any:
    match value:
        case Decimal():
            return {"__class__": "Decimal", "decimal": str(value)}
        case datetime():
            raise TypeError("the sandbox sends no instants")
        case date():
            return {
                "__class__": "date",
                "year": value.year,
                "month": value.month,
                "day": value.day,
            }
        case timedelta():
            return {"__class__": "timedelta", "seconds": int(value.total_seconds())}
        case _:
            raise TypeError(f"{type(value).__name__} has no form in JSON-RPC")


def _decoded(found: dict[str, Any]) -> Any:
    match found.get("__class__"):
        case "Decimal":
            return Decimal(found["decimal"])
        case "date":
            return date(found["year"], found["month"], found["day"])
        case "timedelta":
            return timedelta(seconds=int(found["seconds"]))
        case _:
            return found
