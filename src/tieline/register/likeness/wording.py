"""Make what systems write about a client comparable; pure."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import phonenumbers
import pycountry
from anyascii import anyascii

from tieline.register.likeness.legal_forms import FORMS, LEADING, UNSPACED

_SEPARATING = re.compile(r"[^0-9a-z]+")
_DROPPED = re.compile(r"['’`´ʼ]")
# S.p.A. and I.B.M. are one word each, J. Smith is two.
_INITIALS = re.compile(r"\b(?:[a-z0-9]\.){2,}(?:[a-z0-9](?![a-z0-9]))?|\b[a-z]/[a-z]\b")
_UNSPACED_SIGN = re.compile("([\u2e80-\u2fdf\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff])")
_FOLDED = str.maketrans(
    {"ä": "ae", "ö": "oe", "ü": "ue", "ß": "ss", "æ": "ae", "ø": "oe", "å": "a", "ł": "l"}
)
_UMLAUT = re.compile("([aou])e")
_FOLDED_LETTERS_MIN = 5
_FORM_WORDS_MAX = 5
_VOWELS = str.maketrans("", "", "aeiouyhw")
_SOUNDS = str.maketrans({"c": "k", "q": "k", "g": "k", "z": "s", "x": "s", "v": "f", "b": "p", "d": "t", "j": "s"})  # fmt: skip
_TWICE = re.compile(r"(.)\1+")
_NOT_DIGIT = re.compile(r"\D+")
_NATIONAL_DIGITS = 9
# Mailboxes that anybody may have say nothing about a firm.
_PUBLIC_MAIL = frozenset(
    """gmail googlemail yahoo ymail hotmail outlook live msn aol icloud me mac gmx web t-online freenet
    proton protonmail yandex mail inbox bk list rambler qq 163 126 sina sohu foxmail naver daum hanmail
    orange wanadoo free laposte sfr libero virgilio tiscali alice wp onet o2 interia seznam centrum
    bigpond optusnet btinternet comcast verizon att sbcglobal rediffmail zoho""".split()
)


def plain(text: str) -> str:
    """Return a text in lower-case Latin letters and digits, words apart by one blank."""
    return " ".join(_folded(word) for word in _SEPARATING.sub(" ", _latin(text)).split())


def _folded(word: str) -> str:
    # One system writes Muenchen and another Munchen; short words are kept apart.
    return _UMLAUT.sub(r"\1", word) if len(word) >= _FOLDED_LETTERS_MIN else word


def _latin(text: str) -> str:
    if not text.isascii():
        text = _UNSPACED_SIGN.sub(r"\1 ", unicodedata.normalize("NFKC", text))
        text = anyascii(text.lower().translate(_FOLDED))
    text = _DROPPED.sub("", text.lower())
    return _INITIALS.sub(lambda found: _SEPARATING.sub("", found.group()), text)


def split_name(name: str) -> tuple[tuple[str, ...], str]:
    """Return the words of a firm's name without its legal form, and the kind of that form.

    A name that is nothing but a legal form is kept.
    """
    form = ""
    if not name.isascii():
        name = unicodedata.normalize("NFKC", name)
        for sign, kind in UNSPACED:
            if sign in name and name.strip() != sign:
                name, form = name.replace(sign, " "), form or kind
    words = tuple(plain(name).split())
    return _without_form(words, form)


@lru_cache(maxsize=65536)
def _without_form(words: tuple[str, ...], form: str) -> tuple[tuple[str, ...], str]:
    forms = _forms()
    rest = words
    while len(rest) > 1:
        for count in range(min(_FORM_WORDS_MAX, len(rest) - 1), 0, -1):
            kind = _kind_of(rest[-count:], forms)
            if kind is not None:
                rest, form = rest[:-count], _stronger(form, kind)
                break
        else:
            break
    while len(rest) > 1 and rest[0] in LEADING:
        form = _stronger(form, forms.get(rest[:1], ""))
        rest = rest[1:]
    for count in range(min(_FORM_WORDS_MAX, len(rest) - 1), 2, -1):
        if rest[:count] in forms:
            form = _stronger(form, forms[rest[:count]])
            rest = rest[count:]
            break
    return rest, form


def _kind_of(words: tuple[str, ...], forms: dict[tuple[str, ...], str]) -> str | None:
    if len(words) > 1 and all(len(word) == 1 for word in words):
        return forms.get(("".join(words),)) or forms.get(words)
    return forms.get(words)


def _stronger(standing: str, found: str) -> str:
    return found if standing in ("", "company") else standing


@lru_cache(maxsize=1)
def _forms() -> dict[tuple[str, ...], str]:
    return {
        tuple(plain(written).split()): kind for kind, group in FORMS.items() for written in group
    }


@lru_cache(maxsize=65536)
def skeleton(word: str) -> str:
    """Return the consonants of a word as they sound: scripts without vowels leave no more."""
    sounds = word.replace("ph", "f").replace("sch", "s").replace("sh", "s").translate(_SOUNDS)
    return _TWICE.sub(r"\1", sounds[:1] + sounds[1:].translate(_VOWELS))


@lru_cache(maxsize=4096)
def country_code(text: str) -> str:
    """Return a country's two letters however it was written, or what was written."""
    word = text.strip()
    if not word:
        return ""
    for keys in _country_keys(word):
        found = pycountry.countries.get(**keys)
        if found is not None:
            return str(found.alpha_2)
    return _OTHER_COUNTRIES.get(plain(word), plain(word))


def _country_keys(word: str) -> Iterator[dict[str, Any]]:
    if len(word) == 2:
        yield {"alpha_2": {"UK": "GB", "EL": "GR"}.get(word.upper(), word.upper())}
    if len(word) == 3:
        yield {"alpha_3": word.upper()}
    for name in ("name", "common_name", "official_name"):
        yield {name: word}


_OTHER_COUNTRIES = {
    "england": "GB", "great britain": "GB", "scotland": "GB", "wales": "GB", "usa": "US",
    "united states of america": "US", "russia": "RU", "south korea": "KR", "korea": "KR",
    "deutschland": "DE", "oesterreich": "AT", "schweiz": "CH", "suisse": "CH", "italia": "IT",
    "espana": "ES", "nederland": "NL", "holland": "NL", "belgie": "BE", "belgique": "BE",
    "danmark": "DK", "sverige": "SE", "norge": "NO", "suomi": "FI", "polska": "PL",
    "cesko": "CZ", "czech republic": "CZ", "magyarorszag": "HU", "brasil": "BR", "mexico": "MX",
    "turkey": "TR", "tuerkiye": "TR", "zhong guo": "CN", "ri ben": "JP", "vietnam": "VN",
}  # fmt: skip


@lru_cache(maxsize=65536)
def phone_key(number: str, country: str = "") -> str:
    """Return the digits of a telephone number that do not depend on where it is dialed from."""
    region = country if len(country) == 2 else None
    text = number.strip()
    if text and (region or text.startswith(("+", "00"))):
        try:
            parsed = phonenumbers.parse("+" + text[2:] if text.startswith("00") else text, region)
        except phonenumbers.NumberParseException:
            pass
        else:
            return str(parsed.national_number)[-_NATIONAL_DIGITS:]
    return _NOT_DIGIT.sub("", text).lstrip("0")[-_NATIONAL_DIGITS:]


def email_parts(email: str) -> tuple[str, str]:
    """Return an address's box and its domain; the domain is empty where anybody may have a box."""
    box, _, domain = email.strip().lower().partition("@")
    box = box.split("+", 1)[0]
    if not domain or domain.split(".", 1)[0] in _PUBLIC_MAIL:
        return box, ""
    return box, domain.removeprefix("www.")


def tax_key(number: str) -> str:
    """Return a tax number's letters and digits; a leading country is left out."""
    compact = _SEPARATING.sub("", _latin(number))
    if len(compact) > 4 and compact[:2].isalpha() and any(sign.isdigit() for sign in compact[2:]):
        return compact[2:]
    return compact
