"""Begin a connector: a folder that already keeps most promises and says what is missing."""

from __future__ import annotations

import importlib.util
import keyword
import re
import sys
from pathlib import Path

from tieline.kernel.errors import UserMistake

KINDS = {"crm": ("client", "clients"), "erp": ("client", "clients"), "time": ("person", "people")}
_NAME = re.compile(r"[a-z][a-z0-9_]{1,39}")


def new_connector(*, name: str, kind: str, directory: Path) -> Path:
    """Write the folder of a new connector and return it.

    :raises UserMistake: the name or kind cannot be used, or the folder is there already.
    """
    if not _NAME.fullmatch(name) or keyword.iskeyword(name):
        raise UserMistake(f"{name} is not a name: lower case letters, digits and underscores")
    if name in sys.stdlib_module_names or importlib.util.find_spec(name) is not None:
        raise UserMistake(f"{name} is the name of a Python package that is installed already")
    if kind not in KINDS:
        raise UserMistake(f"{kind} is none of {', '.join(KINDS)}")
    folder = directory / name
    if folder.exists():
        raise UserMistake(f"{folder} is there already")
    if not directory.is_dir():
        raise UserMistake(f"{directory} is no folder")
    noun, stream = KINDS[kind]
    words = {"NAME": name, "KIND": kind, "NOUN": noun, "STREAM": stream, "TITLE": name.title()}
    fixtures = folder / "fixtures"
    try:
        fixtures.mkdir(parents=True)
    except OSError as error:
        raise UserMistake(f"{folder} cannot be made: {error.strerror}") from error
    for file_name, text in {**_FILES, "translate.py": _TRANSLATES[noun]}.items():
        (folder / _filled(file_name, words)).write_text(_filled(text, words), encoding="utf-8")
    (fixtures / f"{stream}.json").write_text(_FIXTURE, encoding="utf-8")
    return folder


def _filled(text: str, words: dict[str, str]) -> str:
    for word, value in words.items():
        text = text.replace(f"@{word}@", value)
    return text


_FIXTURE = """{
  "id": "1001",
  "name": "Example Works GmbH",
  "email": "office@example.com",
  "is_active": true,
  "updated_at": "2026-10-01T08:00:00Z"
}
"""
_FILES = {
    "__init__.py": '''"""@TITLE@: say in one sentence what this system is.

In: a connection. Out: raw records. Law: what may never happen here.
"""

from .connector import MANIFEST, build

__all__ = ["MANIFEST", "build"]
''',
    "manifest.toml": """system = "@NAME@"
kind = "@KIND@"
tier = "bronze"
owners = ["your team"]
permissions = ["name the least right that reads @STREAM@"]
config_keys = []
secret_names = ["access_token"]
settle_seconds = 120

[limits.general]
kind = "window"
calls = 60
window_seconds = 60
source = "name the vendor's page that says so"

[streams.@STREAM@]
noun = "@NOUN@"
announces_deletes = false
has_total = true
overlap_seconds = 120

[record_urls]
@STREAM@ = "https://example.com/@STREAM@/{source_ref}"
""",
    "quality.toml": """# Answer every rule of your tier: "done", or { exempt = "reason" }.
tier = "bronze"

[bronze]
folder_shape = "done"
check_before_saving = "done"
stream_fixtures = "done"
pure_translate = "done"
required_by_index = "done"
permissions_listed = "done"
""",
    "rehearsal.py": '''"""What the promises need to rehearse @TITLE@: add one command of every noun it writes."""

from tieline.sdk.promises import Rehearsal

REHEARSAL = Rehearsal()
''',
    "connector.py": '''"""@TITLE@ over HTTP: pages and single records; knows headers, no business words."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from tieline.kernel.errors import Refused, StreamBroken, TielineError
from tieline.sdk import (
    CheckItem,
    CheckReport,
    Connection,
    Page,
    RawRecord,
    Translated,
    Untranslatable,
    load_manifest,
)
from tieline.sdk.http import HttpClient, NotFound, as_stream_error
from tieline.sdk.slices import NotJson, array_slices, decode_exact

from . import translate as words

MANIFEST = load_manifest(__package__)


def build(connection: Connection) -> Connector:
    """Make the connector of one account."""
    headers = {"Authorization": f"Bearer {connection.secrets['access_token']}"}
    return Connector(http=HttpClient(connection=connection, headers=headers))


@dataclass(frozen=True, slots=True, kw_only=True)
class Connector:
    """Read one account."""

    http: HttpClient

    def check(self) -> CheckReport:
        """Try the credentials before anything is saved."""
        try:
            self.http.read_json(path="/@STREAM@", query=[("page", "1")])
        except TielineError as error:
            return CheckReport(
                items=(CheckItem(name="credentials", is_good=False, fix=str(error)),)
            )
        return CheckReport(items=(CheckItem(name="credentials", is_good=True),))

    def pages(self, *, stream: str, cursor: str | None, is_full: bool) -> Iterator[Page]:
        """Yield all records; what the vendor says is its total must be what was seen."""
        seen: set[str] = set()
        number = 1
        while True:
            try:
                reply = self.http.read(path=f"/{stream}", query=[("page", str(number))])
            except Refused as error:
                raise as_stream_error(error) from error
            try:
                page = decode_exact(reply.body)
                records = tuple(_raw(stream, body) for body in array_slices(reply.body, field=stream))
                total, following = page["total"], page["next_page"]
            except (NotJson, KeyError, TypeError) as error:
                raise StreamBroken(f"{stream} sent a page that cannot be read") from error
            seen |= {record.source_ref for record in records}
            is_last = following is None
            if is_last and len(seen) != total:
                raise StreamBroken(f"{stream} has {total} records but sent {len(seen)}")
            yield Page(records=records, cursor="", total=total, is_last=is_last)
            if is_last:
                return
            number += 1

    def read_one(self, *, object: str, source_ref: str) -> RawRecord | None:
        """Return the record, or None for the vendor's 404 or 410."""
        try:
            reply = self.http.read(path=f"/{object}/{source_ref}")
        except NotFound:
            return None
        return _raw(object, reply.body)

    def translate(self, *, record: RawRecord) -> Translated | Untranslatable:
        """Return the canonical form; pure."""
        return words.translate(record=record)


def _raw(stream: str, body: bytes) -> RawRecord:
    try:
        raw = decode_exact(body)
        return RawRecord(
            object=stream,
            source_ref=str(raw["id"]),
            body=body,
            source_at=datetime.fromisoformat(raw["updated_at"]),
        )
    except (NotJson, KeyError, TypeError, ValueError) as error:
        raise StreamBroken(f"{stream} sent a record that cannot be read") from error
''',
    "test_@NAME@.py": '''"""Only what is particular to @TITLE@; what every connector promises is tested once, for all."""

from pathlib import Path

from tieline.sdk.slices import decode_exact


class TestTheFixture:
    def test_carries_the_id_that_links_need(self) -> None:
        fixture = Path(__file__).parent / "fixtures" / "@STREAM@.json"

        assert decode_exact(fixture.read_bytes())["id"] == "1001"
''',
}
_TRANSLATE_HEAD = '''"""@TITLE@'s records in canonical words; pure. Required fields by [], optional ones by .get."""

from __future__ import annotations

from typing import Any

from tieline.canonical import @IMPORT@
from tieline.sdk import RawRecord, Translated, Untranslatable
from tieline.sdk.slices import NotJson, decode_exact


def translate(*, record: RawRecord) -> Translated | Untranslatable:
    """Return the canonical form of one record, or why it cannot be understood."""
    try:
        return Translated(noun=_read(decode_exact(record.body)))
    except KeyError as error:
        return Untranslatable(
            reason="translate.field_missing",
            message=f"{record.object} {record.source_ref} lacks {error.args[0]}",
            field=str(error.args[0]),
        )
    except (NotJson, ValueError, TypeError, AttributeError) as error:
        return Untranslatable(
            reason="translate.value_unreadable",
            message=f"{record.object} {record.source_ref} cannot be read ({type(error).__name__})",
        )


'''
_TRANSLATES = {
    "client": _TRANSLATE_HEAD.replace("@IMPORT@", "Client")
    + """def _read(raw: dict[str, Any]) -> Client:
    return Client(
        name=raw["name"],
        vat_number=raw.get("vat_number"),
        street=raw.get("street"),
        postal_code=raw.get("postal_code"),
        city=raw.get("city"),
        country_code=raw.get("country_code"),
        domain=raw.get("domain"),
        parent_ref=raw.get("parent_id"),
        is_active=raw["is_active"],
    )
""",
    "person": _TRANSLATE_HEAD.replace("@IMPORT@", "Person")
    + """def _read(raw: dict[str, Any]) -> Person:
    return Person(
        name=raw["name"],
        email=raw.get("email"),
        employee_code=raw.get("employee_code"),
        entity_code=raw.get("entity_code"),
        is_active=raw["is_active"],
        employed_from=None,
        employed_to=None,
        cost_rate=None,
    )
""",
}
