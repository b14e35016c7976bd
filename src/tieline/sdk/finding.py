"""Find a connector by what a person calls it: a system's name, a package, or its folder."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Mapping
from pathlib import Path

from tieline.kernel.errors import UserMistake

MANIFEST_NAME = "manifest.toml"


def find_package(*, name: str, installed: Mapping[str, str], directory: Path) -> str:
    """Return the package of a connector; a folder is made importable first.

    :raises UserMistake: nothing of that name is a connector.
    """
    if name in installed:
        return installed[name]
    folder = directory / name
    if _is_file(folder / MANIFEST_NAME):
        return _package_of(folder.resolve())
    if _is_package_with_manifest(name):
        return name
    raise UserMistake(
        f"{name} is no connector: it is none of {', '.join(sorted(installed))},"
        f" no folder with a {MANIFEST_NAME} and no package that holds one"
    )


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:
        # A name that no folder can have, such as one that is too long.
        return False


def _package_of(folder: Path) -> str:
    """Return the dotted name of a folder, and let its outermost package be imported."""
    parts, above = [folder.name], folder.parent
    while (above / "__init__.py").is_file():
        parts.insert(0, above.name)
        above = above.parent
    package = ".".join(parts)
    found = _find_spec_folder(package)
    if found is None:
        sys.path.insert(0, str(above))
        importlib.invalidate_caches()
        found = _find_spec_folder(package)
    if found != folder:
        raise UserMistake(f"{folder} cannot be imported as {package}, which is another package")
    return package


def _is_package_with_manifest(name: str) -> bool:
    folder = _find_spec_folder(name)
    return folder is not None and (folder / MANIFEST_NAME).is_file()


def _find_spec_folder(package: str) -> Path | None:
    try:
        spec = importlib.util.find_spec(package)
    except (ImportError, ValueError):
        return None
    places = None if spec is None else spec.submodule_search_locations
    return Path(next(iter(places))).resolve() if places else None
