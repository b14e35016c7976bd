"""Whatever of the corpus is sent to whatever address, the answer is described and nothing is half stored."""

from __future__ import annotations

from uuid import uuid4

from tests.bad_input.calls import Call, Operation, bad_calls, operations
from tests.bad_input.conftest import Town
from tests.bad_input.corpus import some_of
from tests.bad_input.traces import Traces
from tests.bad_input.wire import Answer, Wire

_CALLS_IN_SHORT = 200
_SECONDS_MAX = 5
_LOOK_EVERY = 20


def test_bad_input_is_answered_as_described_and_stores_nothing(
    town: Town, thorough: bool, seed: int
) -> None:
    calls = [(each, call) for each in operations(town.there) for call in bad_calls(each)]
    chosen = calls if thorough else some_of(calls, count=_CALLS_IN_SHORT, seed=seed)
    wire, traces = Wire(town.port), Traces(town.house.worker)
    wrong: list[str] = []
    slowest, refused = (0.0, ""), 0

    for operation, call in chosen:
        answer = wire.send(call.method, call.address, _headers(town, call), call.body)
        slowest = max(slowest, (answer.seconds, str(call)))
        wrong += [f"{call}: {sentence}" for sentence in _mistakes(operation, call, answer)]
        if answer.status < 400:
            traces.renew()
            refused = 0
            continue
        refused += 1
        if refused % _LOOK_EVERY == 0:
            wrong += [f"{call} or one before stored: {name}" for name in traces.changed()]
            traces.renew()

    wire.close()
    assert wrong == [], f"{len(wrong)} of {len(chosen)} calls; the seed is {seed}"
    assert traces.changed() == []
    assert not thorough or slowest[0] < _SECONDS_MAX, slowest
    print(f"{len(chosen)} calls; the slowest took {slowest[0]:.2f} s: {slowest[1]}")


def _headers(town: Town, call: Call) -> list[tuple[bytes, bytes]]:
    headers = [
        (name.encode(), value.replace("{key}", town.key).encode("latin-1"))
        for name, value in call.headers
    ]
    if call.has_key:
        headers.append((b"Authorization", f"Bearer {town.key}".encode()))
    if call.method != "GET":
        word = uuid4().hex if call.change_key == "new" else call.change_key
        if word is not None:
            headers.append((b"Idempotency-Key", word.encode("latin-1")))
        if b"Content-Type" not in dict(headers):
            headers.append((b"Content-Type", b"application/json"))
    return headers


def _mistakes(operation: Operation, call: Call, answer: Answer) -> list[str]:
    found = []
    if answer.status >= 500:
        found.append(f"answers {answer.status}")
    elif answer.status not in operation.statuses:
        found.append(f"answers {answer.status}, which is not described")
    if call.status is not None and answer.status != call.status:
        found.append(f"answers {answer.status} in place of {call.status}")
    if call.never and answer.status < 400:
        found.append(f"was taken: {answer.status}")
    if answer.status >= 400 and answer.kind != "application/problem+json":
        found.append(f"is no problem document but {answer.kind}")
    if "Traceback" in answer.text:
        found.append("shows a traceback")
    return found
