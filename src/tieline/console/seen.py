"""Say that a message was seen: whoever holds its link looks at a page, and a button there says so.

Looking changes nothing, for mail programs and scanners open every link. Nobody is logged in here: the
word in the link is the only right, and it opens nothing else.
"""

from typing import Annotated

from fastapi import FastAPI, Form
from fastapi.requests import Request
from fastapi.responses import Response

from tieline.console.fields import QueryWord
from tieline.console.problems import not_found
from tieline.console.rendering import Renderer
from tieline.notices import SeenNotice, acknowledge, find_by_link
from tieline.services.system import System

_WORD_MAX = 200
_ENDED = "The link has ended, or is none of ours. What waits stands under Exceptions."
FormToken = Annotated[str, Form(max_length=_WORD_MAX)]


def add_routes(pages: FastAPI, *, system: System, renderer: Renderer) -> None:
    """Add the page behind the links of messages."""

    @pages.get("/seen")
    def look(request: Request, token: QueryWord = "") -> Response:
        with system.database.transaction() as connection:
            found = find_by_link(
                connection, token=token, pepper=system.pepper, now=system.clock.now()
            )
        return _page(request, found, token=token)

    @pages.post("/seen")
    def say(request: Request, token: FormToken = "") -> Response:
        with system.database.transaction() as connection:
            found = acknowledge(
                connection, token=token, pepper=system.pepper, now=system.clock.now()
            )
            if found is not None:
                found = find_by_link(
                    connection, token=token, pepper=system.pepper, now=system.clock.now()
                )
        return _page(request, found, token=token)

    def _page(request: Request, found: SeenNotice | None, *, token: str) -> Response:
        if found is None:
            raise not_found(_ENDED)
        return renderer.page(request, None, "seen.html", notice=found, token=token)
