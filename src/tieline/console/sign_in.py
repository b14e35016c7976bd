"""Sign in by the firm's own provider: there and back."""

from fastapi import FastAPI
from fastapi.requests import Request
from fastapi.responses import RedirectResponse, Response

from tieline.console.entrance import Entrance
from tieline.console.fields import QueryWord
from tieline.console.sessions import SIGN_IN_COOKIE, safe_address, set_sign_in_cookie
from tieline.kernel.errors import TielineError
from tieline.services.sign_in import BACK_PATH, SignInRefused

_ANSWER_CHARACTERS_MAX = 8192
_AWAY = "Your provider does not answer. Try again later, or log in with a password."


def add_routes(pages: FastAPI, *, entrance: Entrance) -> None:
    """Add the way to the provider and the way back."""
    provider = entrance.provider

    @pages.get("/sign-in")
    def begin(request: Request, next: QueryWord = "/") -> Response:
        if provider is None:
            return RedirectResponse("/login", status_code=303)
        try:
            begun = provider.begin(back=safe_address(next))
        except TielineError:
            return entrance.show(request, back=next, wrong=_AWAY, status=503)
        response = RedirectResponse(begun.address, status_code=303)
        set_sign_in_cookie(response, request, value=begun.cookie)
        return response

    @pages.get(BACK_PATH)
    def finish(request: Request) -> Response:
        if provider is None:
            return RedirectResponse("/login", status_code=303)
        try:
            found = provider.finish(
                cookie=request.cookies.get(SIGN_IN_COOKIE, ""),
                answer=_answer_of(request),
                now=entrance.system.clock.now(),
            )
        except SignInRefused as error:
            return entrance.show(request, back="/", wrong=str(error), status=403)
        except TielineError:
            return entrance.show(request, back="/", wrong=_AWAY, status=503)
        # A cookie of ours is not sent along a way that began at another site: this page begins a new one.
        page = entrance.renderer.page(
            request, None, "signed_in.html", back=safe_address(found.back), status=200
        )
        page.delete_cookie(SIGN_IN_COOKIE, path="/sign-in")
        return entrance.let_in(request, page, found.person)


def _answer_of(request: Request) -> dict[str, str]:
    # What comes twice, or is endless, is nothing.
    pairs = request.query_params.multi_items()
    answer = dict(pairs)
    is_sane = len(answer) == len(pairs) and len(request.url.query) <= _ANSWER_CHARACTERS_MAX
    return answer if is_sane else {}
