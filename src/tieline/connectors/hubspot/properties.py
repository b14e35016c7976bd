"""Which property carries which canonical field: defaults, a connection's own words, mistakes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from zoneinfo import ZoneInfo

DEFAULT_FIELDS: Mapping[str, Mapping[str, str]] = {
    "deals": {
        "name": "dealname",
        "stage": "dealstage",
        "pipeline": "pipeline",
        "amount": "amount",
        "currency": "deal_currency_code",
        "closed_on": "closedate",
        "owner_ref": "hubspot_owner_id",
        "entity_code": "tieline_legal_entity",
        "practice": "tieline_practice",
        "cost_center": "tieline_cost_center",
        "billing_method": "tieline_billing_method",
        "purchase_order": "tieline_purchase_order",
        "is_purchase_order_required": "tieline_purchase_order_required",
        "rate_card": "tieline_rate_card",
        "tax_treatment": "tieline_tax_treatment",
        "starts_on": "tieline_starts_on",
        "ends_on": "tieline_ends_on",
        "project_code": "tieline_project_code",
        "cap_amount": "tieline_cap_amount",
    },
    "line_items": {
        "name": "name",
        "hours": "quantity",
        "rate_amount": "price",
        "amount": "amount",
        "task_name": "tieline_task",
        "labor_category": "tieline_labor_category",
        "rate_starts_on": "tieline_rate_starts_on",
        "markup_percent": "tieline_markup_percent",
    },
    "companies": {
        "name": "name",
        "domain": "domain",
        "country_code": "country",
        "city": "city",
        "street": "address",
        "postal_code": "zip",
        "vat_number": "tieline_vat_number",
    },
    "contacts": {"first_name": "firstname", "last_name": "lastname", "email": "email"},
}
DEFAULT_STATUS: Mapping[str, str] = {
    "project_status": "tieline_project_status",
    "project_ref": "tieline_project_ref",
    "revenue_wip": "tieline_revenue_wip",
    "revenue_billed": "tieline_revenue_billed",
    "revenue_backlog": "tieline_revenue_backlog",
    "revenue_currency": "tieline_revenue_currency",
    "revenue_rates": "tieline_revenue_rates",
    "revenue_as_of": "tieline_revenue_as_of",
}
# What `tieline connect hubspot` offers to create: type, and the words of a choice.
_DATES = frozenset({"tieline_starts_on", "tieline_ends_on", "tieline_rate_starts_on"})
_NUMBERS = frozenset(
    {
        "tieline_cap_amount",
        "tieline_markup_percent",
        "tieline_revenue_wip",
        "tieline_revenue_billed",
        "tieline_revenue_backlog",
    }
)
_CHOICES: Mapping[str, tuple[str, ...]] = {
    "tieline_billing_method": (
        "time_and_materials",
        "capped_time_and_materials",
        "fixed_fee",
        "cost_plus",
    ),
    "tieline_purchase_order_required": ("true", "false"),
}
_GROUPS: Mapping[str, str] = {
    "deals": "dealinformation",
    "line_items": "lineiteminformation",
    "companies": "companyinformation",
    "contacts": "contactinformation",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Mapped:
    """The connection's own mapping, on top of the defaults."""

    fields: Mapping[str, Mapping[str, str]]
    extras: Mapping[str, Mapping[str, str]]
    status: Mapping[str, str]
    won_stages: frozenset[str] | None
    zone: ZoneInfo

    def properties_of(self, object_name: str) -> list[str]:
        """Return every property to ask for, each once."""
        names = [*self.fields[object_name].values(), *self.extras.get(object_name, {}).values()]
        return sorted(set(names))


def mapped(config: Mapping[str, Any]) -> Mapped:
    """Read the mapping of a connection; what is wrong with it is told by ``mapping_mistakes``."""
    stages = config.get("won_stages")
    return Mapped(
        fields={
            object_name: {**defaults, **config.get("fields", {}).get(object_name, {})}
            for object_name, defaults in DEFAULT_FIELDS.items()
        },
        extras=config.get("extras", {}),
        status={**DEFAULT_STATUS, **config.get("status", {})},
        won_stages=None if stages is None else frozenset(stages),
        zone=ZoneInfo(config.get("zone", "UTC")),
    )


def mapping_mistakes(config: Mapping[str, Any]) -> list[str]:
    """Return a sentence for every canonical name that Tieline does not know."""
    mistakes = []
    for object_name, table in config.get("fields", {}).items():
        known = DEFAULT_FIELDS.get(object_name)
        if known is None:
            mistakes.append(f"fields.{object_name} is not an object that is read from HubSpot")
            continue
        mistakes += [
            f"fields.{object_name}.{canonical} is not a canonical field"
            for canonical in table
            if canonical not in known
        ]
    mistakes += [
        f"extras.{object_name} is not an object that is read from HubSpot"
        for object_name in config.get("extras", {})
        if object_name not in DEFAULT_FIELDS
    ]
    mistakes += [
        f"status.{name} is not a value that Tieline reports"
        for name in config.get("status", {})
        if name not in DEFAULT_STATUS
    ]
    return mistakes


def definition_of(*, object_name: str, name: str) -> dict[str, Any]:
    """Return the request that creates a property."""
    kind, field_type = _form(name)
    definition: dict[str, Any] = {
        "name": name,
        "label": name.removeprefix("tieline_").replace("_", " ").capitalize(),
        "type": kind,
        "fieldType": field_type,
        "groupName": _GROUPS[object_name],
    }
    if name in _CHOICES:
        definition["options"] = [
            {
                "label": word.replace("_", " ").capitalize(),
                "value": word,
                "displayOrder": order,
                "hidden": False,
            }
            for order, word in enumerate(_CHOICES[name])
        ]
    return definition


def _form(name: str) -> tuple[str, str]:
    if name in _DATES:
        return "date", "date"
    if name in _NUMBERS:
        return "number", "number"
    if name in _CHOICES:
        return "enumeration", "select"
    return "string", "text"
