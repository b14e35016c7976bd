"""Measure the time plane: land, judge, plan, post to a target in this process, book; its limit and its peers.

Run it with the project's Python: ``python benchmarks/time_plane.py --entries 300000 --json``.
It starts a database of its own under TIELINE_HOME and stops and removes it at the end.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
from plane_dlt import find_dlt, measure_dlt
from plane_firm import Firm
from plane_limit import measure_limit
from plane_product import InProcessTarget, Plane, opened_worker, outcome_of, settle_firm
from plane_rows import measure_rows
from plane_shipped import measure_shipped
from plane_small import measure_change, measure_door
from psycopg import sql
from psycopg.conninfo import make_conninfo

from tieline.runtime.migrate import Dsns, prepare_database
from tieline.runtime.postgres import EmbeddedCluster
from tieline.settings import HOME_VARIABLE

_MEGABYTE = 1024


def measure(arguments: argparse.Namespace) -> dict[str, Any]:
    """Run the product both ways, the limit and the peers, one after the other, and return every figure."""
    firm = Firm(entries=arguments.entries, seed=arguments.seed)
    page_rows = arguments.page_rows
    with _cluster() as (folder, cluster, dsns):
        product = _measure_product(firm, dsns, arguments)
        with psycopg.connect(cluster.superuser_dsn, autocommit=True) as admin:
            machine = describe_machine(admin)
        limit = measure_limit(_database(cluster, "plane_limit"), firm=firm, page_rows=page_rows)
        rows = measure_rows(
            _database(cluster, "plane_rows"),
            firm=firm,
            target=InProcessTarget(),
            page_rows=page_rows,
        )
        loaded = measure_dlt(
            _database(cluster, "plane_dlt"),
            firm=firm,
            folder=folder / "dlt",
            python="skipped: as asked" if arguments.without_dlt else find_dlt(),
            page_rows=page_rows,
        )
    with _cluster() as (_, _, dsns):
        shipped = measure_shipped(firm, dsns, arguments)
    return {
        "entries": firm.entries,
        "seed": firm.seed,
        "page_rows": page_rows,
        "batch_lines_max": arguments.batch_lines_max,
        "people": firm.people,
        "projects": firm.projects,
        "rules": product["rules"],
        "ratio_to_limit": _ratio(shipped, limit),
        "ratio_to_limit_one_connection": _ratio(product, limit),
        "ratio_to_row_peer": _ratio(shipped, rows),
        "ratio_to_dlt_load": _ratio(shipped, loaded),
        "product": product,
        "shipped": shipped,
        "limit": limit,
        "row_peer": rows,
        "dlt_load": loaded,
        "machine": machine,
    }


def _ratio(one: dict[str, Any], other: dict[str, Any]) -> float | None:
    if "entries_per_second" not in other:
        return None
    return float(round(one["entries_per_second"] / other["entries_per_second"], 3))


def _measure_product(firm: Firm, dsns: Dsns, arguments: argparse.Namespace) -> dict[str, Any]:
    settle_firm(firm, dsns)
    with opened_worker(dsns) as worker:
        plane = Plane(worker, batch_lines_max=arguments.batch_lines_max)
        plane.settle()
        page_seconds = _run_pages(plane, firm, page_rows=arguments.page_rows)
        total = plane.watch.total
        figures = {
            "stage_seconds": {name: round(value, 3) for name, value in plane.watch.seconds.items()},
            "stage_microseconds_per_entry": {
                name: round(value / firm.entries * 1_000_000, 1)
                for name, value in plane.watch.seconds.items()
            },
            "seconds_total": round(total, 3),
            "entries_per_second": round(firm.entries / total),
            **_growth(page_seconds),
            "peak_memory_megabytes": round(
                resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / _MEGABYTE
            ),
        }
        with worker.transaction() as connection:
            outcome = outcome_of(
                connection, target_lines=plane.target.lines, target_seconds=plane.target.seconds
            )
        return {
            **figures,
            **outcome,
            "sweep_seconds": plane.sweep(),
            "door": measure_door(worker),
            "change": measure_change(plane, firm),
        }


def _run_pages(plane: Plane, firm: Firm, *, page_rows: int) -> list[float]:
    """Return the microseconds per entry of each page in turn."""
    microseconds = []
    for number, page in enumerate(firm.pages(rows=page_rows)):
        before = plane.watch.total
        plane.run(page)
        microseconds.append((plane.watch.total - before) / len(page) * 1_000_000)
        print(f"page {number + 1}: {microseconds[-1]:.0f} microseconds per entry", file=sys.stderr)
    return microseconds


def _growth(microseconds: Sequence[float]) -> dict[str, Any]:
    # The last page may be short; the second to last of a long run is a full one.
    tenth = max(1, len(microseconds) // 10)
    first, last = microseconds[:tenth], microseconds[-tenth:]
    return {
        "first_pages_microseconds_per_entry": round(sum(first) / tenth, 1),
        "last_pages_microseconds_per_entry": round(sum(last) / tenth, 1),
    }


def _database(cluster: EmbeddedCluster, name: str) -> str:
    with psycopg.connect(cluster.superuser_dsn, autocommit=True) as admin:
        admin.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    return make_conninfo(cluster.superuser_dsn, dbname=name)


@contextmanager
def _cluster() -> Iterator[tuple[Path, EmbeddedCluster, Dsns]]:
    home = Path(os.environ.get(HOME_VARIABLE) or tempfile.gettempdir())
    home.mkdir(mode=0o755, parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="time-plane-", dir=home))
    folder.chmod(0o755)
    cluster = EmbeddedCluster(folder / "pg")
    try:
        cluster.ensure_running()
        yield folder, cluster, prepare_database(cluster, secrets_directory=folder / "secrets")
    finally:
        data = cluster.data_directory
        cluster.stop()
        shutil.rmtree(cluster.socket_directory, ignore_errors=True)
        if folder not in data.parents:
            shutil.rmtree(data.parent, ignore_errors=True)
        shutil.rmtree(folder, ignore_errors=True)


def describe_machine(admin: psycopg.Connection[Any]) -> dict[str, Any]:
    """Return what the machine and the server are, and that nothing is switched off."""
    settings = {}
    for name in (
        "fsync",
        "synchronous_commit",
        "full_page_writes",
        "shared_buffers",
        "data_checksums",
    ):
        row = admin.execute("SELECT current_setting(%s)", (name,)).fetchone()
        settings[name] = row[0] if row else None
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "memory_megabytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 1024**2,
        "system": platform.platform(),
        "python": platform.python_version(),
        "postgresql": admin.info.parameter_status("server_version"),
        "load_before_one_minute": round(os.getloadavg()[0], 2),
        **settings,
    }


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _print_table(figures: dict[str, Any]) -> None:
    product = figures["product"]
    for name, value in product["stage_seconds"].items():
        per_entry = product["stage_microseconds_per_entry"][name]
        print(f"{name:>16} {value:10.3f} s {per_entry:8.1f} microseconds per entry")
    for name in ("product", "shipped", "limit", "row_peer", "dlt_load"):
        each = figures[name]
        if "skipped" in each:
            print(f"{name:>16} {each['skipped']}")
        else:
            print(f"{name:>16} {each['seconds_total']:10.3f} s {each['entries_per_second']:8} /s")
    for name, value in figures.items():
        if name.startswith("ratio_"):
            print(f"{name}: {value}")
    print(json.dumps({key: product[key] for key in ("places", "door", "change")}))
    print(json.dumps(figures["machine"]))


def _is_complete(figures: dict[str, Any]) -> bool:
    """Every hour is where it belongs, whoever took it there."""
    lines = figures["limit"]["ledger_lines"]
    runs = [figures["product"], figures["shipped"]]
    peers = [each for each in (figures["row_peer"], figures["dlt_load"]) if "skipped" not in each]
    return all(
        run["conservation_gap_seconds"] == 0
        and "pending" not in run["places"]
        and run["target_lines"] == run["ledger_lines"] == lines
        for run in runs
    ) and all(peer["ledger_lines"] == lines for peer in peers)


def main() -> None:
    """Parse the command line, measure, print; exit 1 where an hour did not get where it belongs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--entries", type=int, default=300_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--page-rows", type=int, default=5_000)
    parser.add_argument("--batch-lines-max", type=int, default=5_000)
    parser.add_argument("--without-dlt", action="store_true", help="leave the second peer out")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    arguments = parser.parse_args()
    figures = measure(arguments)
    if arguments.json:
        print(json.dumps(figures))
    else:
        _print_table(figures)
    sys.exit(0 if _is_complete(figures) else 1)


if __name__ == "__main__":
    main()
