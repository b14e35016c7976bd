"""Harvest's records in canonical words, and ours in Harvest's; pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from tieline.canonical import (
    BILLED_BY_SCHEDULE,
    Approval,
    Client,
    ClientCommand,
    FieldCommand,
    Person,
    ProjectCommand,
    StaffingFact,
    TaskCommand,
    TimeEntry,
    WorkItem,
)
from tieline.kernel.keys import key_as_base32
from tieline.kernel.money import seconds_from_hours
from tieline.sdk import RawRecord, Translated, Untranslatable
from tieline.sdk.slices import NotJson, decode_exact, decode_page, unnamed

QUANTUM_SECONDS = 36  # Harvest keeps hundredths of an hour.
KEY_LABEL = "Tieline key"
VAT_LABEL = "VAT"

# What the vendor writes under locked_reason, and what it says about approval. Invoicing and
# archiving lock an entry without telling whether anybody approved it: that is UNKNOWN, a case,
# unless the connection's TOML says what the firm means by it.
LOCKED_REASONS: Mapping[str, Approval] = {
    "Item Approved and Locked for this Time Period": Approval.APPROVED,
    "Item Approved and Locked": Approval.APPROVED,
    "Item Approved": Approval.APPROVED,
    "Item Invoiced and Approved and Locked for this Time Period": Approval.APPROVED,
    "Item Invoiced and Approved and Locked": Approval.APPROVED,
    "Item Invoiced and Approved": Approval.APPROVED,
}

CONFIGURABLE = ("narrative", "labor_category")
KNOWN_FIELDS: Mapping[str, frozenset[str]] = {
    "users": frozenset(
        "id first_name last_name email telephone timezone weekly_capacity is_contractor is_active"
        " roles access_roles default_hourly_rate cost_rate".split()
    ),
    "clients": frozenset("id name is_active address statement_key currency".split()),
    "projects": frozenset(
        "id name code is_active is_billable is_fixed_fee bill_by hourly_rate budget budget_by fee"
        " notes starts_on ends_on client.id client.name client.currency".split()
    ),
    "tasks": frozenset(
        "id name billable_by_default default_hourly_rate is_default is_active".split()
    ),
    "user_assignments": frozenset(
        "id is_project_manager is_active use_default_rates hourly_rate budget".split()
    ),
    "task_assignments": frozenset("id billable is_active hourly_rate budget task.id".split()),
    "time_entries": frozenset(
        "id notes hours rounded_hours is_billed is_closed client.id client.name project.name"
        " project.code task.id task.name user.name started_time ended_time invoice.id"
        " invoice.number external_reference.id external_reference.group_id"
        " external_reference.service external_reference.permalink".split()
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Mapped:
    """What the connection's TOML adds: vendor fields by canonical name, extras, lock reasons."""

    fields: Mapping[str, str]
    extras: Mapping[str, Mapping[str, str]]
    approval: Mapping[str, Approval] = field(default_factory=dict)


def mapped(config: Mapping[str, Any]) -> Mapped:
    """Read the mapping of a connection; what is wrong with it is told by ``mapping_mistakes``."""
    words = {
        reason: Approval(word)
        for reason, word in config.get("approval", {}).items()
        if word in set(Approval)
    }
    return Mapped(
        fields={
            "narrative": "notes",
            **config.get("fields", {}).get("time_entries", {}),
        },
        extras=config.get("extras", {}),
        approval={**LOCKED_REASONS, **words},
    )


def mapping_mistakes(config: Mapping[str, Any]) -> list[str]:
    """Return a sentence for every name that neither Harvest nor Tieline knows."""
    mistakes = []
    for object_name, table in config.get("fields", {}).items():
        for canonical, path in table.items():
            if object_name != "time_entries" or canonical not in CONFIGURABLE:
                mistakes.append(f"fields.{object_name}.{canonical} is not a canonical field")
            if path not in KNOWN_FIELDS.get(object_name, ()):
                mistakes.append(f"Harvest's {object_name} have no field {path}")
    for object_name, table in config.get("extras", {}).items():
        if object_name not in KNOWN_FIELDS:
            mistakes.append(f"extras.{object_name} is not an object of Harvest")
            continue
        mistakes += [
            f"Harvest's {object_name} have no field {path}"
            for path in table.values()
            if path not in KNOWN_FIELDS[object_name]
        ]
    for reason, word in config.get("approval", {}).items():
        if word not in set(Approval):
            mistakes.append(f"approval.{reason} = {word} is none of {', '.join(Approval)}")
    return mistakes


def translate(*, record: RawRecord, mapping: Mapped) -> Translated | Untranslatable:
    """Return the canonical form of one record, or why it cannot be understood."""
    reader = _READERS.get(record.object)
    if reader is None:
        return Untranslatable(
            reason="translate.unknown_object",
            message=f"Harvest has no object {record.object}",
        )
    try:
        raw = decode_exact(record.body)
        # Whoever has no readable id or last change is nobody yet: its hours could come again under another.
        source_ref(record.object, raw)
        source_instant(raw)
        return Translated(noun=reader(raw, mapping))
    except KeyError as error:
        return Untranslatable(
            reason="translate.field_missing",
            message=f"{record.object} {record.source_ref} lacks {error.args[0]}",
            field=str(error.args[0]),
        )
    except (NotJson, ValueError, TypeError, AttributeError, ArithmeticError) as error:
        return Untranslatable(
            reason="translate.value_unreadable",
            message=f"{record.object} {record.source_ref} cannot be read ({type(error).__name__})",
        )


def approval_of(raw: Mapping[str, Any], *, reasons: Mapping[str, Approval]) -> tuple[Approval, str]:
    """Return what the lock says about approval, and the vendor's own word for it."""
    if not isinstance(raw["is_locked"], bool):
        raise TypeError("is_locked is not true or false")
    if not raw["is_locked"]:
        return Approval.NOT_APPROVED, ""
    word = (raw["locked_reason"] or "").strip()
    return reasons.get(word, Approval.UNKNOWN), word


def _time_entry(raw: Mapping[str, Any], mapping: Mapped) -> TimeEntry:
    approval, word = approval_of(raw, reasons=mapping.approval)
    return TimeEntry(
        person_ref=str(raw["user"]["id"]),
        project_ref=str(raw["project"]["id"]),
        task_ref=_task_ref(raw),
        labor_category=_text(_at(raw, mapping.fields.get("labor_category"))),
        work_date=date.fromisoformat(raw["spent_date"]),
        zone=None,
        seconds=seconds_from_hours(_number(raw["hours"])),
        quantum_seconds=QUANTUM_SECONDS,
        started_at=None,
        ended_at=None,
        billable=raw["billable"],
        approval=approval,
        approval_word=word,
        approver_ref=None,
        approved_at=None,
        created_at=_instant(raw["created_at"]),
        narrative=_text(_at(raw, mapping.fields["narrative"])),
        extras=_extras(raw, mapping.extras.get("time_entries", {})),
    )


def _task_ref(raw: Mapping[str, Any]) -> str | None:
    # A Harvest task is shared by all projects; what is bookable is its assignment to one.
    assignment = raw["task_assignment"]
    return None if assignment is None else f"{raw['project']['id']}/{assignment['id']}"


def _person(raw: Mapping[str, Any], mapping: Mapped) -> Person:
    name = f"{raw['first_name'] or ''} {raw['last_name'] or ''}".strip()
    return Person(
        name=name,
        email=_text(raw["email"]),
        employee_code=None,
        entity_code=None,
        is_active=raw["is_active"],
        employed_from=None,
        employed_to=None,
        cost_rate=None if raw.get("cost_rate") is None else _number(raw["cost_rate"]),
        extras=_extras(raw, mapping.extras.get("users", {})),
    )


def _client(raw: Mapping[str, Any], mapping: Mapped) -> Client:
    address = read_address(raw.get("address") or "")
    return Client(
        name=raw["name"],
        vat_number=address.vat_number,
        street=address.free_text or None,
        postal_code=None,
        city=None,
        country_code=None,
        domain=None,
        parent_ref=None,
        is_active=raw["is_active"],
        extras=_extras(raw, mapping.extras.get("clients", {})),
    )


def _project(raw: Mapping[str, Any], mapping: Mapped) -> WorkItem:
    client = raw["client"]
    return WorkItem(
        kind="project",
        name=raw["name"],
        code=_text(raw.get("code")),
        parent_ref=None,
        client_ref=None if client is None else str(client["id"]),
        is_active=raw["is_active"],
        extras=_extras(raw, mapping.extras.get("projects", {})),
    )


def _task(raw: Mapping[str, Any], mapping: Mapped) -> WorkItem:
    return WorkItem(
        kind="task_name",
        name=raw["name"],
        code=None,
        parent_ref=None,
        client_ref=None,
        is_active=raw["is_active"],
        extras=_extras(raw, mapping.extras.get("tasks", {})),
    )


def _task_assignment(raw: Mapping[str, Any], mapping: Mapped) -> WorkItem:
    return WorkItem(
        kind="task",
        name=raw["task"]["name"],
        code=None,
        parent_ref=str(raw["project"]["id"]),
        client_ref=None,
        is_active=raw["is_active"],
        extras=_extras(raw, mapping.extras.get("task_assignments", {})),
    )


def _user_assignment(raw: Mapping[str, Any], mapping: Mapped) -> StaffingFact:
    extras = {
        "user_ref": str(raw["user"]["id"]),
        "project_ref": str(raw["project"]["id"]),
        "is_active": str(raw["is_active"]).lower(),
    }
    return StaffingFact(
        fact="assignment",
        person_email=None,
        person_name=raw["user"]["name"],
        employee_code=None,
        entity_code=None,
        project_code=_text(raw["project"].get("code")),
        labor_category=None,
        starts_on=None,
        ends_on=None,
        approver_email=None,
        deputy_email=None,
        manages_project=raw.get("is_project_manager"),
        extras={**_extras(raw, mapping.extras.get("user_assignments", {})), **extras},
    )


_READERS: Mapping[str, Callable[[Mapping[str, Any], Mapped], Any]] = {
    "users": _person,
    "clients": _client,
    "projects": _project,
    "tasks": _task,
    "task_assignments": _task_assignment,
    "user_assignments": _user_assignment,
    "time_entries": _time_entry,
}


# -- our commands in Harvest's words -------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """The lines of a client's address: what is free text, and the two lines we add."""

    free_text: str
    vat_number: str | None
    key: str | None


def client_body(command: ClientCommand) -> dict[str, Any]:
    """Write a client; its address keeps the tax number and our key as lines of their own."""
    town = " ".join(part for part in (command.postal_code, command.city) if part)
    lines = [
        command.street,
        town,
        command.country_code,
        command.vat_number and f"{VAT_LABEL} {command.vat_number}",
        key_line(command.business_key),
    ]
    return {"name": command.name, "address": "\n".join(line for line in lines if line)}


def read_address(text: str) -> Address:
    """Take an address apart again; people may have edited around our lines."""
    free: list[str] = []
    vat_number, key = None, None
    for line in (line.strip() for line in text.splitlines()):
        if line.startswith(f"{VAT_LABEL} "):
            vat_number = line.removeprefix(f"{VAT_LABEL} ").strip()
        elif line.startswith(f"{KEY_LABEL} "):
            key = line.removeprefix(f"{KEY_LABEL} ").strip()
        elif line:
            free.append(line)
    return Address(free_text="\n".join(free), vat_number=vat_number, key=key)


_CLIENT_ID = "client_id"


def project_body(command: ProjectCommand) -> dict[str, Any]:
    """Write a project; rates stand on its tasks, its last day is inclusive in Harvest."""
    last_day = None if command.ends_on is None else command.ends_on - timedelta(days=1)
    return {
        "client_id": int(command.client_code),
        "name": command.name,
        "code": command.code,
        "is_billable": True,
        "is_fixed_fee": command.billing_method in BILLED_BY_SCHEDULE,
        "bill_by": "Tasks",
        "budget_by": "none",
        "starts_on": command.starts_on.isoformat(),
        "ends_on": None if last_day is None else last_day.isoformat(),
        "notes": key_line(command.business_key),
    }


def field_body(command: FieldCommand) -> dict[str, Any]:
    """Write the fields of a record that stands; whose project it is, is a number."""
    return {
        name: int(value) if name == _CLIENT_ID else value for name, value in command.values.items()
    }


def field_of(record: Mapping[str, Any], name: str) -> str:
    """Return a field of a record as commands say it."""
    return str((record["client"]["id"] if name == _CLIENT_ID else record[name]) or "")


def task_assignment_body(command: TaskCommand, *, task_id: int) -> dict[str, Any]:
    """Write a task's place on a project."""
    return {"task_id": task_id, **task_assignment_terms(command)}


def task_assignment_terms(command: TaskCommand) -> dict[str, Any]:
    """Write what a task on a project may be changed to."""
    return {
        "is_active": True,
        "billable": command.is_billable,
        "hourly_rate": command.rate_amount,
    }


def client_content(raw: Mapping[str, Any]) -> dict[str, str]:
    """Say in our words what a stored client is."""
    address = read_address(raw["address"] or "")
    return {"name": raw["name"], "vat_number": address.vat_number or ""}


def project_content(raw: Mapping[str, Any]) -> dict[str, str]:
    """Say in our words what a stored project is."""
    return {
        "code": raw["code"] or "",
        "name": raw["name"],
        "client_code": str(raw["client"]["id"]),
    }


def task_content(raw: Mapping[str, Any], *, command: TaskCommand) -> dict[str, str]:
    """Say in our words what a stored task assignment is.

    Harvest keeps no dates for a task: the asked ones are told back, a stated residue.
    """
    asked = command.content()
    rate = raw["hourly_rate"]
    return {
        "project_code": str(raw["project"]["id"]),
        "name": raw["task"]["name"],
        "rate_amount": "" if rate is None else _plain(_number(rate)),
        "starts_on": asked["starts_on"],
        "ends_on": asked["ends_on"],
    }


def assignment_content(raw: Mapping[str, Any]) -> dict[str, str]:
    """Say in our words what a stored user assignment is."""
    return {
        "project_code": str(raw["project"]["id"]),
        "person_code": str(raw["user"]["id"]),
    }


def key_line(key: UUID) -> str:
    """Write our key as a line of free text that can be found again."""
    return f"{KEY_LABEL} {key_as_base32(key)}"


def has_key(text: str | None, *, key: UUID) -> bool:
    """Tell whether a free text carries our key as a line of its own."""
    wanted = key_line(key)
    return any(line.strip() == wanted for line in (text or "").splitlines())


def without_key(text: str | None) -> str:
    """Drop our key's line, so that an archived record no longer stands under it."""
    kept = [line for line in (text or "").splitlines() if not line.startswith(f"{KEY_LABEL} ")]
    return "\n".join(kept)


def source_instant(raw: Mapping[str, Any]) -> datetime | None:
    """Return the record's own last change."""
    return _instant(raw.get("updated_at"))


def source_ref(object_name: str, raw: Mapping[str, Any]) -> str:
    """Return the reference of a record; an assignment needs its project to be asked for.

    :raises KeyError, TypeError: it has none.
    """
    if object_name in ("task_assignments", "user_assignments"):
        return f"{_number_of(raw['project'])}/{_number_of(raw)}"
    return _number_of(raw)


def naming(object_name: str, body: bytes) -> tuple[str, datetime | None]:
    """Return the reference and last change of a record; one that lacks either is not understood later.

    What has no id is named after its bytes, so that it is kept and told of, and the rest is read.
    """
    try:
        raw = decode_page(body)
        reference = source_ref(object_name, raw)
    except (NotJson, KeyError, TypeError, AttributeError):
        return unnamed(body), None
    try:
        moment = source_instant(raw)
        # What has no instant in UTC is later than anything can be.
        return reference, moment and moment.astimezone(UTC)
    except (ValueError, TypeError, AttributeError, OverflowError):
        return reference, None


def _number_of(raw: Mapping[str, Any]) -> str:
    if isinstance(raw["id"], bool) or not isinstance(raw["id"], int):
        raise TypeError("the id is not a number")
    return str(raw["id"])


def _at(raw: Mapping[str, Any], path: str | None) -> Any:
    if path is None:
        return None
    value: Any = raw
    for name in path.split("."):
        value = None if value is None else value.get(name)
    return value


def _extras(raw: Mapping[str, Any], paths: Mapping[str, str]) -> dict[str, str]:
    values = {name: _at(raw, path) for name, path in paths.items()}
    return {name: str(value) for name, value in values.items() if value is not None}


def _text(value: Any) -> str | None:
    if value is None or value == "":
        return None
    if not isinstance(value, str):
        raise TypeError("not a text")
    return value


def _number(value: Any) -> Decimal:
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        raise TypeError("not a number")
    return Decimal(value)


def _plain(amount: Decimal) -> str:
    return format(amount.normalize(), "f")


def _instant(text: str | None) -> datetime | None:
    if text is None:
        return None
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError("an instant without a zone")
    return moment
