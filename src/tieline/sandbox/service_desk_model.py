"""What a service desk keeps, which values a request may carry, and how an answer shows it."""

from __future__ import annotations

import html
import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from tieline.sandbox.records import Record

DESKS = "desks"
REQUEST_TYPES = "request_types"
REQUESTS = "requests"
COMMENTS = "comments"
FIRST_IDS: Mapping[str, int] = {
    DESKS: 10,
    REQUEST_TYPES: 25,
    REQUESTS: 107_001,
    COMMENTS: 1_000,
}
API = "/rest/servicedeskapi"
SUMMARY_CHARACTERS_MAX = 255
TEXT_CHARACTERS_MAX = 32_767

OPEN_STATUS = ("Waiting for support", "NEW")
# Transitions by id: name, the categories they lead from, the status they lead to.
TRANSITIONS: Mapping[str, tuple[str, frozenset[str], tuple[str, str]]] = {
    "11": (
        "Escalate this issue",
        frozenset({"NEW"}),
        ("Escalated", "INDETERMINATE"),
    ),
    "21": (
        "Resolve this issue",
        frozenset({"NEW", "INDETERMINATE"}),
        ("Resolved", "DONE"),
    ),
    "31": ("Reopen", frozenset({"DONE"}), OPEN_STATUS),
}
_EXPANDS = ["participant", "status", "sla", "requestType", "serviceDesk"]
_EXPANDS += ["attachment", "action", "comment"]
_LABELS = {"summary": "Summary", "description": "What has happened?"}
# The marks of the vendor's text notation that make more of a text than its words.
_MARKUP = re.compile(
    r"\\(?P<plain>[^a-zA-Z0-9\s])"
    r"|^[ ]*(?P<heading>h[1-6])\.[ ]"
    r"|^[ ]*(?P<quote>bq)\.[ ]"
    r"|^[ ]*(?P<item>[*#-]+)[ ]"
    r"|(?P<face>\((?:[xiyn/!?+*-]|on|off)\))"
    r"|(?P<image>!\S+?!)"
    r"|\[~accountid:(?P<person>[^\]]+)\]"
    r"|\[(?P<words>[^|\]]+)\|(?P<place>[^\]]+)\]"
    r"|\{(?P<macro>\w[^}]*)\}"
    r"|(?<!\w)\*(?P<bold>[^\s*][^*\n]*)\*(?!\w)"
    r"|(?<!\w)_(?P<italic>[^\s_][^_\n]*)_(?!\w)",
    re.MULTILINE,
)


class Refusal(ValueError):
    """The vendor answers this status with this sentence."""

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status


def check_fields(values: Mapping[str, Any], request_type: Record) -> dict[str, Any]:
    """Return the values of a new request as they are kept.

    :raises Refusal: one is unknown, missing, of the wrong form or too long.
    """
    known = {field["fieldId"]: field for field in request_type["fields"]}
    for name in values:
        if name not in known:
            raise Refusal(400, f"Field {name} is not valid for this request type.")
    for name, field in known.items():
        if field["required"] and not field.get("defaultValues") and not values.get(name):
            raise Refusal(400, f"{field['name']} is required.")
    for name in ("summary", "description"):
        if name in values and not isinstance(values[name], str):
            raise Refusal(400, f"{name} must be a string.")
    summary = values.get("summary", "")
    if "\n" in summary or "\r" in summary:
        raise Refusal(400, "The summary is invalid because it contains newline characters.")
    if _units(summary) > SUMMARY_CHARACTERS_MAX:
        raise Refusal(400, f"Summary can't exceed {SUMMARY_CHARACTERS_MAX} characters.")
    check_text(values.get("description", ""))
    return dict(values)


def check_text(text: str) -> None:
    """Refuse a text that is longer than the vendor keeps.

    :raises Refusal: it is.
    """
    if _units(text) > TEXT_CHARACTERS_MAX:
        allowed = f"{TEXT_CHARACTERS_MAX:,}"
        raise Refusal(
            400,
            f"The entered text is too long. It exceeds the allowed limit of {allowed} characters.",
        )


def _units(text: str) -> int:
    # The vendor's language counts what UTF-16 takes two units for as two.
    return len(text.encode("utf-16-le")) // 2


def matches(summary: str, term: str) -> bool:
    """Tell whether every word of a search stands among the words of a summary."""
    words = _words(summary)
    patterns = [
        re.compile(re.escape(word).replace(r"\*", ".*").replace(r"\?", "."))
        for word in re.findall(r"[\w*?]+", term.lower())
    ]
    return all(any(pattern.fullmatch(word) for word in words) for pattern in patterns)


def _words(text: str) -> Sequence[str]:
    return re.findall(r"\w+", text.lower())


def rendered(text: str) -> str:
    """Return the page's HTML of a text in the vendor's notation, as far as the sandbox knows it."""
    parts: list[str] = []
    end = 0
    for mark in _MARKUP.finditer(text):
        parts += [_plain(text[end : mark.start()]), _marked(mark)]
        end = mark.end()
    return f"<p>{''.join([*parts, _plain(text[end:])])}</p>"


def _plain(text: str) -> str:
    # The notation lets entities through.
    return html.escape(html.unescape(text), quote=False).replace("\n", "<br/>")


def _marked(mark: re.Match[str]) -> str:
    found = {name: _plain(words) for name, words in mark.groupdict().items() if words}
    match found:
        case {"plain": sign}:
            return sign
        case {"heading": level}:
            return f"<{level}>"
        case {"quote": _}:
            return "<blockquote>"
        case {"item": _}:
            return "<li>"
        case {"face": sign}:
            return f'<img class="emoticon" alt="{sign}"/>'
        case {"image": place}:
            return f'<img src="{place}"/>'
        case {"person": person}:
            return f'<a class="user-hover">{person}</a>'
        case {"words": words, "place": place}:
            return f'<a href="{place}">{words}</a>'
        case {"bold": words}:
            return f"<b>{words}</b>"
        case {"italic": words}:
            return f"<em>{words}</em>"
        case _:
            return f'<div class="{found["macro"]}"></div>'


# -- what an answer shows --------------------------------------------------------------------------


def shown_date(text: str) -> Record:
    """Write an instant in each of the forms the vendor gives."""
    moment = datetime.fromisoformat(text)
    return {
        "iso8601": moment.strftime("%Y-%m-%dT%H:%M:%S+0000"),
        "jira": moment.strftime("%Y-%m-%dT%H:%M:%S.000+0000"),
        "friendly": moment.strftime("%d/%b/%y %H:%M"),
        "epochMillis": int(moment.timestamp()) * 1000,
    }


def shown_desk(desk: Record, base: str) -> Record:
    """Write a service desk."""
    return {
        "id": str(desk["id"]),
        "projectId": str(desk["project_id"]),
        "projectName": desk["name"],
        "projectKey": desk["key"],
        "_links": {"self": f"{base}{API}/servicedesk/{desk['id']}"},
    }


def shown_request_type(kind: Record, base: str, *, with_fields: bool) -> Record:
    """Write a request type, with the fields of its form where they were asked for."""
    shown = {
        "_expands": ["field"],
        "id": str(kind["id"]),
        "_links": {"self": f"{base}{API}/servicedesk/{kind['desk_id']}/requesttype/{kind['id']}"},
        "name": kind["name"],
        "description": kind["description"],
        "helpText": "",
        "issueTypeId": "10005",
        "serviceDeskId": str(kind["desk_id"]),
        "groupIds": ["12"],
        "icon": {"id": "10527", "_links": {"iconUrls": {"16x16": f"{base}/icon/10527"}}},
    }
    if not with_fields:
        return shown
    return {
        **shown,
        "fields": {
            "requestTypeFields": kind["fields"],
            "canRaiseOnBehalfOf": True,
            "canAddRequestParticipants": True,
        },
    }


def shown_person(person: Mapping[str, str], base: str) -> Record:
    """Write a person."""
    place = f"{base}/rest/api/2/user?accountId={person['account_id']}"
    return {
        "accountId": person["account_id"],
        "emailAddress": person["email"],
        "displayName": person["name"],
        "active": True,
        "timeZone": "Europe/Berlin",
        "_links": {"self": place, "jiraRest": place, "avatarUrls": {"16x16": f"{base}/avatar"}},
    }


def shown_status(status: Mapping[str, str]) -> Record:
    """Write one status that a request had."""
    return {
        "status": status["status"],
        "statusCategory": status["category"],
        "statusDate": shown_date(status["at"]),
    }


def shown_request(request: Record, base: str) -> Record:
    """Write a request."""
    key, identity = request["key"], request["id"]
    return {
        "_expands": _EXPANDS,
        "issueId": str(identity),
        "issueKey": key,
        "requestTypeId": str(request["request_type_id"]),
        "serviceDeskId": str(request["desk_id"]),
        "createdDate": shown_date(request["created_at"]),
        "reporter": shown_person(request["reporter"], base),
        "requestFieldValues": [_shown_value(*value) for value in request["fields"].items()],
        "currentStatus": shown_status(request["statuses"][-1]),
        "_links": {
            "self": f"{base}{API}/request/{identity}",
            "jiraRest": f"{base}/rest/api/2/issue/{identity}",
            "web": f"{base}/servicedesk/customer/portal/{request['desk_id']}/{key}",
            "agent": f"{base}/browse/{key}",
        },
    }


def _shown_value(name: str, value: Any) -> Record:
    shown = {"fieldId": name, "label": _LABELS.get(name, name), "value": value}
    if name != "description":
        return shown
    return {**shown, "renderedValue": {"html": rendered(value)}}


def shown_comment(comment: Record, base: str, *, with_rendered: bool) -> Record:
    """Write a comment, with its HTML where that was asked for."""
    place = f"{base}{API}/request/{comment['request_id']}/comment/{comment['id']}"
    shown = {
        "_expands": ["attachment", "renderedBody"],
        "id": str(comment["id"]),
        "body": comment["body"],
        "public": comment["public"],
        "author": shown_person(comment["author"], base),
        "created": shown_date(comment["created_at"]),
        "_links": {"self": place},
    }
    if with_rendered:
        shown["renderedBody"] = {"html": rendered(comment["body"])}
    return shown
