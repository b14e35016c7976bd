"""What passed a vendor's front, for whoever wants to hold it against the vendor's description."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tieline.sandbox.wire import Request, Response


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """A request and its answer, or None where a fault left no whole answer."""

    request: Request
    response: Response | None


Watch = Callable[[Exchange], None]


def watched_by_nobody(exchange: Exchange) -> None:
    """Let an exchange pass."""


def kept_exchanges(*, name: str) -> Watch:
    """Return what writes each exchange as a line of ``NAME.jsonl``, where somebody wants it kept.

    ``TIELINE_SANDBOX_RECORD`` names the folder. Of the headers only the types of the bodies are kept:
    the others hold secrets.
    """
    folder = os.environ.get("TIELINE_SANDBOX_RECORD")
    if not folder:
        return watched_by_nobody
    path = Path(folder) / f"{name}.jsonl"

    def keep(exchange: Exchange) -> None:
        with path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(_line(exchange)) + "\n")

    return keep


def _line(exchange: Exchange) -> dict[str, object]:
    request, response = exchange.request, exchange.response
    asked: dict[str, object] = {
        "method": request.method,
        "target": request.target,
        "asked_type": request.headers.get("content-type", ""),
        "asked": request.body.decode("utf-8", "surrogateescape"),
    }
    if response is None:
        return asked
    return {
        **asked,
        "status": response.status,
        "told_type": response.headers.get("content-type", ""),
        "told": response.body.decode("utf-8", "surrogateescape"),
    }
