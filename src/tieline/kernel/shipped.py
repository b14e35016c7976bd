"""Files that ship beside the code: in the wheel under this package, in a checkout where they are written."""

from __future__ import annotations

from pathlib import Path

from tieline.kernel.errors import UserMistake

_PACKAGE = Path(__file__).parents[1]
_ROOTS = (_PACKAGE / "shipped", _PACKAGE.parents[1])


def shipped(name: str) -> Path:
    """Return the path of what a checkout calls by this name, such as ``examples/agency.toml``.

    :raises UserMistake: neither the wheel nor the checkout has it.
    """
    for root in _ROOTS:
        if (root / name).exists():
            return root / name
    raise UserMistake(f"{name} belongs to Tieline and is missing from this installation")
