"""The five minutes of the demo firm, walked by each role: which numbers stand on which page, and what each may do.

What the run itself found, the pages' own spreadsheets and the database say what a page must show.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from tests.demo.eyes import Eyes, Page
from tests.rooms.console.test_matrix import _DEEDS as DEEDS

from tieline.governance import ADMIN
from tieline.kernel.wording import money

_ID = "[0-9a-f-]{36}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What is known of the firm from elsewhere than its pages."""

    figures: Mapping[str, Any]
    ask: Callable[[str], list[dict[str, Any]]]

    def found(self, number: int) -> Mapping[str, Any]:
        """Return what the run itself found of an incident."""
        (incident,) = (each for each in self.figures["incidents"] if each["number"] == number)
        found: Mapping[str, Any] = incident["found"]
        return found

    def worth(self, number: int) -> str:
        """Return the money of an incident as a page writes it."""
        found = self.found(number)
        return money(found["amount"], found["currency"])


Walk = Callable[[Eyes, Facts], None]


def _controller(eyes: Eyes, facts: Facts) -> None:
    _see_the_overview(eyes, facts)
    _see_exceptions(eyes, facts, sees_costs=True)
    _close(eyes, facts)
    _see_changes(eyes, facts)
    _propose_and_take_back(eyes)


def _see_the_overview(eyes: Eyes, facts: Facts) -> None:
    page = eyes.open("/")
    page.says("Unaccounted hours 0.00", f"Needs attention {facts.figures['cases_open']} ")
    # Each amount in its own currency, and what they come to.
    for row in facts.ask(
        "SELECT currency, sum(amount) AS amount FROM ledger_line WHERE currency IS NOT NULL GROUP BY 1"
    ):
        page.says(money(row["amount"], row["currency"]))
    page.says("Together EUR")
    cut_offs = eyes.file("/overview.xlsx", sheet=2)
    assert {row["Code"] for row in cut_offs} >= {"HR-DE", "HR-UK", "HR-US"}
    for row in cut_offs:
        shown = page.row(row["Legal entity"], row["Period"])
        assert f"{row['Through']} of {row['Due']}" in shown
        assert shown.endswith(f"{_two(row['Waiting'])} {_two(row['Needs attention'])}")


def _see_exceptions(eyes: Eyes, facts: Facts, *, sees_costs: bool) -> None:
    page = eyes.open("/exceptions")
    # What is worth most before the nearest deadline stands on top.
    assert facts.worth(9) in page.rows[0]
    page.says(f"in {facts.figures['cases_open']} exceptions")
    for number, reason in (
        (4, "time.after_assignment_end"),
        (5, "time.cap_exceeded"),
        (8, "time.intercompany_not_agreed"),
    ):
        page = eyes.open(f"/exceptions?reason={reason}")
        listed = eyes.file(f"/exceptions.xlsx?reason={reason}", sheet=2)
        assert {each["Currency"] for each in listed} == {facts.found(number)["currency"]}
        shown = sum((Decimal(each["Worth"]) for each in listed), Decimal(0))
        assert money(shown, facts.found(number)["currency"]) == facts.worth(number)
        page.says(facts.found(number)["hours"])
    (row,) = eyes.open("/exceptions?reason=time.rate_missing").rows
    assert facts.found(3)["hours"] in row
    # What nobody knows the price of is weighed by its cost, for who may see costs.
    assert ("unpriced" in row) is not sees_costs


def _close(eyes: Eyes, facts: Facts) -> None:
    page = eyes.open("/close")
    names = {row["entity_code"]: row["name"] for row in facts.ask("SELECT * FROM legal_entity")}
    for row in eyes.file("/close.xlsx", sheet=2):
        parts = [
            Decimal(row[name])
            for name in (
                "In the ERP",
                "Waiting",
                "Needs attention",
                "Left out",
                "Given to finance as file",
            )
        ]
        assert Decimal(row["Approved in the time tool"]) == sum(parts)
        shown = page.row(names[row["Legal entity"]], row["Period"], "=")
        for name in ("Approved in the time tool", "In the ERP", "Needs attention", "Unaccounted"):
            assert _two(row[name]) in shown
    _see_the_invoice(eyes, facts)
    _release_and_take_back(eyes)


def _see_the_invoice(eyes: Eyes, facts: Facts) -> None:
    listed = eyes.open("/close?state=invoiced")
    name = next(name for name in listed.links if "claims automation" in name)
    page = eyes.open(listed.links[name])
    page.says(
        "Invoiced",
        facts.worth(10),
        f"{facts.worth(10)} in the ERP, {facts.worth(10)} expected, difference EUR 0.00",
    )
    rows = [row for row in page.rows if "Its hours" in row]
    assert len(rows) == facts.found(10)["lines"]
    # From the line of the invoice to its hours, and from an hour to the clock and to the ERP.
    trail = eyes.open(page.links["Its hours"])
    hour = eyes.open(trail.links["Follow this hour"])
    hour.says("Received", "Harvest", "Checked", "Sent", "Tryton")


def _release_and_take_back(eyes: Eyes) -> None:
    listed = eyes.open("/close?state=ready")
    address = _first(listed, f"/close/{_ID}/{_ID}")
    page = eyes.open(address)
    page.says("Release", "0 say no")
    eyes.send(f"{address}/release")
    page = eyes.open(address)
    page.says("Released", "Take the release back")
    eyes.send(f"{address}/withdraw", reason="only a look")
    eyes.open(address).says("Ready")


def _see_changes(eyes: Eyes, facts: Facts) -> None:
    edited = eyes.open("/changes?state=to_approve&kind=edited")
    edited.says(f"{facts.worth(6)} net in", "Look at 1 to agree to")
    (row,) = edited.rows
    before, after = (Decimal(text) for text in re.findall(r"([\d.]+) h ", row))
    assert after - before == Decimal(facts.found(6)["hours"])
    deleted = eyes.open("/changes?state=corrected&kind=deleted")
    taken_back = facts.found(7)
    row = deleted.row(money(-Decimal(taken_back["amount"]), taken_back["currency"]))
    assert f"{-Decimal(taken_back['hours'])} h" in row
    assert "nothing" in row


def _propose_and_take_back(eyes: Eyes) -> None:
    listed = eyes.open("/exceptions?reason=time.narrative_missing")
    address = _first(listed, f"/exceptions/{_ID}")
    eyes.open(address)
    eyes.send(f"{address}/leave-out", reason="nobody will ever say")
    page = eyes.open(address)
    page.says("You proposed it, so somebody else must agree.", "Take my proposal back")
    assert not any(deed.endswith("/approve") for deed in page.deeds)
    (taken,) = (deed for deed in page.deeds if deed.endswith("/reject"))
    eyes.send(taken)
    assert f"{address}/leave-out" in eyes.open(address).deeds


def _finance(eyes: Eyes, facts: Facts) -> None:
    (row,) = facts.ask("SELECT count(*)::int AS waiting FROM proposal WHERE state = 'proposed'")
    eyes.open("/approvals").says("What waits for a second person?", f"{row['waiting']} proposals")


def _delivery(eyes: Eyes, facts: Facts) -> None:
    page = eyes.open("/handover")
    rows = eyes.file("/handover.xlsx", sheet=2)
    for number in (1, 2):
        page.says(facts.worth(number))
    for row in rows:
        shown = page.row(row["Deal"])
        assert money(row["Worth"], row["Currency"]) in shown
        assert row["Stands in its way"] in shown
    page = eyes.open("/missing")
    missing = facts.found(11)
    page.says(f"{missing['hours']} h missing of {missing['people']} people")
    people = eyes.file("/missing.xlsx", sheet=2)
    assert sum(Decimal(row["Missing"]) for row in people) == Decimal(missing["hours"])
    page.says("Away, back", "stands in")
    eyes.send("/missing/remind", reason="the period closes soon")
    _see_projects(eyes)


def _see_projects(eyes: Eyes) -> None:
    page = eyes.open("/delivery")
    rows = eyes.file("/delivery.xlsx", sheet=2)
    for title, word in (("Booked", "booked"), ("Approved", "approved"), ("Billed", "billed")):
        total = sum((Decimal(row[title]) for row in rows), Decimal(0))
        page.says(f"{_two(total)} {word}")
    assert "Cost" not in page.text
    assert "Margin" not in page.text


def _integration(eyes: Eyes, facts: Facts) -> None:
    page = eyes.open("/connections")
    connections = facts.ask("SELECT connection_key, mode FROM connection ORDER BY 1")
    for row in connections:
        page.says(row["connection_key"])
        assert f"/connections/{row['connection_key']}/pause" in page.deeds
    assert not any("/lift" in deed for deed in page.deeds)
    eyes.send("/connections/harvest/pause", reason="only a look")
    assert "/connections/harvest/resume" in eyes.open("/connections").deeds
    eyes.send("/connections/harvest/resume", reason="it was only a look")
    assert "/connections/harvest/pause" in eyes.open("/connections").deeds
    # An agency's file: each line that cannot be read has its own exception, with its number.
    page = eyes.open("/exceptions?queue=integration")
    unread = [row for row in page.rows if "agency" in row]
    assert len(unread) >= facts.found(12)["lines"]


def _steward(eyes: Eyes, facts: Facts) -> None:
    page = eyes.open("/same-client")
    page.says("Same client?", "BRANDT Maschinen-Bau", "Brandt Maschinenbau AG")
    assert "/same-client/answer" in page.deeds
    page = eyes.open("/adopt")
    assert "/adopt/sheet" in page.deeds
    left = len(eyes.file("/adopt.xlsx", sheet=2))
    page.says(f"{left} records have no link yet")
    for row in facts.ask("SELECT name FROM legal_entity"):
        page.says(row["name"])


def _auditor(eyes: Eyes, facts: Facts) -> None:
    _see_the_overview(eyes, facts)
    _see_exceptions(eyes, facts, sees_costs=False)
    _see_the_invoice(eyes, facts)


def _administrator(eyes: Eyes, facts: Facts) -> None:
    page = eyes.open("/connections")
    page.says("connections answer")
    for row in facts.ask("SELECT connection_key FROM connection"):
        assert f"/connections/{row['connection_key']}/pause" in page.deeds


WALKS: Mapping[str, Walk] = {
    "controller": _controller,
    "finance": _finance,
    "delivery": _delivery,
    "integration": _integration,
    "steward": _steward,
    "auditor": _auditor,
    "administrator": _administrator,
}
_TOUR = (
    "/missing",
    "/handover",
    "/exceptions",
    "/changes",
    "/adopt",
    "/connections",
    "/same-client",
    "/what-if",
    "/drift",
)


def offered(eyes: Eyes) -> set[str]:
    """Return every deed that somebody is offered on the way through the pages, by its address with places."""
    found: set[str] = set()
    pages = [eyes.open(address) for address in _TOUR]
    close = eyes.open("/close?state=ready")
    pages += [
        eyes.open(_first(close, f"/close/{_ID}/{_ID}")),
        eyes.open(_first(close, f"/close/periods/{_ID}")),
        eyes.open(
            _first(eyes.open("/exceptions?reason=time.narrative_missing"), f"/exceptions/{_ID}")
        ),
    ]
    for page in pages:
        found |= {_template(deed) for deed in page.deeds}
    return found


def allowed(roles: tuple[str, ...], among: set[str]) -> set[str]:
    """Return those deeds that one of these roles may do."""
    return {deed for deed in among if ADMIN in roles or DEEDS[deed] & set(roles)}


def _first(page: Page, pattern: str) -> str:
    return next(href for href in page.links.values() if re.fullmatch(pattern, href))


def _template(deed: str) -> str:
    for template in DEEDS:
        if re.fullmatch(re.sub(r"\{[^}]*\}", "[^/]+", template), deed):
            return template
    raise AssertionError(f"{deed} is no deed that is known")


def _two(amount: str | Decimal) -> str:
    return f"{Decimal(amount).quantize(Decimal('0.01')):,}"
