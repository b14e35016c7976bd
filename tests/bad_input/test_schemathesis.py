"""Calls that Schemathesis makes up from the description get described answers, and never one of the 500s."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.bad_input.calls import operations
from tests.bad_input.conftest import Town
from tests.bad_input.corpus import some_of

# Each bad value is looked at by the corpus; here it is what a caller can rely on that is held.
_CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "ignored_auth",
    "use_after_free",
)
_EXAMPLES, _EXAMPLES_IN_SHORT, _OPERATIONS_IN_SHORT = 100, 2, 6
_SECONDS_MAX = 3600


def test_answers_are_those_that_are_described(
    town: Town, thorough: bool, seed: int, tmp_path: Path
) -> None:
    ids = [each.operation_id for each in operations(town.there) if each.operation_id]
    chosen = ids if thorough else some_of(ids, count=_OPERATIONS_IN_SHORT, seed=seed)
    phases = "examples,coverage,fuzzing,stateful" if thorough else "fuzzing,stateful"

    ran = subprocess.run(
        [
            Path(sys.executable).with_name("schemathesis"),
            "run",
            f"http://127.0.0.1:{town.port}/v1/openapi.json",
            f"--header=Authorization: Bearer {town.key}",
            f"--phases={phases}",
            f"--checks={','.join(_CHECKS)}",
            f"--max-examples={_EXAMPLES if thorough else _EXAMPLES_IN_SHORT}",
            f"--seed={seed}",
            "--continue-on-failure",
            "--generation-database=none",
            "--suppress-health-check=all",
            "--no-color",
            *(f"--include-operation-id={each}" for each in chosen),
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=_SECONDS_MAX,
        check=False,
    )

    assert ran.returncode == 0, f"the seed is {seed}\n{ran.stdout[-20_000:]}{ran.stderr[-2000:]}"
    print(ran.stdout[-2000:])
