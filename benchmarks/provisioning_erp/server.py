"""Keep records of any noun in memory, one per key, and answer after a pause: a vendor that costs next to nothing."""

from __future__ import annotations

import argparse
import asyncio
import hmac
import json
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tieline.sandbox.front import Front, plain_error, serve_front, start_injector
from tieline.sandbox.process import run_until_stopped, secret
from tieline.sandbox.wire import Request, Response, json_response

TOKEN_VARIABLE = "TIELINE_BENCHMARK_ERP_TOKEN"


@dataclass(slots=True, kw_only=True)
class Records:
    """What stands, by number and by key."""

    token: str
    people: list[dict[str, Any]]
    by_number: dict[int, dict[str, Any]] = field(default_factory=dict)
    by_key: dict[str, int] = field(default_factory=dict)

    async def answer(self, request: Request) -> Response:
        """Answer one request."""
        if request.path == "/_sandbox/standing":
            standing = Counter(record["noun"] for record in self.by_number.values())
            return json_response({"standing": dict(standing)})
        given = request.headers.get("authorization", "")
        if not hmac.compare_digest(given, f"Bearer {self.token}"):
            return json_response({"message": "the token is missing or wrong"}, status=401)
        match request.method, request.path:
            case "GET", "/v1/parties":
                return json_response({"results": []})
            case "GET", "/v1/employees":
                return json_response({"results": self.people})
            case "GET", "/v1/records":
                number = self.by_key.get(request.query["key"])
                found = [] if number is None else [{"id": number, **self.by_number[number]}]
                return json_response({"results": found})
            case "POST", "/v1/records":
                return self._put(json.loads(request.body))
            case "DELETE", "/v1/records":
                number = self.by_key.pop(request.query["key"], None)
                if number is not None:
                    del self.by_number[number]
                return json_response({})
            case _:
                return json_response({"message": "there is no such place"}, status=404)

    def _put(self, record: dict[str, Any]) -> Response:
        if record["key"] in self.by_key:
            return json_response({"message": "the key is taken"}, status=409)
        number = len(self.by_number) + 1
        self.by_number[number] = record
        self.by_key[record["key"]] = number
        return json_response({"id": number}, status=201)


def main() -> None:
    """Run the ERP as a process."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run-file", required=True, type=Path)
    parser.add_argument("--people", required=True, type=Path)
    given = parser.parse_args()
    records = Records(
        token=secret(None, variable=TOKEN_VARIABLE, option=TOKEN_VARIABLE),
        people=json.loads(given.people.read_text(encoding="utf-8")),
    )
    front = Front(
        answer=records.answer,
        injector=start_injector(name="erp", plan=None, log=None),
        control_token=secret(
            None, variable="TIELINE_SANDBOX_TOKEN", option="TIELINE_SANDBOX_TOKEN"
        ),
        error_answer=plain_error,
    )

    async def serve(stopped: asyncio.Event) -> None:
        await serve_front(front, host="127.0.0.1", port=0, run_file=given.run_file, stopped=stopped)

    run_until_stopped(serve)


if __name__ == "__main__":
    main()
