"""A connector's manifest: what it reads and writes, and how each write is made safe and undone."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from importlib import resources
from typing import Any

from tieline.kernel.limits import Limit, read_limits

_NOTHING_YET = "nothing yet"


class Strategy(StrEnum):
    """Name how a write is made safe, from the strongest to the weakest."""

    NATIVE_KEY = "a"
    UPSERT = "b"
    UNIQUE_FIELD = "c"
    PROBE_BEFORE_RETRY = "d"
    IMPORT_BATCH = "e"
    ONCE_THEN_CASE = "f"


class Undo(StrEnum):
    """Name how a target takes a record back."""

    COUNTER_LINE = "counter_line"
    VOID_BY_KEY = "void_by_key"
    CREDIT_DOCUMENT = "credit_document"
    JOURNAL = "journal"
    NONE = "none"


class Repeats(StrEnum):
    """Name how a notice that is sent once more after a lost answer is told from a second one."""

    RECOGNIZED = "recognized"
    ASKED = "asked"
    NEVER = "never"


@dataclass(frozen=True, slots=True, kw_only=True)
class NounWrite:
    """Declare one written noun. ``quantum_seconds`` is the smallest time the target can hold.

    ``shared_field`` names the field by which several of ours share one record of the target, such
    as a task's name in a tool that knows no keys: only one write of a value is open at a time.
    ``undo_closed`` is how what stands in a closed period is taken back in an open one. ``fields`` are
    what may be set on a record that stands, per object: of the noun ``field`` fields that we may own, of ``status``
    values that are reported to it.
    """

    noun: str
    strategy: Strategy
    undo: Undo
    batch_lines_max: int
    quantum_seconds: int
    shared_field: str | None = None
    undo_closed: Undo | None = None
    fields: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def undo_in_closed_period(self) -> Undo:
        """Return how a line of a closed period is taken back: by what may carry another day, or not at all."""
        if self.undo_closed is not None:
            return self.undo_closed
        return Undo.NONE if self.undo is Undo.VOID_BY_KEY else self.undo


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamDeclaration:
    """Declare one stream: its canonical noun and whether the vendor announces deletes."""

    name: str
    noun: str
    announces_deletes: bool
    has_total: bool
    overlap_seconds: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Capabilities:
    """Everything the rest of Tieline may know about a system.

    ``notice_repeats`` is None where it carries no messages to people. ``address_schemes`` are those
    that the address of a connection may begin with. ``tried_against`` says in words what the
    connector was seen to work with. ``translator`` rises when a record comes to mean something else
    than before.
    """

    system: str
    kind: str
    tier: str
    owners: tuple[str, ...]
    permissions: tuple[str, ...]
    streams: tuple[StreamDeclaration, ...]
    writes: tuple[NounWrite, ...]
    limits: tuple[Limit, ...]
    settle_seconds: int
    record_urls: Mapping[str, str]
    config_keys: tuple[str, ...]
    secret_names: tuple[str, ...]
    notice_repeats: Repeats | None = None
    address_schemes: tuple[str, ...] = ("https", "http")
    tried_against: str = _NOTHING_YET
    translator: int = 0

    def write_of(self, noun: str) -> NounWrite:
        """Return the declaration of a written noun.

        :raises LookupError: the connector does not write it.
        """
        for declared in self.writes:
            if declared.noun == noun:
                return declared
        raise LookupError(f"{self.system} does not write {noun}")

    def may_set(self, object: str, name: str) -> bool:
        """Say whether a field of a record that stands can be set from here."""
        declared = (write for write in self.writes if write.noun == "field")
        return any(name in write.fields.get(object, ()) for write in declared)

    def limits_of(self, config: Mapping[str, Any]) -> tuple[Limit, ...]:
        """Return the limits of one account: those of the manifest, with what its connection says.

        :raises ValueError: the connection says something that cannot be.
        """
        changed = config.get("limits")
        if not changed:
            return self.limits
        if not isinstance(changed, Mapping):
            raise ValueError("limits are tables [limits.NAME]")  # noqa: TRY004
        return read_limits({each.name: each.as_words() for each in self.limits}, changed=changed)

    def stream_of(self, name: str) -> StreamDeclaration:
        """Return the declaration of a stream.

        :raises LookupError: the connector has no such stream.
        """
        for declared in self.streams:
            if declared.name == name:
                return declared
        raise LookupError(f"{self.system} has no stream {name}")


def load_manifest(package: str) -> Capabilities:
    """Read ``manifest.toml`` of a connector package; unknown or missing words raise at once."""
    text = resources.files(package).joinpath("manifest.toml").read_text(encoding="utf-8")
    return parse_manifest(tomllib.loads(text))


def parse_manifest(data: Mapping[str, Any]) -> Capabilities:
    """Turn the manifest's tables into capabilities.

    :raises KeyError: a required word is missing.
    :raises ValueError: a limit says something that cannot be.
    """
    return Capabilities(
        system=data["system"],
        kind=data["kind"],
        tier=data["tier"],
        owners=tuple(data["owners"]),
        permissions=tuple(data["permissions"]),
        streams=tuple(_stream(name, table) for name, table in data.get("streams", {}).items()),
        writes=tuple(_write(noun, table) for noun, table in data.get("writes", {}).items()),
        limits=read_limits(data["limits"]),
        settle_seconds=data.get("settle_seconds", 120),
        record_urls=dict(data.get("record_urls", {})),
        config_keys=tuple(data.get("config_keys", ())),
        secret_names=tuple(data.get("secret_names", ())),
        notice_repeats=Repeats(data["notices"]["repeats"]) if "notices" in data else None,
        address_schemes=tuple(data.get("address_schemes", ("https", "http"))),
        tried_against=data.get("tried_against", _NOTHING_YET),
        translator=data.get("translator", 0),
    )


def _stream(name: str, table: Mapping[str, Any]) -> StreamDeclaration:
    return StreamDeclaration(
        name=name,
        noun=table["noun"],
        announces_deletes=table["announces_deletes"],
        has_total=table["has_total"],
        overlap_seconds=table["overlap_seconds"],
    )


def _write(noun: str, table: Mapping[str, Any]) -> NounWrite:
    return NounWrite(
        noun=noun,
        strategy=Strategy(table["strategy"]),
        undo=Undo(table["undo"]),
        batch_lines_max=table.get("batch_lines_max", 1),
        quantum_seconds=table.get("quantum_seconds", 1),
        shared_field=table.get("shared_field"),
        undo_closed=Undo(table["undo_closed"]) if "undo_closed" in table else None,
        fields={name: tuple(fields) for name, fields in table.get("fields", {}).items()},
    )
