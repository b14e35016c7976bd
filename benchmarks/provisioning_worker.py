"""A worker of the product with a stopwatch: when each call to a vendor went, for which plan, until it was answered."""

from __future__ import annotations

import json
import os
import resource
import sys
import threading
import time
from collections.abc import Callable
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import httpx
import psycopg

from tieline.app import run_worker
from tieline.services.project_provisioning import Provisioning
from tieline.settings import read_settings

CALLS_VARIABLE = "TIELINE_BENCHMARK_CALLS"
_plan: ContextVar[str] = ContextVar("plan", default="")
_asked: ContextVar[list[int] | None] = ContextVar("asked", default=None)


class Stopwatch:
    """Write a line for each call once it is answered."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("a", encoding="utf-8")
        self._lock = threading.Lock()

    def note(self, **words: Any) -> None:
        """Write one line."""
        with self._lock:
            self._file.write(json.dumps(words) + "\n")
            self._file.flush()

    def watched(self, send: Callable[..., httpx.Response]) -> Callable[..., httpx.Response]:
        """Return how a client sends, with the time that an answer takes."""

        def watched_send(client: httpx.Client, request: httpx.Request, **more: Any) -> Any:
            began = time.time()
            try:
                return send(client, request, **more)
            finally:
                self.note(plan=_plan.get(), began=began, ended=time.time(), port=request.url.port)

        return watched_send


def main() -> None:
    """Work until told to stop, then tell what it took."""
    watch = Stopwatch(Path(os.environ[CALLS_VARIABLE]))
    provision = Provisioning.provision
    execute = psycopg.Cursor.execute

    def counted(self: psycopg.Cursor[Any], *given: Any, **more: Any) -> Any:
        asked = _asked.get()
        if asked is not None:
            asked[0] += 1
        return execute(self, *given, **more)

    def of_plan(self: Provisioning, steps: Any, subject: str) -> Any:
        asked, began = [0], time.thread_time()
        tokens = _plan.set(subject), _asked.set(asked)
        try:
            return provision(self, steps, subject)
        finally:
            _plan.reset(tokens[0])
            _asked.reset(tokens[1])
            watch.note(
                plan=subject,
                statements=asked[0],
                milliseconds=round((time.thread_time() - began) * 1000, 1),
            )

    httpx.Client.send = watch.watched(httpx.Client.send)  # type: ignore[method-assign]
    psycopg.Cursor.execute = counted  # type: ignore[method-assign]
    Provisioning.provision = of_plan  # type: ignore[method-assign]
    code = run_worker(read_settings())
    used = resource.getrusage(resource.RUSAGE_SELF)
    watch.note(processor_seconds=round(used.ru_utime + used.ru_stime, 3))
    sys.exit(code)


if __name__ == "__main__":
    main()
