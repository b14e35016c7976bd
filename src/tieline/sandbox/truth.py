"""The final truth: every hour that must stand in the ERP in the end, from the journal alone."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any

from tieline.kernel.money import seconds_from_hours
from tieline.sandbox.firm_model import Mistake

TASK_SEPARATOR = " | "
TruthKey = tuple[str, str, date, str, str]
"""Legal entity, person's e-mail, work date, project code, plain task name."""

Journal = Iterable[Mapping[str, Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class HarvestIds:
    """What the time tool calls the firm's projects, tasks, people and entries."""

    project_ids: Mapping[str, int]
    task_ids: Mapping[tuple[str, str], int]
    user_ids: Mapping[str, int]
    entry_ids: Mapping[str, int]


def final_truth(
    *,
    journal: Journal,
    mistakes: Iterable[Mistake],
    entity_of_project: Mapping[str, str],
    stays: Mapping[str, Decimal],
) -> dict[TruthKey, list[int]]:
    """Return the seconds that must stand, as sorted lists, from commits in their order.

    Approved entries count, except those with a planted mistake that still stands; a warning lets
    its entry pass. ``stays`` are the hours of entries by key whose change nobody has agreed to.
    """
    tables = last_state(journal)
    wrong = {mistake.ref for mistake in mistakes if not mistake.is_warning}
    truth: dict[TruthKey, list[int]] = defaultdict(list)
    for entry in tables["time_entries"].values():
        if entry["_key"] in wrong or not is_approved(entry):
            continue
        project_code = tables["projects"][entry["project_id"]]["code"]
        key = (
            entity_of_project[project_code],
            tables["users"][entry["user_id"]]["email"],
            date.fromisoformat(entry["spent_date"]),
            project_code,
            plain_task(tables["tasks"][entry["task_id"]]["name"]),
        )
        hours = stays.get(entry["_key"], Decimal(str(entry["hours"])))
        truth[key].append(seconds_from_hours(hours))
    return {key: sorted(seconds) for key, seconds in truth.items()}


def harvest_ids(journal: Journal) -> HarvestIds:
    """Read from the journal what the time tool calls things.

    :raises LookupError: two tasks of a project have the same plain name.
    """
    tables = last_state(journal)
    codes = {identity: row["code"] for identity, row in tables["projects"].items()}
    task_ids: dict[tuple[str, str], int] = {
        ("", plain_task(row["name"])): identity for identity, row in tables["tasks"].items()
    }
    for link in tables["task_assignments"].values():
        name = plain_task(tables["tasks"][link["task_id"]]["name"])
        key = (codes[link["project_id"]], name)
        if task_ids.setdefault(key, link["task_id"]) != link["task_id"]:
            raise LookupError(f"project {key[0]} has two tasks named {name}")
    return HarvestIds(
        project_ids={code: identity for identity, code in codes.items() if code},
        task_ids=task_ids,
        user_ids={row["email"]: identity for identity, row in tables["users"].items()},
        entry_ids={row["_key"]: identity for identity, row in tables["time_entries"].items()},
    )


def last_state(journal: Journal) -> Mapping[str, dict[int, Mapping[str, Any]]]:
    """Replay the commits; the last content of each record stands."""
    tables: dict[str, dict[int, Mapping[str, Any]]] = defaultdict(dict)
    for line in journal:
        if line["record"] is None:
            tables[line["table"]].pop(line["id"], None)
        else:
            tables[line["table"]][line["id"]] = line["record"]
    return tables


def is_approved(entry: Mapping[str, Any]) -> bool:
    """Tell whether a record of the time tool is approved, as its lock says."""
    return bool(entry["is_locked"]) and "Approved" in (entry["locked_reason"] or "")


def plain_task(name: str) -> str:
    """Return the task's name without what a provisioning system appends to it."""
    return name.partition(TASK_SEPARATOR)[0]
