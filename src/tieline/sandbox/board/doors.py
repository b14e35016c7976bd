"""The doors that the board goes through: the vendors' control calls, and the ERP as its administrator."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from functools import cache
from typing import Any

import httpx

from tieline.sandbox.erp.rpc import RpcError, RpcSession
from tieline.sandbox.front import TOKEN_HEADER
from tieline.sandbox.wire import decode_json

_CALL_SECONDS_MAX = 30
_SAID_MAX = 300
_OPEN = "open"


class NotDone(Exception):
    """A deed that did not happen; the sentence says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Door:
    """The control calls of one simulated vendor, or of the front before a real one."""

    name: str
    url: str
    token: str = field(repr=False)

    def act(self, verb: str, body: Mapping[str, Any]) -> Any:
        """Do what a person does in the vendor's own pages.

        :raises NotDone: the vendor does not answer, or refuses.
        """
        return self._call("POST", verb, json=body)

    def ask(self, verb: str, **query: str) -> Any:
        """Read what the vendor's people see.

        :raises NotDone: the vendor does not answer, or refuses.
        """
        return self._call("GET", verb, params=query)

    def _call(self, method: str, verb: str, **words: Any) -> Any:
        try:
            answer = _client().request(
                method,
                f"{self.url}/_sandbox/{verb}",
                headers={TOKEN_HEADER: self.token},
                **words,
            )
            told = decode_json(answer.content)
        except httpx.HTTPError as error:
            raise NotDone(f"{self.name} does not answer ({type(error).__name__})") from error
        except ValueError as error:
            raise NotDone(f"{self.name} answers what cannot be read") from error
        if answer.status_code != httpx.codes.OK:
            raise NotDone(f"{self.name} refused: {str(told.get('message', told))[:_SAID_MAX]}")
        return told


@cache
def _client() -> httpx.Client:
    # One for all doors: what is made with a client, such as the list of authorities, takes its time.
    return httpx.Client(timeout=_CALL_SECONDS_MAX, trust_env=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Month:
    """A period of one company in the ERP."""

    period_id: int
    entity_code: str
    entity_name: str
    name: str
    starts_on: date
    is_open: bool


@dataclass(slots=True, kw_only=True)
class ErpDoor:
    """The real ERP, spoken to directly by its administrator: no front stands in between."""

    url: str
    database: str
    password: str = field(repr=False)
    _session: RpcSession | None = None

    def months(self, *, starts_on: Sequence[date]) -> list[Month]:
        """Return the periods that begin on one of these days, of every company.

        :raises NotDone: the ERP does not answer.
        """
        rows = self._call(
            "model.account.period.search_read",
            [["type", "=", "standard"], ["OR", *([["start_date", "=", day]] for day in starts_on)]],
            0,
            None,
            [["start_date", "ASC"], ["id", "ASC"]],
            ["name", "start_date", "state", "company.party.name", "company.party.code"],
        )
        return [
            Month(
                period_id=row["id"],
                entity_code=row["company."]["party."]["code"],
                entity_name=row["company."]["party."]["name"],
                name=row["name"],
                starts_on=row["start_date"],
                is_open=row["state"] == _OPEN,
            )
            for row in rows
        ]

    def turn(self, month: Month, *, is_closing: bool) -> None:
        """Close a period or open it again.

        :raises NotDone: the ERP refuses, or does not answer.
        """
        self._call(f"model.account.period.{'close' if is_closing else 'reopen'}", [month.period_id])

    def _call(self, method: str, *params: Any) -> Any:
        try:
            if self._session is None:
                self._session = RpcSession(
                    url=self.url, database=self.database, login="admin", password=self.password
                )
            return self._session.call(method, *params)
        except (RpcError, httpx.HTTPError) as error:
            # The next deed logs in anew: a session may have ended with the ERP.
            self._session = None
            raise NotDone(f"the ERP says: {error}"[:_SAID_MAX]) from error
