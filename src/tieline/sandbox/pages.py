"""What a vendor's paging looks like when it slips: one page twice, or one page never."""

from __future__ import annotations

from dataclasses import replace

from tieline.sandbox.wire import Answering, Json, Request, Response, decode_json, encode_json


async def duplicated_page(request: Request, answer: Answering) -> Response | None:
    """Answer with the records of the page before; on a first page, with each record twice."""
    own = await answer(request)
    page = _page(own)
    if page is None:
        return None
    name, records = page
    number = int(request.query.get("page", "1"))
    if number > 1:
        before = _page(await answer(request.with_query(page=str(number - 1))))
        records = records if before is None else before[1]
    else:
        records = [*records, *records]
    return _with_records(own, name, records)


async def skipped_page(request: Request, answer: Answering) -> Response | None:
    """Answer with the page after the one asked for; after the last page, with none of its records."""
    own = await answer(request)
    page = _page(own)
    if page is None:
        return None
    after = _next_cursor(own)
    if after is not None:
        return await answer(_asking_after(request, after))
    if "paging" in _content(own) or "page" not in _content(own):
        return _with_records(own, page[0], [])
    number = int(request.query.get("page", "1"))
    return await answer(request.with_query(page=str(number + 1)))


def _content(response: Response) -> Json:
    try:
        return decode_json(response.body)
    except ValueError:
        return None


def _page(response: Response) -> tuple[str, list[Json]] | None:
    """Return the name and records of a page: its only list, but for what a vendor says of the page."""
    content = _content(response)
    if response.status != 200 or not isinstance(content, dict):
        return None
    lists = [
        (name, value)
        for name, value in content.items()
        if isinstance(value, list) and not name.startswith("_")
    ]
    return lists[0] if len(lists) == 1 and lists[0][1] else None


def _next_cursor(response: Response) -> str | None:
    paging = _content(response).get("paging") or {}
    after: str | None = (paging.get("next") or {}).get("after")
    return after


def _asking_after(request: Request, after: str) -> Request:
    if request.method == "GET":
        return request.with_query(after=after)
    body = {**decode_json(request.body), "after": after}
    return replace(request, body=encode_json(body).encode())


def _with_records(response: Response, name: str, records: list[Json]) -> Response:
    content = {**_content(response), name: records}
    return replace(response, body=encode_json(content).encode())
