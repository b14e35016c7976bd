"""The corpus of bad input: data files that say what is sent, and how it is made where it is long."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

_FOLDER = Path(__file__).parent
_Some = TypeVar("_Some")


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One thing to send; ``never`` says that nobody may take it, whatever the field."""

    name: str
    facts: dict[str, Any]

    @property
    def never(self) -> bool:
        return bool(self.facts.get("never"))

    @property
    def text(self) -> str:
        """Return it as a text, which may hold what is no letter."""
        if "repeat" in self.facts:
            unit, times = self.facts["repeat"]
            return str(unit * times)
        return str(self.facts.get("text", self.facts.get("raw", "")))

    @property
    def fragment(self) -> bytes:
        """Return it as it stands in a document of JSON."""
        if "raw" in self.facts:
            return str(self.facts["raw"]).encode()
        if "repeat_in_list" in self.facts:
            unit, times = self.facts["repeat_in_list"]
            return b"[" + b",".join([str(unit).encode()] * times) + b"]"
        if "repeat_in_object" in self.facts:
            return _names(self.facts["repeat_in_object"])
        if "text" in self.facts:
            return json.dumps(self.facts["text"]).encode()
        unit, times = self.facts["repeat"]
        if unit == "9":
            return str(unit * times).encode()
        return json.dumps(unit * times, ensure_ascii=False).encode()

    @property
    def document(self) -> bytes:
        """Return it as a whole body or file."""
        match self.facts:
            case {"hex": digits}:
                return bytes.fromhex(digits)
            case {"nest": depth}:
                return b"[" * depth + b"]" * depth
            case {"many_names": count}:
                return _names(count)
            case {"spaces": count}:
                return b" " * (count - 2) + b"{}"
            case {"repeat": _, "in_text": True}:
                return json.dumps({"reason": self.text}).encode()
            case _:
                return self.text.encode("utf-8", "surrogatepass")


@cache
def read_corpus(name: str) -> list[Item]:
    """Return the items of a file."""
    rows = json.loads((_FOLDER / f"{name}.json").read_text(encoding="utf-8"))
    return [Item(name=row["name"], facts=row) for row in rows]


def some_of(things: Sequence[_Some], *, count: int, seed: int) -> list[_Some]:
    """Return some of many things, in their own order."""
    places = sorted(random.Random(seed).sample(range(len(things)), min(count, len(things))))
    return [things[place] for place in places]


def _names(count: int) -> bytes:
    return json.dumps({f"n{number}": 1 for number in range(count)}).encode()
