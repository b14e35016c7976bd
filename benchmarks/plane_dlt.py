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

_SECONDS_MAX = 3600
_ABSENT = (
    "skipped: this Python has no dlt; make an environment of requirements/dlt.txt and name its"
    " Python with --dlt-python"
)


def measure_dlt(
    dsn: str, *, firm: Firm, folder: Path, python: str, page_rows: int
) -> dict[str, Any]:
    """Run the load and its SQL in a database of their own; figures, or a sentence why there are none."""
    given = subprocess.run([python, "-c", "import dlt, psycopg2"], capture_output=True, check=False)
    if given.returncode != 0:
        print(_ABSENT, file=sys.stderr)
        return {"skipped": _ABSENT}
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
