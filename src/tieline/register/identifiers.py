"""What names one firm by itself: numbers of registers, and what only one firm uses; pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import stdnum
from stdnum import lei
from stdnum.ch import uid as ch_uid
from stdnum.de import handelsregisternummer as de_register
from stdnum.dk import cvr as dk_cvr
from stdnum.exceptions import ValidationError
from stdnum.fi import ytunnus as fi_ytunnus
from stdnum.fr import siren as fr_siren
from stdnum.no import orgnr as no_orgnr
from stdnum.se import orgnr as se_orgnr

from tieline.register.likeness.wording import email_parts, phone_key
from tieline.register.names import vat_key

TAX, LEI, REGISTER, DOMAIN, TELEPHONE = (
    "tax number",
    "LEI",
    "register number",
    "domain",
    "telephone",
)
# Two of one kind that differ are two firms; of the other kinds a firm may have several.
OF_REGISTERS = frozenset({TAX, LEI, REGISTER})
_REGISTERS = {
    "CH": ch_uid, "DE": de_register, "DK": dk_cvr, "FI": fi_ytunnus, "FR": fr_siren, "NO": no_orgnr, "SE": se_orgnr,
}  # fmt: skip
_NOT_ALPHANUMERIC = re.compile(r"[^0-9A-Z]")
_PHONE_DIGITS_MIN = 7
# Where anybody may have a page: its address names no firm.
_SHARED_SITES = frozenset(
    """facebook linkedin instagram twitter x youtube google wixsite wordpress blogspot github weebly jimdo
    jimdosite squarespace myshopify shopify business site sites godaddysites yelp tripadvisor xing""".split()
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Identifier:
    """One number or name that a firm goes by."""

    kind: str
    value: str


def identifiers(client: Mapping[str, Any]) -> frozenset[Identifier]:
    """Return what names a client by itself, of its fields and of what its system says beside them.

    A number that fails its own check is a slip, and names nobody.
    """
    extras = client.get("extras") or {}
    country = (client.get("country_code") or "").upper()
    found = {
        TAX: _tax(client.get("vat_number"), country),
        LEI: _checked(lei, extras.get("lei")),
        REGISTER: _register(extras.get("registration_number"), country),
        DOMAIN: own_domain(client.get("domain")),
        TELEPHONE: _telephone(extras.get("phone"), country),
    }
    return frozenset(Identifier(kind=kind, value=value) for kind, value in found.items() if value)


def contradict(one: frozenset[Identifier], other: frozenset[Identifier]) -> bool:
    """Say whether two records have different numbers in one register."""
    theirs = {each.kind: each.value for each in other if each.kind in OF_REGISTERS}
    return any(theirs.get(each.kind, each.value) != each.value for each in one)


def own_domain(domain: str | None) -> str:
    """Return a domain that only its firm uses, or ''."""
    host = (domain or "").strip().lower()
    host = re.sub(r"^https?://", "", host).partition("/")[0].removeprefix("www.")
    if "." not in host or any(part in _SHARED_SITES for part in host.split(".")[:-1]):
        return ""
    return email_parts(f"@{host}")[1]


def _tax(number: Any, country: str) -> str:
    key = vat_key(number, country_code=country or None)
    if key is None:
        return ""
    prefix = {"EL": "gr", "XI": "gb"}.get(key[:2], key[:2].lower())
    checks = stdnum.get_cc_module(prefix, "vat") if prefix.isalpha() else None
    if checks is not None and not checks.is_valid(key) and not checks.is_valid(key[2:]):
        return ""
    return key


def _register(number: Any, country: str) -> str:
    if not number or not country:
        return ""
    checks = _REGISTERS.get(country)
    if checks is None:
        compact = _NOT_ALPHANUMERIC.sub("", str(number).upper())
        return f"{country} {compact}" if compact else ""
    value = _checked(checks, number)
    return f"{country} {value}" if value else ""


def _checked(checks: Any, number: Any) -> str:
    if not number:
        return ""
    try:
        return str(checks.validate(str(number)))
    except ValidationError:
        return ""


def _telephone(number: Any, country: str) -> str:
    key = phone_key(str(number), country) if number else ""
    return key if len(key) >= _PHONE_DIGITS_MIN else ""
