"""The board's server: pages and forms for people, and one control call per deed for a story.

``POST /_sandbox/deeds/CODE {"choice": "..."}`` does a deed, ``GET /_sandbox/deeds`` tells what can be done
and what was done, ``POST /_sandbox/occasions`` says what the firm has planned, ``GET /_sandbox/mail`` tells
where mail is taken and what was sent.
"""

from __future__ import annotations

import asyncio
import hmac
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

from tieline.sandbox.board.deeds import DEEDS, Choice, Deed, Deeds, Done, find_deed
from tieline.sandbox.board.doors import NotDone
from tieline.sandbox.board.mailbox import Mail, Mailbox
from tieline.sandbox.board.occasions import read_occasions
from tieline.sandbox.board.pages import Pages, led_to
from tieline.sandbox.front import TOKEN_HEADER
from tieline.sandbox.process import SandboxClock
from tieline.sandbox.wire import Delivery, Request, Response, decode_json, json_response

_CONTROL = "/_sandbox/"
_FORM_BYTES_MAX = 16 * 1024
_FORM_FIELDS_MAX = 20
_FORM_TYPE = "application/x-www-form-urlencoded"


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """A deed as it stands: what it can be about, or why it cannot be done, and its last doing."""

    deed: Deed
    choices: Sequence[Choice]
    refusal: str
    last: Done | None


class _Refused(Exception):
    """A request that is not answered as it wishes."""

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status


@dataclass(slots=True, kw_only=True)
class Board:
    """Answer people and stories; deeds are done one at a time."""

    deeds: Deeds
    mailbox: Mailbox
    clock: SandboxClock
    pages: Pages
    control_token: str = field(repr=False)
    # Who answers where, by the name that people know it by; read anew for each page.
    places: Mapping[str, Path | str]
    # Where mail is taken, as a client is told.
    mail_address: str = ""
    _doing: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def deliver(self, request: Request) -> Delivery:
        """Answer one request."""
        if request.path.startswith(_CONTROL):
            return Delivery(response=await self._control(request))
        try:
            return Delivery(response=await self._answer(request))
        except _Refused as refused:
            return Delivery(response=self._problem(refused.status, str(refused)))

    # -- for people --------------------------------------------------------------------------------

    async def _answer(self, request: Request) -> Response:
        path = request.path
        if path.startswith("/deeds/"):
            return await self._form(request, path.removeprefix("/deeds/"))
        if request.method != "GET":
            raise _Refused(405, "A page is only read.")
        if path == "/":
            return await self._home(said=request.query.get("done", ""))
        if path == "/mail":
            return self._page("mail.html", mails=list(reversed(self.mailbox.mails)))
        if path.startswith("/mail/"):
            return self._letter(path.removeprefix("/mail/"))
        static = self.pages.static(path.removeprefix("/static/")) if "/static/" in path else None
        if static is None:
            raise _Refused(404, "There is no such page on the board.")
        return static

    async def _home(self, *, said: str) -> Response:
        async with self._doing:
            offers = await asyncio.to_thread(self._offers)
        return self._page(
            "board.html",
            offers=offers,
            done=list(reversed(self.deeds.done)),
            latest=next((each for each in self.deeds.done if str(each.number) == said), None),
        )

    def _letter(self, number: str) -> Response:
        mail = next((each for each in self.mailbox.mails if str(each.number) == number), None)
        if mail is None:
            raise _Refused(404, "This mail is not in the mailbox, or not any more.")
        return self._page("letter.html", mail=mail)

    async def _form(self, request: Request, code: str) -> Response:
        deed = find_deed(code)
        if deed is None:
            raise _Refused(404, "There is no such deed.")
        if request.method != "POST":
            raise _Refused(405, "A deed is done by its button.")
        fields = _fields(request)
        if not hmac.compare_digest(
            fields.get("token", "").encode(), self.pages.form_token.encode()
        ):
            raise _Refused(
                403, "This form is not one of this board's. Go back to it and try again."
            )
        try:
            done = await self._do(deed, fields.get("choice", ""))
        except NotDone as error:
            raise _Refused(409, f"Not done: {error}.") from error
        return led_to(f"/?done={done.number}#{deed.code}")

    def _problem(self, status: int, sentence: str) -> Response:
        return self._page("problem.html", status=status, sentence=sentence)

    def _page(self, template: str, *, status: int = 200, **told: Any) -> Response:
        return self.pages.page(
            template,
            status=status,
            occasions=self.deeds.occasions,
            now=self.clock.now(),
            sent=len(self.mailbox.mails),
            places={name: _address(place) for name, place in self.places.items()},
            **told,
        )

    # -- for stories -------------------------------------------------------------------------------

    async def _control(self, request: Request) -> Response:
        if not hmac.compare_digest(
            request.headers.get(TOKEN_HEADER, "").encode(), self.control_token.encode()
        ):
            return json_response({"message": "the sandbox token is missing or wrong"}, status=401)
        verb = request.path.removeprefix(_CONTROL)
        try:
            if request.method == "GET":
                return await self._ask(verb)
            return await self._act(verb, decode_json(request.body))
        except (NotDone, ValueError, KeyError, TypeError, AttributeError) as error:
            return json_response({"message": f"{verb}: {error}"}, status=422)

    async def _ask(self, verb: str) -> Response:
        if verb == "mail":
            mails = [_mail_told(mail) for mail in self.mailbox.mails]
            return json_response({"address": self.mail_address, "mails": mails})
        if verb != "deeds":
            return json_response({"message": f"there is no control {verb}"}, status=404)
        async with self._doing:
            offers = await asyncio.to_thread(self._offers)
        return json_response(
            {
                "deeds": [
                    {
                        "code": offer.deed.code,
                        "choices": [choice.value for choice in offer.choices],
                        "refusal": offer.refusal,
                    }
                    for offer in offers
                ],
                "done": [_told(done) for done in self.deeds.done],
            }
        )

    async def _act(self, verb: str, body: Any) -> Response:
        if verb == "occasions":
            self.deeds.occasions = read_occasions(body)
            return json_response({})
        if verb == "clock":
            self.clock.set(datetime.fromisoformat(body["now"]))
            return json_response({"now": self.clock.now().isoformat()})
        deed = find_deed(verb.removeprefix("deeds/"))
        if deed is None:
            return json_response({"message": f"there is no control {verb}"}, status=404)
        done = await self._do(deed, str(body.get("choice", "")))
        return json_response(_told(done))

    # -- for both ----------------------------------------------------------------------------------

    async def _do(self, deed: Deed, choice: str) -> Done:
        async with self._doing:
            return await asyncio.to_thread(self.deeds.do, deed, choice)

    def _offers(self) -> list[Offer]:
        last = {done.code: done for done in self.deeds.done}
        return [self._offer(deed, last.get(deed.code)) for deed in DEEDS]

    def _offer(self, deed: Deed, last: Done | None) -> Offer:
        try:
            choices = self.deeds.choices(deed)
        except NotDone as error:
            return Offer(deed=deed, choices=(), refusal=f"{error}.", last=last)
        return Offer(deed=deed, choices=choices, refusal="" if choices else deed.none, last=last)


def _fields(request: Request) -> dict[str, str]:
    if not request.headers.get("content-type", "").startswith(_FORM_TYPE):
        raise _Refused(415, "A deed is done by its form.")
    if len(request.body) > _FORM_BYTES_MAX:
        raise _Refused(413, "This form is larger than any of this board's.")
    try:
        pairs = parse_qsl(
            request.body.decode("ascii"),
            keep_blank_values=True,
            errors="strict",
            max_num_fields=_FORM_FIELDS_MAX,
        )
    except ValueError as error:
        raise _Refused(400, "This form cannot be read.") from error
    if len({name for name, _ in pairs}) < len(pairs):
        raise _Refused(400, "This form says something twice.")
    return dict(pairs)


def _address(place: Path | str) -> str:
    """Return where somebody answers: as told, or as their run file says once they run."""
    if isinstance(place, str):
        return place
    try:
        return str(json.loads(place.read_text(encoding="utf-8"))["url"])
    except (OSError, ValueError, KeyError):
        return ""


def _told(done: Done) -> Mapping[str, object]:
    return {
        "number": done.number,
        "deed": done.code,
        "at": done.at.isoformat(),
        "said": done.said,
    }


def _mail_told(mail: Mail) -> Mapping[str, object]:
    return {
        "number": mail.number,
        "at": mail.at.isoformat(),
        "from": mail.sender,
        "to": list(mail.recipients),
        "subject": mail.subject,
        "text": mail.text,
    }
