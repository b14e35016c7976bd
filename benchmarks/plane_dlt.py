"""Give the second peer its database and its pages, and run it by a Python that has dlt."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psycopg
from plane_firm import Firm, as_record
from plane_master import make_master_data

from tieline.sandbox.erp import ensure_environment
from tieline.settings import read_settings

_SECONDS_MAX = 3600
_LOCK = Path(__file__).parents[1] / "requirements" / "dlt.txt"


def find_dlt() -> Path | str:
    """Return a Python that has what requirements/dlt.txt locks, or why there is none."""
    try:
        environment = ensure_environment(
            cache=read_settings().cache,
            lock=_LOCK,
            title="dlt",
            progress=lambda line: print(line, file=sys.stderr),
        )
    except RuntimeError as error:
        return f"skipped: dlt could not be installed ({error})"
    return environment / "bin" / "python"


def measure_dlt(
    dsn: str, *, firm: Firm, folder: Path, python: Path | str, page_rows: int
) -> dict[str, Any]:
    """Run the load and its SQL in a database of their own; figures, or the sentence why there are none."""
    if isinstance(python, str):
        print(python, file=sys.stderr)
        return {"skipped": python}
    folder.mkdir()
    for number, page in enumerate(firm.pages(rows=page_rows)):
        body = b"\n".join(as_record(hour).body for hour in page)
        (folder / f"page-{number:06}.jsonl").write_bytes(body)
    with psycopg.connect(dsn) as connection:
        make_master_data(connection, firm=firm)
        uri = _uri(connection)
    answer = subprocess.run(
        [python, str(Path(__file__).with_name("plane_dlt_load.py")), uri, str(folder)],
        stdout=subprocess.PIPE,
        check=True,
        timeout=_SECONDS_MAX,
        text=True,
    )
    figures: dict[str, Any] = json.loads(answer.stdout.splitlines()[-1])
    return {**figures, "entries_per_second": round(firm.entries / figures["seconds_total"])}


def _uri(connection: psycopg.Connection[Any]) -> str:
    info = connection.info
    words = (info.user, info.password, info.dbname, info.host)
    user, password, name, host = (quote(word, safe="") for word in words)
    return f"postgresql://{user}:{password}@localhost:{info.port}/{name}?host={host}"
