"""Make names and tax numbers comparable; pure."""

from __future__ import annotations

import re
import unicodedata

from cleanco import basename

_NOT_ALPHANUMERIC = re.compile(r"[^0-9A-Z]")
_JOINING = re.compile(r"[-'’.]")
_SEPARATING = re.compile(r"[\W_]+")
_FOLDED = str.maketrans({"ß": "ss", "æ": "ae", "ø": "o", "ł": "l", "đ": "d", "œ": "oe"})
# A tax number of Greece begins with EL, as everywhere in the Union's own lists.
_TAX_COUNTRIES = {"GR": "EL", "UK": "GB"}


def name_key(name: str) -> str:
    """Return a firm's name without legal form, case, accents and punctuation."""
    cleaned = basename(name.strip()) or name
    plain = unicodedata.normalize("NFKD", cleaned.casefold().translate(_FOLDED))
    letters = "".join(letter for letter in plain if not unicodedata.combining(letter))
    return " ".join(_SEPARATING.sub(" ", _JOINING.sub("", letters)).split())


def vat_key(number: str | None, *, country_code: str | None) -> str | None:
    """Return a tax number as country and number, however it was typed; None when there is none.

    Systems disagree about the prefix: the same number may come with or without its country.
    """
    compact = _NOT_ALPHANUMERIC.sub("", (number or "").upper())
    if not compact:
        return None
    country = (country_code or "").upper()
    country = _TAX_COUNTRIES.get(country, country)
    if compact[:2].isalpha() and (not country or compact.startswith(country)):
        return compact
    return f"{country}{compact}"


def email_key(email: str | None) -> str | None:
    """Return an e-mail address as it is compared, or None when there is none."""
    return (email or "").strip().lower() or None
