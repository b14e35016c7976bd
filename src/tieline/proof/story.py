"""The story of one month: people win deals, staff projects, book hours, and change their minds."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from tieline.proof import faultplan
from tieline.proof.town import Town
from tieline.sandbox.firm import Firm
from tieline.sandbox.firm_board import plan_board
from tieline.sandbox.firm_calendar import month_before
from tieline.sandbox.firm_model import Deal
from tieline.sandbox.truth import final_truth, harvest_ids, last_state

# The deal whose client may be one that the ERP knows under another name.
_ON_THE_BOARD = "BRA-SPARE"
# As many make the first money worth looking at.
_MANY_ENTRIES = 20


@dataclass(slots=True, kw_only=True)
class Story:
    """Act as the people of the firm, in the vendors' own systems only."""

    firm: Firm
    town: Town
    drop_directory: Path
    _deal_refs: dict[str, str] = field(default_factory=dict)
    _company_refs: dict[str, str] = field(default_factory=dict)
    _won: set[str] = field(default_factory=set)
    _booked: set[str] = field(default_factory=set)
    changes_made: list[Mapping[str, Any]] = field(default_factory=list)
    # Hours that stay posted until people agree to their change, by the key of the entry.
    waiting: Mapping[str, Decimal] = field(default_factory=dict)
    _is_agency_there: bool = False

    def prepare(self) -> None:
        """Fill the CRM and the time tool with what they held before, and empty the folders."""
        # Files of an earlier run in this home are another firm's.
        shutil.rmtree(self.drop_directory, ignore_errors=True)
        loaded = self.town.hubspot.act("load", self.firm.hubspot_load(with_written_back=False))
        self._deal_refs = {key: str(ref) for key, ref in loaded["ids"]["deals"].items()}
        self._company_refs = {key: str(ref) for key, ref in loaded["ids"]["companies"].items()}
        self._fill_time_tool()
        self.agency_directory.mkdir(parents=True, exist_ok=True)
        self.town.board.act(
            "occasions", plan_board(self.firm, agency_directory=self.agency_directory)
        )

    def _fill_time_tool(self) -> None:
        """Enter people, and the projects that ran before with whom and what they have."""
        load = self.town.harvest.act
        ids = load("load", self.firm.harvest_load())["ids"]
        made = load("load", self.firm.harvest_projects(client_ids=ids["clients"]))["ids"]
        links = self.firm.harvest_links(
            project_ids=made["projects"], task_ids=ids["tasks"], user_ids=ids["users"]
        )
        load("load", links)

    @property
    def agency_directory(self) -> Path:
        """Return where the agency's file is looked for."""
        return self.drop_directory / "agency"

    def running_codes(self) -> list[str]:
        """Return the codes of the projects that ran before."""
        return [contract.project_code for contract in self.firm.running]

    def drop_staffing(self) -> None:
        """Put the staffing file where it is looked for."""
        self._drop("staffing.csv", self.firm.staffing_csv())

    def drop_teams(self) -> None:
        """Tell who works on the contracts that run."""
        self._drop("staffing-teams.csv", self.firm.teams_csv())

    def drop_late_staffing(self) -> None:
        """Tell who joined once the projects run."""
        self._drop("staffing-later.csv", self.firm.late_staffing_csv())

    def _drop(self, name: str, content: str) -> None:
        self.drop_directory.mkdir(parents=True, exist_ok=True)
        draft = self.drop_directory / f"{name}.part"
        draft.write_text(content, encoding="utf-8")
        draft.rename(self.drop_directory / name)

    def win_first_deal(self) -> None:
        """Win the smallest deal that nothing stands in the way of and that has hours of many days."""
        self._break(self.town.hubspot, faultplan.CRM)
        self._break(self.town.harvest, faultplan.TIME_TOOL_WHILE_PROVISIONING)
        self._break(self.town.tryton, faultplan.ERP_WHILE_PROVISIONING)
        self._break(self.town.tryton, faultplan.ERP_WHILE_POSTING)
        booked = Counter(entry.project_code for entry in self.firm.entries)
        deal = min(
            (deal for deal in self.firm.deals if booked[deal.project_code] >= _MANY_ENTRIES),
            key=lambda d: len(d.lines),
        )
        self._win(deal.key)

    def win_deals(self) -> int:
        """Win every deal that is not won yet; return how many are won in all."""
        for deal in self.firm.deals:
            if deal.key not in self._won:
                self._win(deal.key)
        return len(self._won)

    def _win(self, deal_key: str) -> None:
        if deal_key == _ON_THE_BOARD:
            self._press("win", deal_key)
        else:
            self.town.hubspot.act("win", {"deal_id": deal_key})
        self._won.add(deal_key)

    # -- on the board ------------------------------------------------------------------------------

    def close_month_before(self) -> None:
        """Let Munich's accountants close the month before in the ERP."""
        first = self.firm.entities[0].code
        self._press("month", f"close {first} {month_before(self.firm.month).isoformat()}")

    def drop_agency_file(self) -> int:
        """Let the agency send its file, and send it again; return how many lines can be read."""
        self._press("file")
        self._is_agency_there = True
        return len(self.firm.agency_file.rows)

    def edit_posted_hour(self) -> None:
        """Let somebody make an hour of the closed month shorter: what is posted stays until people agree."""
        (edited,) = (entry for entry in self.firm.entries if entry.key == self.firm.edited)
        self._press("edit", edited.key)
        self.waiting = {edited.key: edited.hours}

    def delete_posted_hour(self) -> None:
        """Let somebody delete a posted hour; the time tool tells nobody."""
        entry_ids = harvest_ids(self._journal()).entry_ids
        self._press("delete", self.firm.deleted)
        self.changes_made.append(
            {"verb": "delete", "body": {"ids": [entry_ids[self.firm.deleted]]}}
        )

    def _press(self, code: str, choice: str = "") -> None:
        self.town.board.act(f"deeds/{code}", {"choice": choice})

    def book_time(self, *, project_codes: Collection[str], at: datetime) -> int:
        """Let everybody hand in the month on these projects, once; return how many entries."""
        wanted = set(project_codes) - self._booked
        if not wanted:
            return 0
        ids = harvest_ids(self._journal())
        payload = self.firm.time_entries(
            project_ids={code: ids.project_ids[code] for code in wanted},
            task_ids=ids.task_ids,
            user_ids=ids.user_ids,
            handed_in_at=at,
        )
        self.town.harvest.act("entries", payload)
        self._booked |= wanted
        return len(payload["entries"])

    def hand_in_late(self, *, at: datetime) -> int:
        """Hand in what comes after everything else was posted; return how many entries."""
        ids = harvest_ids(self._journal())
        payload = self.firm.time_entries(
            project_ids=ids.project_ids,
            task_ids=ids.task_ids,
            user_ids=ids.user_ids,
            handed_in_at=at,
            is_late=True,
        )
        self.town.harvest.act("entries", payload)
        return len(payload["entries"])

    def change_minds(self, *, at: datetime) -> int:
        """Edit, delete, withdraw and correct after posting; return how many changes."""
        self._break(self.town.harvest, faultplan.TIME_TOOL_WHILE_READING)
        ids = harvest_ids(self._journal())
        changes = self.firm.changes(
            entry_ids=ids.entry_ids, project_ids=ids.project_ids, task_ids=ids.task_ids, at=at
        )
        for change in changes:
            self.town.harvest.act(change["verb"], change["body"])
        self.changes_made.extend(changes)
        return len(changes)

    def calm_down(self) -> None:
        """Let no further fault happen."""
        for vendor in (self.town.tryton, self.town.harvest, self.town.hubspot):
            names = [rule["name"] for rule in vendor.ask("faults/rules")]
            if names:
                vendor.act("faults", {"disarm": names})

    def faults_injected(self) -> dict[str, int]:
        """Return how often each vendor failed in each way."""
        return {
            f"{name}.{kind}": count
            for name, vendor in (
                ("tryton", self.town.tryton),
                ("harvest", self.town.harvest),
                ("hubspot", self.town.hubspot),
            )
            for kind, count in vendor.ask("faults").items()
        }

    def faults_on_time_lines(self) -> dict[str, int]:
        """Return how often a batch of hours on its way to the ERP failed in each way."""
        counts: dict[str, int] = {}
        for rule in self.town.tryton.ask("faults/rules"):
            if rule["name"].startswith(faultplan.TIME_LINE_RULES):
                counts[rule["kind"]] = counts.get(rule["kind"], 0) + rule["injected"]
        return counts

    def open_projects(self) -> set[str]:
        """Return the codes of the projects on which time can be booked in the time tool."""
        projects = last_state(self._journal())["projects"].values()
        return {str(project["code"]) for project in projects if project["is_active"]}

    def truth(self) -> Mapping[Any, list[int]]:
        """Return the hours that must stand in the ERP in the end."""
        truth = final_truth(
            journal=self._journal(),
            mistakes=self.firm.remaining_mistakes(is_after_changes=bool(self.changes_made)),
            entity_of_project=self.firm.entity_of_project,
            stays=self.waiting,
        )
        return {**truth, **self.firm.agency_truth()} if self._is_agency_there else truth

    def references(self) -> dict[str, str]:
        """Return what the vendors call the story's hours and deals, by the story's own keys."""
        entry_ids = harvest_ids(self._journal()).entry_ids
        lines = {ref: ref for _, ref in self.firm.agency_file.bad_lines}
        return {**{key: str(ref) for key, ref in entry_ids.items()}, **self._deal_refs, **lines}

    def company_of(self, deal: Deal) -> str:
        """Return what the CRM calls the company of a deal."""
        return self._company_refs[deal.client_key]

    def _journal(self) -> list[Mapping[str, Any]]:
        journal: list[Mapping[str, Any]] = self.town.harvest.ask("journal")["journal"]
        return journal

    def _break(self, vendor: Any, rules: Any) -> None:
        vendor.act("faults", {"add": list(rules)})
