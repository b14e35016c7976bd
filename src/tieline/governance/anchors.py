"""The newest anchor of the audit, kept in this installation's home: a trail cut at its end is told by it."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from tieline.governance.chain import Anchor
from tieline.kernel.errors import UserMistake

_FILE = "audit.anchor"
_BEFORE_RESTORE = "audit.anchor.before-restore"


def find_noted_anchor(home: Path) -> Anchor | None:
    """Return the anchor that this home noted last, None when it noted none.

    :raises UserMistake: what is noted there is no anchor.
    """
    try:
        return Anchor.parse((home / _FILE).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except UnicodeDecodeError as error:
        raise UserMistake(f"{home / _FILE} is no text") from error


def note_anchor(home: Path, *, anchor: Anchor) -> None:
    """Note how far the chain has come."""
    draft = home / f"{_FILE}.{os.getpid()}"
    draft.write_text(f"{anchor}\n", encoding="utf-8")
    draft.replace(home / _FILE)


def set_anchor_aside(home: Path) -> Anchor | None:
    """Begin to note anew after a restore; what was noted before stays beside it and is returned."""
    try:
        anchor = find_noted_anchor(home)
    except UserMistake:
        # What cannot be read is kept beside it all the same.
        anchor = None
    with contextlib.suppress(FileNotFoundError):
        (home / _FILE).replace(home / _BEFORE_RESTORE)
    return anchor
