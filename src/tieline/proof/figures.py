"""The figures of a run: each measured on the systems themselves; what was not measured is absent."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from tieline.proof import watch
from tieline.proof.story import Story
from tieline.proof.town import ERP_DATABASE, Town
from tieline.proof.verify import compare_hours
from tieline.reconciliation import (
    PLACES,
    Difference,
    ask_source,
    compare_source,
    compare_target,
    read_places,
)
from tieline.runtime.database import Database
from tieline.sandbox import erp
from tieline.services.system import System

_LANDED = """
    SELECT count(*) FROM time_entry t
    JOIN connection c ON c.connection_key = t.connection_key AND c.source_epoch = t.source_epoch
    JOIN time_entry_version w ON w.entry_id = t.entry_id AND w.is_newest
    WHERE NOT w.is_deleted AND w.approval <> 'not_approved'
      AND NOT EXISTS (SELECT FROM entry_place p WHERE p.entry_id = t.entry_id AND p.because = 'before_go_live')
"""
_CONTRACTS = "SELECT count(DISTINCT contract_id) FROM readiness"


def collect_figures(
    *, system: System, town: Town, story: Story, seconds_total: int
) -> dict[str, Any]:
    """Ask every system once more and put the answers beside each other."""
    truth = erp.read_truth(cluster=town.erp.cluster, database=ERP_DATABASE)
    hours = compare_hours(truth=truth, expected=story.truth())
    differences = conservation_differences(system)
    faults = story.faults_injected()
    without_mistake = cases_without_mistake(system.database, planted_references(story))
    figures: dict[str, Any] = {
        "seconds_total": seconds_total,
        "deals_won": len(story.firm.deals),
        "projects_active": watch.plan_states(system.database).get("active", 0),
        "orphan_projects": len(truth.orphan_projects)
        + _unknown_projects(
            system, in_erp=truth.project_numbers, in_time_tool=story.open_projects()
        ),
        "time_entries": count_entries(system),
        "conservation_gap_seconds": sum(each.gap_seconds for each in differences),
        "erp_duplicate_lines": hours.duplicate_lines,
        "erp_missing_lines": hours.missing_lines,
        "reversals_without_cause": _reversals_without_cause(system, story),
        "cases_open": _count(system, "SELECT count(*) FROM case_file WHERE state = 'open'"),
        "cases_without_mistake": len(without_mistake),
        "contracts_ready": _count(
            system, f"{_CONTRACTS} WHERE state IN ('ready', 'released', 'invoiced')"
        ),
        "contracts_released": _count(
            system, f"{_CONTRACTS} WHERE state IN ('released', 'invoiced')"
        ),
        "invoices_drafted": _count(system, "SELECT count(*) FROM invoice_record"),
        "invoice_total_mismatch": _invoice_mismatches(system, truth),
        "faults_injected": faults,
        "faults_on_time_lines": story.faults_on_time_lines(),
    }
    examples = [
        *hours.examples,
        *(
            f"{each.kind} {each.key}: {each.ours_seconds} / {each.theirs_seconds}"
            for each in differences
        ),
        *without_mistake,
    ]
    if examples:
        figures["examples"] = examples[:40]
    return figures


def conservation_differences(system: System) -> list[Difference]:
    """Compare every source with the five places and every target with the ledger."""
    differences: list[Difference] = []
    with system.database.transaction() as connection:
        sources = connection.execute(
            "SELECT connection_key, config FROM connection WHERE kind = 'time'"
        ).fetchall()
        scopes = connection.execute(
            """
            SELECT l.erp_connection_key AS target, l.entity_code, min(p.starts_on) AS starts_on,
                   max(p.ends_on) AS ends_on
            FROM legal_entity l JOIN fiscal_period p USING (entity_code)
            GROUP BY 1, 2 ORDER BY 2
            """
        ).fetchall()
    for source in sources:
        streams = source["config"].get("streams", ())
        stream = "time_entries" if "time_entries" in streams else "files"
        asked = ask_source(
            connectors=system.connectors,
            connection_key=source["connection_key"],
            stream=stream,
        )
        with system.database.transaction() as connection:
            differences += compare_source(
                connection, connection_key=source["connection_key"], asked=asked
            )
    for scope in scopes:
        with system.database.transaction() as connection:
            differences += compare_target(
                connection,
                connectors=system.connectors,
                target_connection=scope["target"],
                entity_code=scope["entity_code"],
                starts_on=scope["starts_on"],
                ends_on=scope["ends_on"],
            )
    return differences


def count_entries(system: System) -> dict[str, int]:
    """Count entries by place, and the events that moved them."""
    with system.database.transaction() as connection:
        entries, _ = read_places(connection)
    counted = {place: entries.get(place, 0) for place in PLACES}
    return {
        # Counted where hours land, not where they are put: an hour in no place shows.
        "landed": _count(system, _LANDED),
        **counted,
        "outside": entries.get("outside", 0),
        "cleared": _count(system, "SELECT count(*) FROM verdict WHERE outcome = 'cleared'"),
        "reversed": _count(
            system, "SELECT count(*) FROM ledger_line WHERE reverses_line_id IS NOT NULL"
        ),
    }


def _unknown_projects(
    system: System, *, in_erp: Collection[str], in_time_tool: Collection[str]
) -> int:
    """Count projects of the ERP and the time tool with no active project of ours behind them."""
    with system.database.transaction() as connection:
        rows = connection.execute(
            """
            SELECT p.project_code FROM project p JOIN project_version v USING (project_id)
            WHERE v.superseded_at IS NULL AND v.status = 'active'
            """
        ).fetchall()
    active = {row["project_code"] for row in rows}
    return len(set(in_erp) - active) + len(set(in_time_tool) - active)


def _reversals_without_cause(system: System, story: Story) -> int:
    """Count reversed entries that nobody edited, deleted or took approval from."""
    changed = {
        str(reference)
        for change in story.changes_made
        for reference in (
            [change["body"]["id"]] if change["verb"] == "edit" else change["body"]["ids"]
        )
    }
    with system.database.transaction() as connection:
        rows = connection.execute(
            """
            SELECT DISTINCT t.source_ref FROM ledger_line l JOIN time_entry t USING (entry_id)
            WHERE l.reverses_line_id IS NOT NULL
            """
        ).fetchall()
    return len({row["source_ref"] for row in rows} - changed)


def cases_without_mistake(database: Database, planted: Collection[tuple[str, str]]) -> list[str]:
    """Name open cases that hold nothing of what was planted, as (reason, source reference)."""
    with database.transaction() as connection:
        rows = connection.execute(
            """
            SELECT c.reason, c.thing_kind, c.thing_key,
                   array_agg(DISTINCT coalesce(t.source_ref, m.member_key)) AS refs,
                   (SELECT coalesce(array_agg(x.source_ref), '{}') FROM crosswalk x
                    WHERE x.noun = 'client' AND x.superseded_at IS NULL
                      AND position(x.our_id::text IN c.details ->> 'candidates') > 0) AS asked_about
            FROM case_file c
            JOIN case_member m ON m.case_id = c.case_id AND m.left_at IS NULL
            LEFT JOIN time_entry t ON t.entry_id = m.entry_id
            WHERE c.state = 'open' GROUP BY c.case_id
            """
        ).fetchall()
    return [
        f"case {row['reason']} {row['thing_kind']} {row['thing_key']}"
        for row in rows
        if not any(
            (row["reason"], part) in planted or ("*", part) in planted
            for ref in (*row["refs"], *row["asked_about"])
            for part in ref.split(":")
        )
    ]


def planted_references(story: Story) -> set[tuple[str, str]]:
    """Return (reason, source reference) of everything that rightly needs a person."""
    references = story.references()
    deals = {deal.key: deal for deal in story.firm.deals}
    planted = {("time.period_closed", references[key]) for key in story.waiting}
    for mistake in story.firm.remaining_mistakes(is_after_changes=bool(story.changes_made)):
        reference = references.get(mistake.ref)
        if reference is None:
            continue
        planted.update((reason, reference) for reason in (mistake.reason, *mistake.may_also))
        if mistake.ref in deals:
            planted.add(("*", reference))
            # Of two records that may be one client, whichever was read later is asked about,
            # and the deal is that of the company alone.
            planted.add((mistake.reason, story.company_of(deals[mistake.ref])))
    return planted


def _invoice_mismatches(system: System, truth: erp.Truth) -> int:
    """Count invoices whose total in the ERP's own table is not what our ledger says."""
    stands = {invoice.invoice_code: invoice.untaxed_amount for invoice in truth.invoices}
    with system.database.transaction() as connection:
        rows = connection.execute(
            "SELECT target_code, expected_amount FROM invoice_record"
        ).fetchall()
    recorded: Mapping[str, Any] = {row["target_code"]: row["expected_amount"] for row in rows}
    return sum(stands.get(code) != recorded.get(code) for code in set(stands) | set(recorded))


def _count(system: System, statement: str) -> int:
    return watch.count(system.database, statement)
