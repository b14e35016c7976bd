"""The chain of the audit: each row linked to the one before, followed to find what somebody changed.

A link is the digest of the link before it and the digest of a row as it was written. Whoever holds an
anchor, the number and hash of one link, needs nothing else to tell that everything up to there is as it was.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import IO, Any

from psycopg import Connection

from tieline.kernel.errors import UserMistake
from tieline.runtime.sql import load

SEALED_AT_ONCE_MAX = 5_000
FAULTS_SHOWN_MAX = 20
_READ_AT_ONCE = 2_000
_LINE_BYTES_MAX = 4 * 1024 * 1024
_ANCHOR = re.compile(r"(\d{1,18}):([0-9a-f]{64})")
_FORMAT = "tieline audit 1"
_CHAIN = load("tieline.governance", "read_chain")
_UNLINKED = load("tieline.governance", "read_unlinked")

Row = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Anchor:
    """One link by its number and hash; kept elsewhere, it holds everything up to there."""

    seal_no: int
    hash: str

    def __str__(self) -> str:
        return f"{self.seal_no}:{self.hash}"

    @classmethod
    def parse(cls, text: str) -> Anchor:
        """Return the anchor that somebody kept as text.

        :raises UserMistake: it is none.
        """
        found = _ANCHOR.fullmatch(text.strip())
        if found is None:
            raise UserMistake(f"{text[:80]} is no anchor: it is written NUMBER:HASH")
        return cls(seal_no=int(found[1]), hash=found[2])


BEGINNING = Anchor(seal_no=0, hash="00" * 32)


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """One row's place in the chain; who may not read the row has its digest alone."""

    seal_no: int
    hash: str
    canonical: bytes | None = None
    digest: str | None = None
    audit_id: int | None = None
    columns: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One place at which the audit is not what it was."""

    seal_no: int | None
    audit_id: int | None
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditState:
    """What following the chain showed; ``faults`` are the first of ``fault_count``."""

    is_intact: bool
    links: int
    waiting: int
    anchor: Anchor
    fault_count: int
    faults: tuple[Fault, ...]


@dataclass(slots=True, kw_only=True)
class _Follower:
    after: Anchor
    anchors: dict[int, str]
    newest: Anchor = field(init=False)
    links: int = 0
    waiting: int = 0
    fault_count: int = 0
    faults: list[Fault] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.newest = self.after

    def blame(self, why: str, *, seal_no: int | None = None, audit_id: int | None = None) -> None:
        self.fault_count += 1
        if len(self.faults) < FAULTS_SHOWN_MAX:
            self.faults.append(Fault(seal_no=seal_no, audit_id=audit_id, why=why))

    def follow(self, link: Link) -> None:
        wanted = self.newest.seal_no + 1
        if link.seal_no != wanted:
            self.blame(f"link {wanted} should stand here", seal_no=link.seal_no)
        digest = link.digest or (_digest(link.canonical) if link.canonical is not None else None)
        if digest is None:
            self.blame("its row is gone", seal_no=link.seal_no, audit_id=link.audit_id)
        elif _link(self.newest.hash, digest) != link.hash:
            self.blame(
                "it does not follow from the link before it and its row",
                seal_no=link.seal_no,
                audit_id=link.audit_id,
            )
        self._hold_columns(link)
        kept = self.anchors.pop(link.seal_no, link.hash)
        if kept != link.hash:
            self.blame("the anchor of this link holds another hash", seal_no=link.seal_no)
        self.newest = Anchor(seal_no=link.seal_no, hash=link.hash)
        self.links += 1

    def _hold_columns(self, link: Link) -> None:
        if link.columns is None or link.canonical is None:
            return
        written = _parsed(link.canonical)
        if written is None or written != _parsed(link.columns.encode()):
            self.blame(
                "its columns are not what was written", seal_no=link.seal_no, audit_id=link.audit_id
            )

    def end(self) -> AuditState:
        for seal_no, kept in sorted(self.anchors.items()):
            if seal_no != self.after.seal_no or kept != self.after.hash:
                self.blame("an anchor names this link, and the chain has none", seal_no=seal_no)
        return AuditState(
            is_intact=self.fault_count == 0,
            links=self.links,
            waiting=self.waiting,
            anchor=self.newest,
            fault_count=self.fault_count,
            faults=tuple(self.faults),
        )


def seal_audit(connection: Connection[Row], *, rows_max: int = SEALED_AT_ONCE_MAX) -> int:
    """Link the oldest committed rows that wait, and return how many; one process at a time does it."""
    row = connection.execute("SELECT seal_audit(%s) AS sealed", (rows_max,)).fetchone()
    assert row is not None
    return int(row["sealed"])


def verify_audit(connection: Connection[Row], *, anchors: Sequence[Anchor] = ()) -> AuditState:
    """Follow the whole chain in a transaction that has done nothing yet; anchors must lie on it."""
    connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
    follower = _follower(after=BEGINNING, anchors=anchors)
    for row in _read_chain(connection, after=BEGINNING):
        follower.follow(
            Link(
                seal_no=row["seal_no"],
                hash=row["hash"].hex(),
                canonical=row["canonical"],
                audit_id=row["audit_id"],
                columns=row["columns"],
            )
        )
    for row in connection.execute(_UNLINKED).fetchall():
        match row["found"]:
            case "waiting":
                follower.waiting += 1
            case "unlinked":
                follower.blame("the row came in past the chain", audit_id=row["audit_id"])
            case _:
                follower.blame("the row went before it was linked", audit_id=row["audit_id"])
    return follower.end()


def find_anchor(connection: Connection[Row]) -> Anchor | None:
    """Return the newest link, None while there is none."""
    row = connection.execute(
        "SELECT seal_no, hash FROM audit_seal ORDER BY seal_no DESC LIMIT 1"
    ).fetchone()
    return None if row is None else Anchor(seal_no=row["seal_no"], hash=row["hash"].hex())


def has_anchor(connection: Connection[Row], *, anchor: Anchor) -> bool:
    """Say whether a link of this number and hash is there."""
    row = connection.execute(
        "SELECT FROM audit_seal WHERE seal_no = %s AND hash = %s",
        (anchor.seal_no, bytes.fromhex(anchor.hash)),
    ).fetchone()
    return row is not None


def export_audit(
    connection: Connection[Row],
    *,
    to: IO[bytes],
    entities: Collection[str],
    after: Anchor = BEGINNING,
) -> Anchor:
    """Write the chain to a file that needs no database to be followed; return its newest anchor.

    Rows of other legal entities go out as digests.
    """
    to.write(_line({"format": _FORMAT, "after": str(after)}))
    newest, links = after, 0
    for row in _read_chain(connection, after=after):
        newest = Anchor(seal_no=row["seal_no"], hash=row["hash"].hex())
        links += 1
        in_sight = row["entity_code"] is None or row["entity_code"] in entities
        what = (
            {"canonical": row["canonical"].decode()}
            if in_sight
            else {"digest": _digest(row["canonical"])}
        )
        to.write(_line({"seal_no": newest.seal_no, "hash": newest.hash, **what}))
    to.write(_line({"anchor": str(newest), "links": links}))
    return newest


def verify_export(source: IO[bytes], *, anchors: Sequence[Anchor] = ()) -> AuditState:
    """Follow the chain of an exported file, without a database.

    :raises UserMistake: the file is no export of the audit.
    """
    first = _parsed(source.readline(_LINE_BYTES_MAX))
    if not isinstance(first, dict) or first.get("format") != _FORMAT:
        raise UserMistake("this is no exported audit: its first line names another format")
    follower = _follower(after=Anchor.parse(str(first.get("after"))), anchors=anchors)
    last: Any = None
    for number, line in enumerate(iter(lambda: source.readline(_LINE_BYTES_MAX), b""), start=2):
        # The anchor ends the file: whatever stands behind it was put there.
        if last is not None:
            follower.blame(f"line {number} stands behind the last one")
            break
        content = _parsed(line)
        if not isinstance(content, dict) or _line(content) != line:
            follower.blame(f"line {number} is not as it was written")
            continue
        if "anchor" in content:
            last = content
        else:
            _follow_line(follower, content, number=number)
    if last != {"anchor": str(follower.newest), "links": follower.links}:
        follower.blame("the file does not end with the anchor of its last link")
    return follower.end()


def _follow_line(follower: _Follower, content: Row, *, number: int) -> None:
    canonical: bytes | None = None
    digest: str | None = None
    match content:
        case {"seal_no": int(seal_no), "hash": str(link), "canonical": str(text), **more}:
            canonical = text.encode()
        case {"seal_no": int(seal_no), "hash": str(link), "digest": str(digest), **more}:
            pass
        case _:
            follower.blame(f"line {number} is not as it was written")
            return
    if more:
        follower.blame(f"line {number} says more than was written", seal_no=seal_no)
    follower.follow(Link(seal_no=seal_no, hash=link, canonical=canonical, digest=digest))


def _follower(*, after: Anchor, anchors: Sequence[Anchor]) -> _Follower:
    follower = _Follower(after=after, anchors={})
    for anchor in anchors:
        # An anchor of what lies before the file's first link says nothing about the file.
        if anchor.seal_no < after.seal_no:
            continue
        if follower.anchors.setdefault(anchor.seal_no, anchor.hash) != anchor.hash:
            follower.blame("two anchors hold two hashes for one link", seal_no=anchor.seal_no)
    return follower


def _read_chain(connection: Connection[Row], *, after: Anchor) -> Iterator[Row]:
    with connection.cursor(name="audit_chain") as cursor:
        cursor.execute(_CHAIN, {"after": after.seal_no})
        while rows := cursor.fetchmany(_READ_AT_ONCE):
            yield from rows


def _digest(canonical: bytes) -> str:
    return hashlib.sha256(canonical).hexdigest()


def _link(before: str, digest: str) -> str | None:
    try:
        return hashlib.sha256(bytes.fromhex(before) + bytes.fromhex(digest)).hexdigest()
    except ValueError:
        return None


def _line(content: Row) -> bytes:
    return json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


def _parsed(content: bytes) -> Any:
    try:
        return json.loads(content, parse_float=Decimal)
    except (ValueError, RecursionError):
        return None
