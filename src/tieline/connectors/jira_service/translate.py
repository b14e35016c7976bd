"""A message in the words of a service desk: a summary that its search finds, and escaped text."""

from __future__ import annotations

import re
from datetime import UTC
from hashlib import blake2b

from tieline.sdk import Notice

# The vendor counts as Java does, in units of UTF-16.
SUMMARY_UNITS_MAX = 255
TEXT_UNITS_MAX = 32_767
_CUT = "…"
_LINK = re.compile(r"https?://[^\s|{}\[\]]+")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f\u2028\u2029\ud800-\udfff]")
_ENTITY = re.compile(r"&(?=#?\w+;)")
# Brackets, braces, bars and exclamation marks begin links, mentions, macros, tables and pictures
# anywhere; the other marks mean something only beside a word, not inside one.
_MARKS = re.compile(r"[\[\]{}|!]|(?<![^\W_])[*_\-+^~?#]|[*_\-+^~?#](?![^\W_])")
_LINE_WORD = re.compile(r"^(\s*(?:h[1-6]|bq))\.", re.MULTILINE)
_FACE = re.compile(r"\((?=(?:/|x|i|y|n|on|off|flag|flagoff|\\?[!?*+\-][a-z]?)\))")


def notice_word(notice: Notice) -> str:
    """Return the word under which a notice is found in what is written at the desk."""
    return key_word(f"notice:{notice.notice_key}")


def may_continue(notice: Notice) -> bool:
    """Tell whether others may speak of the same matter: what has one deadline for one recipient."""
    return notice.due_at is not None


def matter_word(notice: Notice) -> str:
    """Return the word under which the requests about a notice's matter are found."""
    if notice.due_at is None:
        return notice_word(notice)
    due_at = notice.due_at.astimezone(UTC).isoformat()
    # What cannot wait would be overlooked below what can.
    weight = "urgent" if notice.is_urgent else "usual"
    return key_word(f"matter:{weight}:{notice.recipient}:{notice.entity_code}:{due_at}")


def key_word(key: str) -> str:
    """Return the one word under which a search finds what carries a key of ours."""
    # Letters and digits only: the search takes anything else for the end of a word.
    return "tl" + blake2b(key.encode(), digest_size=12).hexdigest()


def summary(*, subject: str, word: str) -> str:
    """Return one line that names the matter and ends with our word, within the vendor's limit."""
    line = " ".join(_CONTROL.sub(" ", subject).split())
    return f"{_shortened(line, SUMMARY_UNITS_MAX - len(word) - 3)} [{word}]"


def body(*, text: str, link: str, word: str) -> str:
    """Return a message's text, its way back to Tieline and our word, within the vendor's limit."""
    ends = [link] if _LINK.fullmatch(link) else []
    end = "\n\n" + "\n".join([*ends, word])
    return _fitting(text, TEXT_UNITS_MAX - _units(end)) + end


def escaped(text: str) -> str:
    """Return a text that the vendor shows as it is, whatever marks stand in it."""
    clean = _CONTROL.sub(" ", text.replace("\r\n", "\n"))
    plain = _ENTITY.sub("&#38;", clean).replace("\\", "&#92;")
    marked = _MARKS.sub(_escape, plain)
    return _FACE.sub(r"\\(", _LINE_WORD.sub(r"\1&#46;", marked))


def _escape(mark: re.Match[str]) -> str:
    # The sign of an entity is part of ours.
    is_ours = mark[0] == "#" and mark.string[mark.start() - 1 : mark.start()] == "&"
    return mark[0] if is_ours else "\\" + mark[0]


def _fitting(text: str, room: int) -> str:
    whole = escaped(text)
    if _units(whole) <= room:
        return whole
    kept = text[:room]
    while (over := _units(escaped(kept)) + len(_CUT) - room) > 0:
        # A sign takes at most five units, and its neighbor may gain one.
        kept = kept[: -max(over // 6, 1)]
    return escaped(kept) + _CUT


def _shortened(line: str, room: int) -> str:
    if _units(line) <= room:
        return line
    kept = line[:room]
    while (over := _units(kept) + len(_CUT) - room) > 0:
        kept = kept[: -max(over // 2, 1)]
    return kept.rstrip() + _CUT


def _units(text: str) -> int:
    return len(text.encode("utf-16-le")) // 2
