"""HubSpot's records in canonical words; pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

from tieline.canonical import Client, Contact, Opportunity, OpportunityLine, Person
from tieline.connectors.hubspot.properties import Mapped
from tieline.sdk import RawRecord, Translated, Untranslatable
from tieline.sdk.slices import NotJson, decode_exact

CHILD_TO_PARENT = 14  # The vendor's number for "this company's parent is".
_PRIMARY_COMPANY = frozenset({1, 5})  # contact to primary company, deal to primary company
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_YES = {"true": True, "yes": True, "false": False, "no": False}


class Ambiguous(ValueError):
    """More than one record could be meant; nobody may pick the first."""


def translate(*, record: RawRecord, mapping: Mapped) -> Translated | Untranslatable:
    """Return the canonical form of one record, or why it cannot be understood."""
    reader = _READERS.get(record.object)
    if reader is None:
        return Untranslatable(
            reason="translate.unknown_object", message=f"HubSpot has no object {record.object}"
        )
    try:
        return reader(decode_exact(record.body), mapping)
    except Ambiguous as error:
        return Untranslatable(
            reason="translate.ambiguous_reference",
            message=f"{record.object} {record.source_ref}: {error}",
        )
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


def _company(raw: Mapping[str, Any], mapping: Mapped) -> Translated:
    company = _known(raw["company"])
    values = _Values(company["properties"], mapping, "companies")
    parents = [link["toObjectId"] for link in raw["companies"] if CHILD_TO_PARENT in _types(link)]
    if len(parents) > 1:
        raise Ambiguous(f"{len(parents)} parent companies")
    client = Client(
        name=values.required("name"),
        vat_number=values.text("vat_number"),
        street=values.text("street"),
        postal_code=values.text("postal_code"),
        city=values.text("city"),
        country_code=values.text("country_code"),
        domain=values.text("domain"),
        parent_ref=str(parents[0]) if parents else None,
        is_active=not company["archived"],
        extras=values.extras(),
    )
    return Translated(noun=client, is_deleted=company["archived"])


def _contact(raw: Mapping[str, Any], mapping: Mapped) -> Translated:
    contact = _known(raw["contact"])
    values = _Values(contact["properties"], mapping, "contacts")
    names = (values.text("first_name"), values.text("last_name"))
    noun = Contact(
        name=" ".join(name for name in names if name),
        email=values.text("email"),
        client_ref=_client_ref(raw["companies"]),
        extras=values.extras(),
    )
    return Translated(noun=noun, is_deleted=contact["archived"])


def _deal(raw: Mapping[str, Any], mapping: Mapped) -> Translated:
    deal = _known(raw["deal"])
    values = _Values(deal["properties"], mapping, "deals")
    stage = values.required("stage")
    noun = Opportunity(
        name=values.required("name"),
        client_ref=_client_ref(raw["companies"]),
        stage=stage,
        is_won=_is_won(stage, raw["stage"], mapping),
        closed_on=values.day("closed_on"),
        amount=values.number("amount"),
        currency=values.text("currency"),
        owner_ref=values.text("owner_ref"),
        entity_code=values.text("entity_code"),
        practice=values.text("practice"),
        cost_center=values.text("cost_center"),
        billing_method=values.text("billing_method"),
        purchase_order=values.text("purchase_order"),
        is_purchase_order_required=values.yes_or_no("is_purchase_order_required"),
        rate_card=values.text("rate_card"),
        tax_treatment=values.text("tax_treatment"),
        project_code=values.text("project_code"),
        cap_amount=values.number("cap_amount"),
        starts_on=values.day("starts_on"),
        ends_on=values.day("ends_on"),
        lines=tuple(_line(line, mapping) for line in raw["line_items"]),
        extras=values.extras(),
    )
    return Translated(noun=noun, is_deleted=deal["archived"])


def _line(raw: Mapping[str, Any], mapping: Mapped) -> OpportunityLine:
    values = _Values(_known(raw)["properties"], mapping, "line_items")
    return OpportunityLine(
        line_ref=raw["id"],
        task_name=values.text("task_name"),
        labor_category=values.text("labor_category"),
        hours=values.number("hours"),
        rate_amount=values.number("rate_amount"),
        amount=values.number("amount"),
        rate_starts_on=values.day("rate_starts_on"),
        markup_percent=values.number("markup_percent"),
        extras={**values.extras(), "name": values.text("name") or ""},
    )


def _owner(raw: Mapping[str, Any], _mapping: Mapped) -> Translated:
    names = (_known(raw).get("firstName"), raw.get("lastName"))
    noun = Person(
        name=" ".join(name for name in names if name),
        email=raw.get("email") or None,
        employee_code=None,
        entity_code=None,
        is_active=not raw["archived"],
        employed_from=None,
        employed_to=None,
        cost_rate=None,
    )
    return Translated(noun=noun, is_deleted=raw["archived"])


_READERS: Mapping[str, Callable[[Mapping[str, Any], Mapped], Translated]] = {
    "companies": _company,
    "contacts": _contact,
    "deals": _deal,
    "owners": _owner,
}


def reference(raw: Mapping[str, Any]) -> str:
    """Return the id of a record.

    :raises KeyError, TypeError: it has none.
    """
    told = raw["id"]
    if not isinstance(told, str) or not told:
        raise TypeError("a record without its id")
    return told


def instant(text: str) -> datetime:
    """Return an instant in UTC.

    :raises ValueError, TypeError, ArithmeticError: it is none, or says no zone.
    """
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError("an instant without a zone")
    return moment.astimezone(UTC)


def _known(raw: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a record that says which one it is, and since when it is so."""
    reference(raw)
    instant(raw["updatedAt"])
    return raw


def _is_won(stage: str, metadata: Mapping[str, Any] | None, mapping: Mapped) -> bool:
    """Ask the firm's own list of stages first, else the pipeline's description of the stage."""
    if mapping.won_stages is not None:
        return stage in mapping.won_stages
    if metadata is None:
        raise Ambiguous(f"no pipeline describes the stage {stage}")
    told = metadata["metadata"]
    is_closed = str(told.get("isClosed", "")).lower() == "true"
    return is_closed and Decimal(str(told["probability"])) == 1


def _client_ref(links: Sequence[Mapping[str, Any]]) -> str | None:
    if not links:
        return None
    primary = [link for link in links if _types(link) & _PRIMARY_COMPANY]
    meant = primary or list(links)
    if len({str(link["toObjectId"]) for link in meant}) > 1:
        raise Ambiguous(f"{len(meant)} companies and none is the primary one")
    return str(meant[0]["toObjectId"])


def _types(link: Mapping[str, Any]) -> set[int]:
    return {kind["typeId"] for kind in link["associationTypes"]}


class _Values:
    """Read the properties of one object by canonical name."""

    __slots__ = ("_extras", "_names", "_properties", "_zone")

    def __init__(self, properties: Mapping[str, Any], mapping: Mapped, object_name: str) -> None:
        self._properties = properties
        self._names = mapping.fields[object_name]
        self._extras = mapping.extras.get(object_name, {})
        self._zone = mapping.zone

    def required(self, canonical: str) -> str:
        """Return a text that must be there."""
        value = self.text(canonical)
        if value is None:
            raise KeyError(self._names[canonical])
        return value

    def text(self, canonical: str) -> str | None:
        """Return a text, None where the property is absent or empty."""
        value = self._properties.get(self._names[canonical])
        if value is None:
            return None
        if not isinstance(value, str):
            raise TypeError("not a text")
        return value.strip() or None

    def number(self, canonical: str) -> Decimal | None:
        """Return an exact number."""
        text = self.text(canonical)
        if text is None:
            return None
        number = Decimal(text)
        if not number.is_finite():
            raise ValueError("not a number")
        return number

    def yes_or_no(self, canonical: str) -> bool | None:
        """Return a yes or no; another word is not guessed at."""
        text = self.text(canonical)
        return None if text is None else _YES[text.lower()]

    def day(self, canonical: str) -> date | None:
        """Return a civil date; an instant is a date in the portal's zone."""
        text = self.text(canonical)
        if text is None:
            return None
        if text.lstrip("-").isdecimal():
            moment = _EPOCH + timedelta(milliseconds=int(text))
            # A date property is midnight UTC whatever the portal's zone is.
            is_midnight = moment.time() == datetime.min.time()
            return moment.date() if is_midnight else moment.astimezone(self._zone).date()
        if "T" not in text:
            return date.fromisoformat(text)
        return datetime.fromisoformat(text).astimezone(self._zone).date()

    def extras(self) -> dict[str, str]:
        """Return the firm's named extras that carry a value."""
        values = {name: self._properties.get(place) for name, place in self._extras.items()}
        return {name: str(value) for name, value in values.items() if value not in (None, "")}
