"""What Harvest keeps: its resources, which fields a request may set, how an answer looks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation
from typing import Any

from tieline.sandbox.records import Record, RecordStore

APPROVED = "Item Approved and Locked for this Time Period"
_CENT = Decimal("0.01")


class Unprocessable(ValueError):
    """Harvest answers 422 with this sentence."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Resource:
    """One collection: where ids begin, what a request may set, what holds when it does not."""

    name: str
    first_id: int
    required: tuple[str, ...]
    writable: Mapping[str, Callable[[Any], Any]]
    defaults: Mapping[str, Any]
    references: Mapping[str, str] = field(default_factory=dict)


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise Unprocessable(f"{value!r} is not a text")
    return value


def _whole(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise Unprocessable(f"{value!r} is not a whole number")
    return value


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise Unprocessable(f"{value!r} is not true or false")
    return value


def _number(value: Any) -> Decimal:
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        raise Unprocessable(f"{value!r} is not a number")
    return Decimal(value)


def hours_of(value: Any) -> Decimal:
    """Read hours as Harvest keeps them, to two decimals.

    :raises Unprocessable: the value is no number.
    """
    try:
        hours = Decimal(str(value))
        return hours.quantize(_CENT, rounding=ROUND_HALF_UP)
    except InvalidOperation as error:
        raise Unprocessable(f"Hours {value!r} is not a number") from error


def _day(value: Any) -> str:
    try:
        return date.fromisoformat(_text(value)).isoformat()
    except ValueError as error:
        raise Unprocessable(f"{value!r} is not a date such as 2026-10-31") from error


def _texts(value: Any) -> list[str]:
    if not isinstance(value, list):
        raise Unprocessable(f"{value!r} is not a list")
    return [_text(item) for item in value]


def _mapping(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise Unprocessable(f"{value!r} is not an object")
    return value


def _or_null(read: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda value: None if value is None else read(value)


USERS = Resource(
    name="users",
    first_id=3_200_001,
    required=("first_name", "last_name", "email"),
    writable={
        "first_name": _text,
        "last_name": _text,
        "email": _text,
        "telephone": _text,
        "timezone": _text,
        "has_access_to_all_future_projects": _flag,
        "is_contractor": _flag,
        "is_active": _flag,
        "weekly_capacity": _whole,
        "default_hourly_rate": _or_null(_number),
        "cost_rate": _or_null(_number),
        "roles": _texts,
        "access_roles": _texts,
    },
    defaults={
        "telephone": "",
        "timezone": "Berlin",
        "has_access_to_all_future_projects": False,
        "is_contractor": False,
        "is_active": True,
        "weekly_capacity": 144_000,
        "default_hourly_rate": None,
        "cost_rate": None,
        "roles": [],
        "access_roles": ["member"],
        "avatar_url": "https://cache.harvestapp.com/assets/profile_images/blank.png",
    },
)
CLIENTS = Resource(
    name="clients",
    first_id=5_740_001,
    required=("name",),
    writable={
        "name": _text,
        "is_active": _flag,
        "address": _or_null(_text),
        "currency": _text,
    },
    defaults={"is_active": True, "address": None, "currency": "EUR"},
)
TASKS = Resource(
    name="tasks",
    first_id=8_090_001,
    required=("name",),
    writable={
        "name": _text,
        "billable_by_default": _flag,
        "default_hourly_rate": _or_null(_number),
        "is_default": _flag,
        "is_active": _flag,
    },
    defaults={
        "billable_by_default": True,
        "default_hourly_rate": None,
        "is_default": False,
        "is_active": True,
    },
)
PROJECTS = Resource(
    name="projects",
    first_id=14_310_001,
    required=("client_id", "name", "is_billable", "bill_by", "budget_by"),
    writable={
        "client_id": _whole,
        "name": _text,
        "code": _or_null(_text),
        "is_active": _flag,
        "is_billable": _flag,
        "is_fixed_fee": _flag,
        "bill_by": _text,
        "hourly_rate": _or_null(_number),
        "budget": _or_null(_number),
        "budget_by": _text,
        "budget_is_monthly": _flag,
        "notify_when_over_budget": _flag,
        "over_budget_notification_percentage": _number,
        "show_budget_to_all": _flag,
        "cost_budget": _or_null(_number),
        "cost_budget_include_expenses": _flag,
        "fee": _or_null(_number),
        "notes": _or_null(_text),
        "starts_on": _or_null(_day),
        "ends_on": _or_null(_day),
    },
    defaults={
        "code": None,
        "is_active": True,
        "is_fixed_fee": False,
        "hourly_rate": None,
        "budget": None,
        "budget_is_monthly": False,
        "notify_when_over_budget": False,
        "over_budget_notification_percentage": Decimal("80.0"),
        "over_budget_notification_date": None,
        "show_budget_to_all": False,
        "cost_budget": None,
        "cost_budget_include_expenses": False,
        "fee": None,
        "notes": None,
        "starts_on": None,
        "ends_on": None,
    },
    references={"client_id": "clients"},
)
TASK_ASSIGNMENTS = Resource(
    name="task_assignments",
    first_id=155_600_001,
    required=("task_id",),
    writable={
        "task_id": _whole,
        "is_active": _flag,
        "billable": _flag,
        "hourly_rate": _or_null(_number),
        "budget": _or_null(_number),
    },
    defaults={"is_active": True, "billable": True, "hourly_rate": None, "budget": None},
    references={"task_id": "tasks"},
)
USER_ASSIGNMENTS = Resource(
    name="user_assignments",
    first_id=125_100_001,
    required=("user_id",),
    writable={
        "user_id": _whole,
        "is_active": _flag,
        "is_project_manager": _flag,
        "use_default_rates": _flag,
        "hourly_rate": _or_null(_number),
        "budget": _or_null(_number),
    },
    defaults={
        "is_active": True,
        "is_project_manager": False,
        "use_default_rates": True,
        "hourly_rate": None,
        "budget": None,
    },
    references={"user_id": "users"},
)
TIME_ENTRIES = Resource(
    name="time_entries",
    first_id=636_800_001,
    required=("project_id", "task_id", "spent_date"),
    writable={
        "user_id": _whole,
        "project_id": _whole,
        "task_id": _whole,
        "spent_date": _day,
        "hours": hours_of,
        "notes": _or_null(_text),
        "external_reference": _or_null(_mapping),
        "started_time": _or_null(_text),
        "ended_time": _or_null(_text),
    },
    defaults={
        "hours": Decimal("0.00"),
        "notes": None,
        "external_reference": None,
        "is_locked": False,
        "locked_reason": None,
        "is_billed": False,
        "started_time": None,
        "ended_time": None,
    },
    references={"user_id": "users", "project_id": "projects", "task_id": "tasks"},
)
RESOURCES = {
    resource.name: resource
    for resource in (
        USERS,
        CLIENTS,
        TASKS,
        PROJECTS,
        TASK_ASSIGNMENTS,
        USER_ASSIGNMENTS,
        TIME_ENTRIES,
    )
}


def read_fields(resource: Resource, body: Mapping[str, Any]) -> Record:
    """Take from a request what may be set; Harvest ignores words it does not know.

    :raises Unprocessable: a value has the wrong form.
    """
    return {
        name: resource.writable[name](value)
        for name, value in body.items()
        if name in resource.writable
    }


def instant(moment: datetime) -> str:
    """Write an instant as Harvest does: in UTC, to the second."""
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def render(resource: Resource, record: Record, store: RecordStore) -> Record:
    """Write a record as an answer shows it."""
    shown = {key: value for key, value in record.items() if not key.startswith("_")}
    match resource.name:
        case "clients":
            return {**shown, "statement_key": f"{record['id']:032x}"}
        case "projects":
            client = store.table("clients")[shown.pop("client_id")]
            return {**shown, "client": _named(client, "currency")}
        case "task_assignments" | "user_assignments":
            return _assignment(resource, shown, store)
        case "time_entries":
            return _time_entry(shown, store)
        case _:
            return shown


def _named(record: Record, *more: str) -> Record:
    return {key: record[key] for key in ("id", "name", *more)}


def _person(record: Record) -> Record:
    return {"id": record["id"], "name": f"{record['first_name']} {record['last_name']}"}


def _assignment(resource: Resource, shown: Record, store: RecordStore) -> Record:
    project = store.table("projects")[shown.pop("project_id")]
    if resource is TASK_ASSIGNMENTS:
        other = {"task": _named(store.table("tasks")[shown.pop("task_id")])}
    else:
        other = {"user": _person(store.table("users")[shown.pop("user_id")])}
    return {**shown, "project": _named(project, "code"), **other}


def _time_entry(shown: Record, store: RecordStore) -> Record:
    project = store.table("projects")[shown["project_id"]]
    task_id, user_id = shown["task_id"], shown["user_id"]
    task_assignment = _assigned(store, TASK_ASSIGNMENTS, project["id"], "task_id", task_id)
    user_assignment = _assigned(store, USER_ASSIGNMENTS, project["id"], "user_id", user_id)
    hours = _shown_hours(shown["hours"])
    reason = shown["locked_reason"] or ""
    return {
        "id": shown["id"],
        "spent_date": shown["spent_date"],
        "user": _person(store.table("users")[user_id]),
        "client": _named(store.table("clients")[project["client_id"]]),
        "project": _named(project),
        "task": _named(store.table("tasks")[task_id]),
        "user_assignment": user_assignment,
        "task_assignment": task_assignment,
        "hours": hours,
        "hours_without_timer": hours,
        "rounded_hours": hours,
        "notes": shown["notes"],
        "created_at": shown["created_at"],
        "updated_at": shown["updated_at"],
        "is_locked": shown["is_locked"],
        "locked_reason": shown["locked_reason"],
        "is_closed": "Approved" in reason,
        "is_billed": shown["is_billed"],
        "timer_started_at": None,
        "started_time": shown["started_time"],
        "ended_time": shown["ended_time"],
        "is_running": False,
        "invoice": None,
        "external_reference": shown["external_reference"],
        "billable": True if task_assignment is None else task_assignment["billable"],
        "budgeted": project["budget_by"] != "none",
        "billable_rate": None,
        "cost_rate": None,
    }


def _shown_hours(hours: Decimal) -> Decimal:
    """Drop a trailing zero as the vendor does: 8.80 is 8.8 and 8.00 is 8.0."""
    tenths = hours.quantize(Decimal("0.1"))
    return tenths if tenths == hours else hours.quantize(_CENT)


def _assigned(
    store: RecordStore, resource: Resource, project_id: int, column: str, other_id: int
) -> Record | None:
    found = find_assignment(store, resource, project_id=project_id, column=column, ref=other_id)
    if found is None:
        return None
    hidden = {"project_id", column}
    return {k: v for k, v in found.items() if k not in hidden and not k.startswith("_")}


def find_assignment(
    store: RecordStore, resource: Resource, *, project_id: int, column: str, ref: int
) -> Record | None:
    """Return the assignment of a person or task to a project, if there is one."""
    return store.index(resource.name, "project_id", column).get((project_id, ref))
