"""What HubSpot keeps: objects with named properties, associations, and how search reads them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Any

from tieline.sandbox.records import Record, RecordStore

ASSOCIATIONS = "associations"
PROPERTIES = "properties"
OWNERS = "owners"


class Invalid(ValueError):
    """HubSpot answers 400 with this sentence."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectType:
    """One kind of CRM object, with the number and words the vendor has for it."""

    table: str
    type_id: str
    singular: str
    first_id: int
    modified_property: str
    shown: tuple[str, ...]
    built_in: Mapping[str, str]


_EVERY = {"hs_object_id": "number", "createdate": "datetime"}

CONTACTS = ObjectType(
    table="contacts",
    type_id="0-1",
    singular="contact",
    first_id=51_001,
    modified_property="lastmodifieddate",
    shown=("email", "firstname", "lastname"),
    built_in={
        **_EVERY,
        "lastmodifieddate": "datetime",
        "email": "string",
        "firstname": "string",
        "lastname": "string",
        "jobtitle": "string",
        "phone": "phone_number",
    },
)
COMPANIES = ObjectType(
    table="companies",
    type_id="0-2",
    singular="company",
    first_id=7_100_001,
    modified_property="hs_lastmodifieddate",
    shown=("domain", "name"),
    built_in={
        **_EVERY,
        "hs_lastmodifieddate": "datetime",
        "name": "string",
        "domain": "string",
        "country": "string",
        "city": "string",
        "address": "string",
        "zip": "string",
        "phone": "phone_number",
        "industry": "string",
        "hs_parent_company_id": "number",
    },
)
DEALS = ObjectType(
    table="deals",
    type_id="0-3",
    singular="deal",
    first_id=91_000_001,
    modified_property="hs_lastmodifieddate",
    shown=("amount", "closedate", "dealname", "dealstage", "pipeline"),
    built_in={
        **_EVERY,
        "hs_lastmodifieddate": "datetime",
        "dealname": "string",
        "dealstage": "string",
        "pipeline": "string",
        "amount": "number",
        "deal_currency_code": "string",
        "closedate": "datetime",
        "hubspot_owner_id": "string",
        "hs_is_closed": "bool",
        "hs_is_closed_won": "bool",
    },
)
LINE_ITEMS = ObjectType(
    table="line_items",
    type_id="0-8",
    singular="line_item",
    first_id=20_300_001,
    modified_property="hs_lastmodifieddate",
    shown=("amount", "name", "price", "quantity"),
    built_in={
        **_EVERY,
        "hs_lastmodifieddate": "datetime",
        "name": "string",
        "quantity": "number",
        "price": "number",
        "amount": "number",
        "hs_product_id": "number",
        "hs_line_item_currency_code": "string",
    },
)
_TYPES = (CONTACTS, COMPANIES, DEALS, LINE_ITEMS)

_ASSOCIATION_TYPES = {
    ("deals", "companies"): (341, None),
    ("companies", "deals"): (342, None),
    ("deals", "contacts"): (3, None),
    ("contacts", "deals"): (4, None),
    ("deals", "line_items"): (19, None),
    ("line_items", "deals"): (20, None),
    ("contacts", "companies"): (279, None),
    ("companies", "contacts"): (280, None),
}
# The vendor's numbers: 14 leads from a child to its parent, 13 from a parent to its child.
CHILD_TO_PARENT = (14, "Parent Company")
PARENT_TO_CHILD = (13, "Child Company")


def find_object_type(word: str) -> ObjectType | None:
    """Return the object type that a path names in any of the vendor's spellings."""
    for kind in _TYPES:
        if word.lower() in (kind.table, kind.type_id, kind.singular):
            return kind
    return None


def get_object_type(word: str) -> ObjectType:
    """Return the object type that a path names.

    :raises Invalid: there is none.
    """
    kind = find_object_type(word)
    if kind is None:
        raise Invalid(f"Unable to infer object type from: {word}")
    return kind


def instant(moment: datetime) -> str:
    """Write an instant as HubSpot does: in UTC, to the millisecond."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def property_types(store: RecordStore, kind: ObjectType) -> dict[str, str]:
    """Return the type of every property that an object may have."""
    own = {
        record["name"]: record["type"]
        for record in store.table(PROPERTIES).values()
        if record["_object"] == kind.table and not record["archived"]
    }
    return {**kind.built_in, **own}


def checked_properties(
    store: RecordStore, kind: ObjectType, given: Mapping[str, Any]
) -> dict[str, str | None]:
    """Return what a request sets, as text.

    :raises Invalid: a property does not exist or its value has the wrong form.
    """
    types = property_types(store, kind)
    unknown = sorted(set(given) - set(types))
    if unknown:
        raise Invalid(
            "Property values were not valid: "
            + ", ".join(f'Property "{name}" does not exist' for name in unknown)
        )
    return {name: _checked(types[name], value) for name, value in given.items()}


def _checked(form: str, value: Any) -> str | None:
    text = "" if value is None else str(value)
    if text == "":
        return None
    try:
        match form:
            case "number":
                Decimal(text)
            case "date" | "datetime":
                _milliseconds(text)
            case "bool":
                if text not in ("true", "false"):
                    raise ValueError(text)
            case _:
                pass
    except (ValueError, InvalidOperation) as error:
        raise Invalid(f"Property values were not valid: {text} was not a valid {form}") from error
    return text


def rendered(
    kind: ObjectType, record: Record, *, properties: Sequence[str] = (), archived: bool = False
) -> Record:
    """Write an object with the asked properties, or with the usual ones."""
    names = [*(properties or kind.shown), "createdate", kind.modified_property, "hs_object_id"]
    known = record["properties"]
    shown: Record = {
        "id": str(record["id"]),
        "properties": {name: known.get(name) for name in dict.fromkeys(names)},
        "createdAt": record["created_at"],
        "updatedAt": record["updated_at"],
        "archived": archived,
    }
    if archived:
        shown["archivedAt"] = record["updated_at"]
    return shown


def association_type(source: ObjectType, target: ObjectType) -> tuple[int, str | None]:
    """Return number and label of the unlabeled association between two kinds.

    :raises Invalid: the vendor has none.
    """
    pair = (source.table, target.table)
    if pair not in _ASSOCIATION_TYPES:
        raise Invalid(f"{source.table} are not associated with {target.table}")
    return _ASSOCIATION_TYPES[pair]


def linked(
    store: RecordStore, source: ObjectType, source_id: int, target: ObjectType
) -> list[Record]:
    """Return the associations that lead from one object to objects of a kind."""
    return [
        record
        for record in store.table(ASSOCIATIONS).values()
        if record["from_table"] == source.table
        and record["from_id"] == source_id
        and record["to_table"] == target.table
    ]


def matches(record: Record, groups: Sequence[Mapping[str, Any]]) -> bool:
    """Tell whether an object passes any of the groups; no group passes everything."""
    if not groups:
        return True
    return any(all(_passes(record, test) for test in group["filters"]) for group in groups)


def _passes(record: Record, test: Mapping[str, Any]) -> bool:
    value = record["properties"].get(test["propertyName"])
    operator = test["operator"]
    if operator in ("HAS_PROPERTY", "NOT_HAS_PROPERTY"):
        return bool((value is not None) == (operator == "HAS_PROPERTY"))
    if value is None:
        return bool(operator in ("NEQ", "NOT_IN"))
    if operator not in _OPERATORS:
        raise Invalid(f"{operator} is not a filter operator")
    return _OPERATORS[operator](comparable(value), test)


Sortable = tuple[int, Decimal, str]


def _asked(test: Mapping[str, Any]) -> Sortable:
    return comparable(test["value"])


def _several(test: Mapping[str, Any]) -> list[Sortable]:
    return [comparable(item) for item in test["values"]]


_OPERATORS: Mapping[str, Callable[[Sortable, Mapping[str, Any]], bool]] = {
    "EQ": lambda held, test: held == _asked(test),
    "NEQ": lambda held, test: held != _asked(test),
    "LT": lambda held, test: held < _asked(test),
    "LTE": lambda held, test: held <= _asked(test),
    "GT": lambda held, test: held > _asked(test),
    "GTE": lambda held, test: held >= _asked(test),
    "BETWEEN": lambda held, test: _asked(test) <= held <= comparable(test["highValue"]),
    "IN": lambda held, test: held in _several(test),
    "NOT_IN": lambda held, test: held not in _several(test),
    "CONTAINS_TOKEN": lambda held, test: str(test["value"]).strip("*").lower() in held[2],
}


def comparable(text: str | None) -> tuple[int, Decimal, str]:
    """Return a key that orders numbers and instants by value and the rest as text."""
    if text is None:
        return (0, Decimal(0), "")
    try:
        return (1, Decimal(str(text)), "")
    except InvalidOperation:
        pass
    try:
        return (1, Decimal(_milliseconds(str(text))), "")
    except ValueError:
        return (2, Decimal(0), str(text).lower())


def _milliseconds(text: str) -> int:
    if text.isdecimal():
        return int(text)
    moment = datetime.fromisoformat(text)
    aware = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment
    delta = aware - datetime(1970, 1, 1, tzinfo=UTC)
    return delta.days * 86_400_000 + delta.seconds * 1_000 + delta.microseconds // 1_000
