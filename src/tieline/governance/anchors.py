"""The newest anchor of the audit, kept in this installation's home: a trail cut at its end is told by it."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from tieline.governance.chain import Anchor
from tieline.kernel.errors import UserMistake

NOTED_ANCHOR = "audit.anchor"
"""The file of a home that notes how far its audit was linked."""
_BEFORE_RESTORE = "audit.anchor.before-restore"


def find_noted_anchor(home: Path) -> Anchor | None:
    """Return the anchor that this home noted last, None when it noted none.

    :raises UserMistake: what is noted there is no anchor.
    """
    try:
        return Anchor.parse((home / NOTED_ANCHOR).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except UnicodeDecodeError as error:
        raise UserMistake(f"{home / NOTED_ANCHOR} is no text") from error


def note_anchor(home: Path, *, anchor: Anchor) -> None:
    """Note how far the chain has come."""
    draft = home / f"{NOTED_ANCHOR}.{os.getpid()}"
    draft.write_text(f"{anchor}\n", encoding="utf-8")
    draft.replace(home / NOTED_ANCHOR)


def set_anchor_aside(home: Path) -> Anchor | None:
    """Begin to note anew after a restore; what was noted before stays beside it and is returned."""
    try:
        anchor = find_noted_anchor(home)
    except UserMistake:
        # What cannot be read is kept beside it all the same.
        anchor = None
    with contextlib.suppress(FileNotFoundError):
        (home / NOTED_ANCHOR).replace(home / _BEFORE_RESTORE)
    return anchor
