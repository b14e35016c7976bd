"""A time tool as Harvest is read: hours in pages of a hundred, made before anybody asks, sent without delay."""

from __future__ import annotations

import asyncio
import json
import multiprocessing
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection as Pipe

from plane_firm import Firm, as_record

from tieline.sandbox.wire import Delivery, Request, Response, json_response, listen, port_of

PAGE_ENTRIES = 100
STREAM = "time_entries"
_SECONDS_MAX = 120


@contextmanager
def served_source(firm: Firm) -> Iterator[str]:
    """Serve a firm's hours from a process of its own; the address is what a client needs."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    server = context.Process(target=_serve, args=(firm, theirs), daemon=True)
    server.start()
    try:
        if not ours.poll(_SECONDS_MAX):
            raise RuntimeError("the time tool did not start")
        yield f"http://127.0.0.1:{ours.recv()}"
    finally:
        server.terminate()
        server.join()


def _serve(firm: Firm, ready: Pipe) -> None:
    asyncio.run(_answer(firm, ready))


async def _answer(firm: Firm, ready: Pipe) -> None:
    pages = list(_pages(firm))

    async def deliver(request: Request) -> Delivery:
        if request.path != f"/v2/{STREAM}":
            return Delivery(response=json_response({"message": "no such stream"}, status=404))
        body = pages[int(request.query["page"]) - 1]
        return Delivery(
            response=Response(status=200, headers={"content-type": "application/json"}, body=body)
        )

    server = await listen(deliver)
    ready.send(port_of(server))
    await server.serve_forever()


def _pages(firm: Firm) -> Iterator[bytes]:
    count = -(-firm.entries // PAGE_ENTRIES)
    for number, hours in enumerate(firm.pages(rows=PAGE_ENTRIES), start=1):
        around = json.dumps(
            {
                "per_page": PAGE_ENTRIES,
                "total_pages": count,
                "total_entries": firm.entries,
                "next_page": number + 1 if number < count else None,
                "previous_page": number - 1 or None,
                "page": number,
            }
        )
        bodies = b",".join(as_record(hour).body for hour in hours)
        yield b'{"time_entries":[' + bodies + b"]," + around[1:].encode()
