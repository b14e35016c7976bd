"""Read the documents of the repository, and find in them what the repository does not have."""

from __future__ import annotations

import re
import shlex
import tomllib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import click

from tieline.cli import main

from .source_words import ROOT, SOURCE

GLOSSARY = ROOT / "docs" / "GLOSSARY.md"
DECISIONS = ROOT / "docs" / "decisions"
_CONSOLE = SOURCE / "console"
_LINK = re.compile(r"!?\[[^\]]*\]\((?P<address>[^)\s]+)\)")
_CODE = re.compile(r"(?P<ticks>`+)(?P<code>.+?)(?P=ticks)", re.DOTALL)
_HEADING = re.compile(r"#{1,6} +(?P<title>.+?) *#*")
_NAMED = re.compile(r'<a id="([^"]+)"></a>')
_PATH = re.compile(r"[\w.-]+(/[\w.*-]+)+/?")
_SETTING = re.compile(r"\bTIELINE_[A-Z_]*[A-Z]_?(?![A-Z])")
_ASSIGNMENT = re.compile(r"[A-Z_]+=.*")
_TREE_LINE = re.compile(r"    (?P<name>[a-z_]+)(/|\.py) ")
_SHELL_ENDS = frozenset({"|", ">", ">>", "<", "2>", "&&", "||", ";", "&"})
_OPENING_WORDS = frozenset({"export", "exec", "sudo", "time"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """One page: its prose, its blocks of code and what stands in backticks."""

    path: Path
    prose: str
    blocks: tuple[str, ...]
    codes: tuple[str, ...]
    anchors: frozenset[str]

    @property
    def name(self) -> str:
        """Return the path as a person writes it."""
        return str(self.path.relative_to(ROOT))


def document_paths() -> list[Path]:
    """List every page that a person is led to."""
    return [
        ROOT / "README.md",
        ROOT / "ARCHITECTURE.md",
        *sorted((ROOT / "docs").rglob("*.md")),
        *sorted(SOURCE.glob("connectors/*/README.md")),
    ]


def read_document(path: Path, text: str | None = None) -> Document:
    """Take a page apart."""
    lines = (path.read_text(encoding="utf-8") if text is None else text).splitlines()
    prose: list[str] = []
    blocks: list[str] = []
    fence: list[str] | None = None
    for line in lines:
        if line.lstrip().startswith("```"):
            if fence is not None:
                blocks.append("\n".join(fence))
            fence = [] if fence is None else None
        elif fence is not None:
            fence.append(line)
        else:
            prose.append(line)
    assert fence is None, f"{path}: a block of code is not closed"
    together = "\n".join(prose)
    return Document(
        path=path,
        prose=together,
        blocks=tuple(blocks),
        codes=tuple(" ".join(found["code"].split()) for found in _CODE.finditer(together)),
        anchors=frozenset(_anchors(prose)),
    )


# -- links -----------------------------------------------------------------------------------------


def links_of(document: Document) -> Iterator[tuple[str, Path, str]]:
    """Give every relative link as it is written, with the file and the anchor it leads to."""
    for found in _LINK.finditer(_CODE.sub("", document.prose)):
        address = found["address"]
        if "://" in address or address.startswith("mailto:"):
            continue
        place, _, anchor = address.partition("#")
        target = (document.path.parent / place).resolve() if place else document.path
        yield address, target, anchor


def dead_links(document: Document) -> list[str]:
    """List the links and images that lead nowhere."""
    dead = []
    for address, target, anchor in links_of(document):
        is_there = target == document.path or target.exists()
        if not is_there or (anchor and anchor not in _anchors_in(target, document)):
            dead.append(address)
    return dead


def _anchors_in(target: Path, document: Document) -> frozenset[str]:
    return document.anchors if target == document.path else read_document(target).anchors


def _anchors(prose: Iterable[str]) -> Iterator[str]:
    seen: dict[str, int] = {}
    for line in prose:
        yield from _NAMED.findall(line)
        heading = _HEADING.fullmatch(line)
        if heading is None:
            continue
        slug = re.sub(r"[^\w\- ]", "", heading["title"].lower()).replace(" ", "-")
        number = seen.get(slug, 0)
        seen[slug] = number + 1
        yield f"{slug}-{number}" if number else slug


# -- paths -----------------------------------------------------------------------------------------


def missing_paths(document: Document) -> list[str]:
    """List what looks like a path of the repository and is none."""
    words = [
        *document.codes,
        *(word for code in document.codes for word in code.split()),
        *(word for block in document.blocks for word in block.split()),
    ]
    paths = {word.partition("::")[0].strip(".,;:()'\"") for word in words}
    return sorted(path for path in paths if _PATH.fullmatch(path) and not _is_there(path))


def _is_there(path: str) -> bool:
    """Say whether a path exists; what begins with no folder of ours is somebody else's."""
    first = path.partition("/")[0]
    homes = [home for home in (ROOT, SOURCE) if (home / first).is_dir()]
    return not homes or any(_matches(home, path.rstrip("/")) for home in homes)


def _matches(home: Path, path: str) -> bool:
    return any(home.glob(path)) if "*" in path else (home / path).exists()


# -- commands --------------------------------------------------------------------------------------


def wrong_commands(document: Document) -> list[str]:
    """List the commands that the command line would not understand.

    In a block a command must be complete; in backticks its name and its options must be right.
    """
    wrong = [
        f"{' '.join(words)}: {problem}"
        for block in document.blocks
        for words in _commands(block)
        if (problem := _problem(words, is_whole=True))
    ]
    for code in document.codes:
        for words in _commands(code):
            problem = _problem(words, is_whole=False)
            if problem:
                wrong.append(f"{' '.join(words)}: {problem}")
    return wrong


def _commands(text: str) -> Iterator[list[str]]:
    for line in text.replace("\\\n", " ").splitlines():
        words = _words(line.strip().removeprefix("$ "))
        while words and (_ASSIGNMENT.fullmatch(words[0]) or words[0] in _OPENING_WORDS):
            words.pop(0)
        if not words or any(word.startswith("[") for word in words):
            # Nothing, or the usage of a command instead of a command.
            continue
        if words[0] in ("tieline", ".venv/bin/tieline"):
            yield ["tieline", *words[1:]]
        elif words[0] == "script/demo":
            yield ["tieline", "demo", *words[1:]]


def _words(line: str) -> list[str]:
    try:
        words = shlex.split(line, comments=True)
    except ValueError:
        # A sentence with an apostrophe, and no command.
        return []
    for place, word in enumerate(words):
        if word in _SHELL_ENDS:
            return words[:place]
    return words


def _problem(words: Sequence[str], *, is_whole: bool) -> str | None:
    """Say what is wrong with a command, or None."""
    context = click.Context(main, info_name="tieline")
    command: click.Command = main
    rest = list(words[1:])
    while isinstance(command, click.Group) and rest and not rest[0].startswith("-"):
        child = command.commands.get(rest[0])
        if child is None:
            return f"there is no command {rest[0]}"
        context = click.Context(child, info_name=rest.pop(0), parent=context)
        command = child
    try:
        if is_whole:
            command.parse_args(context, rest)
        else:
            _, left, _ = command.make_parser(context).parse_args(rest)
            if left:
                return f"nothing takes {' '.join(left)}"
    except click.exceptions.Exit:
        return None
    except click.ClickException as error:
        return error.format_message()
    return None


# -- settings --------------------------------------------------------------------------------------


def settings_in(document: Document) -> set[str]:
    """Return every variable of the environment that a page names."""
    return set(_SETTING.findall("\n".join([document.prose, *document.blocks])))


# -- the house -------------------------------------------------------------------------------------


def drawn_rooms(architecture: Document) -> list[str]:
    """Return the rooms of the picture, from the top of the page down."""
    tree = next(block for block in architecture.blocks if block.startswith("src/tieline/"))
    return [found["name"] for line in tree.splitlines() if (found := _TREE_LINE.match(line))]


def standing_rooms() -> set[str]:
    """Return the rooms that the source has."""
    folders = {path.parent.name for path in SOURCE.glob("*/__init__.py")}
    return folders | {path.stem for path in SOURCE.glob("*.py") if path.stem != "__init__"}


def layered_rooms() -> list[str]:
    """Return the rooms of the import contract, from the top of the page down."""
    table = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    contracts = table["tool"]["importlinter"]["contracts"]
    layers: list[str] = next(each["layers"] for each in contracts if each["type"] == "layers")
    return layers[::-1]


# -- the glossary ----------------------------------------------------------------------------------


def glossary_rows(glossary: Document) -> dict[str, str]:
    """Return every word of the glossary with what a page says instead."""
    rows: dict[str, str] = {}
    for line in glossary.prose.splitlines():
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        if line.startswith("|") and len(cells) == 3 and cells[0] not in ("word", "---"):
            rows.update(dict.fromkeys(cells[0].split(", "), cells[2]))
    return rows


def unused_page_words(rows: dict[str, str]) -> list[str]:
    """List what no page of the console says."""
    said = _said_by_the_console()
    # A word may begin a sentence there and stand within one here, or the other way round.
    return sorted({word for word in rows.values() if word and not _stands_in(word, said)})


def _stands_in(word: str, text: str) -> bool:
    begin = re.escape(word[0].upper()) + re.escape(word[0].lower())
    return re.search(rf"\b[{begin}]{re.escape(word[1:])}\b", text) is not None


def _said_by_the_console() -> str:
    pages = [path.read_text(encoding="utf-8") for path in sorted(_CONSOLE.rglob("*.html"))]
    shown = [re.sub(r"\{#.*?#\}", "", page, flags=re.DOTALL) for page in pages]
    return "\n".join([*shown, (_CONSOLE / "words.py").read_text(encoding="utf-8")])
