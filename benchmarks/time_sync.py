"""Measure the whole job over HTTP, from a time tool's pages to an ERP's lines, beside a plain script that does it.

Run it with the project's Python: ``python benchmarks/time_sync.py --entries 20000 --json``.
It starts a database, a time tool and two ERPs of its own under TIELINE_HOME, and stops and removes them at the end.
"""

from __future__ import annotations

import argparse
import json
import secrets
import sys
from dataclasses import replace
from typing import Any

import psycopg
from own_home import own_home
from plane_firm import NOW, SOURCE, TARGET, Firm
from plane_product import outcome_of, settle_firm
from psycopg import sql
from psycopg.conninfo import make_conninfo
from sync_product import run_product
from sync_script import run_script
from sync_source import STREAM, served_source
from time_plane import describe_machine

from tieline.app import open_system
from tieline.proof.town import CONTROL, Vendor, fresh_database, start_vendor
from tieline.runtime.postgres import EmbeddedCluster
from tieline.runtime.work import AtOnce, Done
from tieline.services.installation import ConnectionSetup, connect
from tieline.services.system import System
from tieline.settings import Settings

_ERP = "books_unique"
_PROFILE = "unique"
_TIMEOUT_SECONDS = 60
# A vendor's limit would be all that is measured: neither side keeps to one.
_UNLIMITED = {"calls": 1_000_000, "window_seconds": 1}


def measure(arguments: argparse.Namespace) -> dict[str, Any]:
    """Let the product and the script do the same job, one after the other, and return every figure."""
    firm = Firm(entries=arguments.entries, seed=arguments.seed)
    with own_home("time-sync") as made:
        settings = replace(made, business_now=NOW)
        cluster, dsns = fresh_database(
            settings=settings, progress=lambda told: print(told, file=sys.stderr)
        )
        token = secrets.token_urlsafe(18)
        with served_source(firm) as source_url:
            ours, theirs = (_erp(settings, name, token) for name in ("erp-product", "erp-script"))
            settle_firm(firm, dsns)
            system = open_system(settings)
            _connect(system, source_url, ours.url, token, arguments.batch_lines)
            _serve_marks(system)
            product = run_product(settings, firm=firm)
            with system.database.transaction() as connection:
                stands = _standing(settings, ours)
                outcome = outcome_of(
                    connection,
                    target_lines=len(stands),
                    target_seconds=sum(line["seconds"] for line in stands),
                )
            system.database.close()
            script = run_script(
                _database(cluster, "plain_script"),
                firm=firm,
                source_url=source_url,
                erp_url=theirs.url,
                token=token,
                batch_lines=arguments.batch_lines,
            )
            with psycopg.connect(cluster.superuser_dsn, autocommit=True) as admin:
                machine = describe_machine(admin)
            script["target_lines"] = len(_standing(settings, theirs))
    return {
        "entries": firm.entries,
        "seed": firm.seed,
        "batch_lines": arguments.batch_lines,
        "people": firm.people,
        "projects": firm.projects,
        "rules": outcome.pop("rules"),
        "ratio_to_plain_script": round(
            product["entries_per_second"] / script["entries_per_second"], 3
        ),
        "product": {**product, **outcome},
        "plain_script": script,
        "machine": machine,
    }


def _connect(system: System, source_url: str, erp_url: str, token: str, batch_lines: int) -> None:
    setups = (
        ConnectionSetup(
            connection_key=SOURCE,
            system="harvest",
            kind="time",
            mode="act",
            config={
                "base_url": source_url,
                "timeout_seconds": _TIMEOUT_SECONDS,
                "streams": [STREAM],
                "limits": {"general": _UNLIMITED},
            },
            secrets={"access_token": token, "account_id": "1"},
            settle_seconds=2,
            go_live={},
        ),
        ConnectionSetup(
            connection_key=TARGET,
            system=_ERP,
            kind="erp",
            mode="act",
            config={
                "base_url": erp_url,
                "timeout_seconds": _TIMEOUT_SECONDS,
                "batch_lines_max": batch_lines,
                "streams": [],
                "limits": {"courtesy": _UNLIMITED},
            },
            secrets={"token": token},
            settle_seconds=2,
            go_live={},
        ),
    )
    with system.database.transaction() as connection:
        connection.execute(
            "UPDATE connection SET system = %s WHERE connection_key = %s", (_ERP, TARGET)
        )
        for setup in setups:
            connect(connection, key=system.master_key, setup=setup, now=NOW)


def _serve_marks(system: System) -> None:
    # What the firm's own records asked to be looked at is served before the clock runs.
    while not isinstance(system.time_validation.judge_waiting(AtOnce(), "all"), Done):
        continue


def _erp(settings: Settings, name: str, token: str) -> Vendor:
    return start_vendor(
        settings=settings,
        name=name,
        module="tieline.sandbox.books",
        arguments=["--directory", str(settings.home / name), "--profile", _PROFILE],
        secret_words={
            "TIELINE_SANDBOX_BOOKS_TOKEN": token,
            CONTROL: secrets.token_urlsafe(18),
        },
    )


def _standing(settings: Settings, erp: Vendor) -> list[dict[str, Any]]:
    """Read what an ERP stored from its own journal."""
    journal = (settings.home / erp.name / "journal.jsonl").read_text(encoding="utf-8")
    events = [json.loads(line) for line in journal.splitlines()]
    return [event for event in events if event["event"] == "stored"]


def _database(cluster: EmbeddedCluster, name: str) -> str:
    with psycopg.connect(cluster.superuser_dsn, autocommit=True) as admin:
        admin.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    return make_conninfo(cluster.superuser_dsn, dbname=name)


def _print_table(figures: dict[str, Any]) -> None:
    for name in ("product", "plain_script"):
        each = figures[name]
        print(f"{name:>14} {each['seconds_total']:10.3f} s {each['entries_per_second']:8} /s")
    for name, each in figures["product"]["by_process"].items():
        print(f"{name:>14} {json.dumps(each)}")
    print(f"ratio_to_plain_script: {figures['ratio_to_plain_script']}")
    print(json.dumps(figures["plain_script"]))
    print(json.dumps(figures["machine"]))


def _is_complete(figures: dict[str, Any]) -> bool:
    """Every hour is where it belongs, and the script posted as many lines as the product."""
    product, script = figures["product"], figures["plain_script"]
    return (
        product["conservation_gap_seconds"] == 0
        and "pending" not in product["places"]
        and product["target_lines"] == product["ledger_lines"]
        and product["ledger_lines"] == script["ledger_lines"] == script["target_lines"]
    )


def main() -> None:
    """Parse the command line, measure, print; exit 1 where an hour did not get where it belongs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--entries", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--batch-lines", type=int, default=100)
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
