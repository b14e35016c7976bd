"""Read from the code which names it uses: reasons, events, audit actions, settings."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tieline.kernel.failpoints import FAILPOINTS

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "tieline"
_CODE = re.compile(r"[a-z][a-z_]*(\.[a-z][a-z_]*)+")
_SETTING = re.compile(r"\bTIELINE_[A-Z_]*[A-Z]_?(?![A-Z])")
_OUTSIDE = frozenset({"sandbox", "proof", "console", "rehearsal.py"})
# The first column of what is held: it names the reason of its case.
_STATEMENT_REASON = re.compile(r"SELECT '([a-z]+\.[a-z_]+)'")
# The families of reasons and problem codes; what begins otherwise is a file, a field or a vendor's word.
_FAMILIES = frozenset(
    "assignment call case check client connection contract database deal event explain file harvest hubspot"
    " idempotency_key intake invoice key notice person posted posting preflight project proposal read reconciliation register release"
    " request source target tieline translate vendor webhook write".split()
)
_NO_CODES = frozenset(
    {
        "database.json",
        "case.leave_out",  # Kinds of proposals.
        "client.merge",
        "client.same_client",
        "client.unmerge",
        "inbox.replay",
        "posting.lift_stop",
        "register.load",
        "register.running_contracts",
        "project.work",  # A model of the ERP.
        "project.work.status",
        "translate.py",
    }
)


@dataclass(slots=True, kw_only=True)
class Names:
    """What the code names, by how it is used."""

    reasons: set[str] = field(default_factory=set)
    events: set[str] = field(default_factory=set)
    actions: set[str] = field(default_factory=set)


def read_names() -> Names:
    """Collect every dotted name in the source by its use."""
    names = Names()
    for path in sorted(SOURCE.rglob("*.py")):
        if _OUTSIDE & set(path.parts) or path.name.startswith("test_"):
            continue
        _collect(ast.parse(path.read_text(encoding="utf-8")), names)
    return names


def read_settings_names() -> set[str]:
    """Collect every variable that the product or its scripts read."""
    found: set[str] = set()
    for path in [*SOURCE.rglob("*.py"), *(ROOT / "script").iterdir()]:
        if "sandbox" in path.parts or not path.is_file():
            continue
        found |= set(_SETTING.findall(path.read_text(encoding="utf-8")))
    # Shown as a pattern; and what a demo hands to the sandbox's own servers.
    return {
        name
        for name in found
        if not name.startswith("TIELINE_SANDBOX_") and name != "TIELINE_SECRET_CONNECTION_NAME"
    }


def read_statement_reasons() -> set[str]:
    """Collect the reasons that statements make, where no line of Python names them."""
    return {
        code
        for path in SOURCE.rglob("*.sql")
        for code in _STATEMENT_REASON.findall(path.read_text(encoding="utf-8"))
    }


def _collect(tree: ast.Module, names: Names) -> None:
    constants = dict(_constants(tree))
    other: set[str] = set()
    for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call)):
        called = _called(call)
        if called in ("publish", "publish_all", "record_audit"):
            keyword, found = (
                ("action", names.actions) if called == "record_audit" else ("type", names.events)
            )
            words = {word for word in _keyword(call, keyword, constants) if _CODE.fullmatch(word)}
            found |= words
            other |= words
        elif called in ("_audit", "_audit_release"):
            words = {word for word in _texts(call) if _CODE.fullmatch(word)}
            words |= {
                f"proposal.{word}"
                for word in _keyword(call, "action", constants)
                if "." not in word
            }
            names.actions |= words
            other |= words
        elif called == "failpoint" or called in ("debug", "info", "warning", "error", "exception"):
            other |= set(_texts(call))
    texts = {word for word in _texts(tree) if _is_reason(word)}
    names.reasons |= texts - other - FAILPOINTS


def _is_reason(word: str) -> bool:
    return (
        bool(_CODE.fullmatch(word))
        and word.partition(".")[0] in _FAMILIES
        and word not in _NO_CODES
        and not word.startswith(("tieline.", "party."))
    ) or word == "tieline.defect"


def _called(call: ast.Call) -> str:
    match call.func:
        case ast.Name(id=name):
            return name
        case ast.Attribute(attr=name):
            return name
    return ""


def _keyword(call: ast.Call, name: str, constants: dict[str, str]) -> Iterator[str]:
    for keyword in call.keywords:
        if keyword.arg == name:
            yield from _texts(keyword.value)
            if isinstance(keyword.value, ast.Name) and keyword.value.id in constants:
                yield constants[keyword.value.id]


def _constants(tree: ast.Module) -> Iterator[tuple[str, str]]:
    for node in tree.body:
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant):
            for target in node.targets:
                if isinstance(target, ast.Name) and isinstance(node.value.value, str):
                    yield target.id, node.value.value


def _texts(node: ast.AST) -> Iterator[str]:
    for child in ast.walk(node):
        if isinstance(child, ast.Constant) and isinstance(child.value, str):
            yield child.value
