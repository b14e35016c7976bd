"""The story of one month: people win deals, staff projects, book hours, and change their minds."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from tieline.proof import faultplan
from tieline.proof.town import Town
from tieline.sandbox.firm import Firm
from tieline.sandbox.firm_board import plan_board
from tieline.sandbox.firm_model import Deal
from tieline.sandbox.truth import final_truth, harvest_ids, last_state


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

    def prepare(self) -> None:
        """Fill the CRM and the time tool with what they held before."""
        loaded = self.town.hubspot.act("load", self.firm.hubspot_load(with_written_back=False))
        self._deal_refs = {key: str(ref) for key, ref in loaded["ids"]["deals"].items()}
        self._company_refs = {key: str(ref) for key, ref in loaded["ids"]["companies"].items()}
        self.town.harvest.act("load", self.firm.harvest_load())
        self.town.board.act("occasions", plan_board(self.firm))

    def drop_staffing(self) -> None:
        """Put the staffing file where it is looked for."""
        self.drop_directory.mkdir(parents=True, exist_ok=True)
        draft = self.drop_directory / "staffing.csv.part"
        draft.write_text(self.firm.staffing_csv(), encoding="utf-8")
        draft.rename(self.drop_directory / "staffing.csv")

    def win_first_deal(self) -> None:
        """Win the smallest deal that nothing stands in the way of."""
        self._break(self.town.hubspot, faultplan.CRM)
        self._break(self.town.harvest, faultplan.TIME_TOOL_WHILE_PROVISIONING)
        self._break(self.town.tryton, faultplan.ERP_WHILE_PROVISIONING)
        self._break(self.town.tryton, faultplan.ERP_WHILE_POSTING)
        deal = min(
            (deal for deal in self.firm.deals if deal.blocker is None), key=lambda d: len(d.lines)
        )
        self._win(deal.key)

    def win_deals(self) -> int:
        """Win every deal that is not won yet; return how many are won in all."""
        for deal in self.firm.deals:
            if deal.key not in self._won:
                self._win(deal.key)
        return len(self._won)

    def _win(self, deal_key: str) -> None:
        self.town.hubspot.act("win", {"deal_id": deal_key})
        self._won.add(deal_key)

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
        return final_truth(
            journal=self._journal(),
            mistakes=self.firm.remaining_mistakes(is_after_changes=bool(self.changes_made)),
            entity_of_project=self.firm.entity_of_project,
        )

    def references(self) -> dict[str, str]:
        """Return what the vendors call the story's hours and deals, by the story's own keys."""
        entry_ids = harvest_ids(self._journal()).entry_ids
        return {**{key: str(ref) for key, ref in entry_ids.items()}, **self._deal_refs}

    def company_of(self, deal: Deal) -> str:
        """Return what the CRM calls the company of a deal."""
        return self._company_refs[deal.client_key]

    def _journal(self) -> list[Mapping[str, Any]]:
        journal: list[Mapping[str, Any]] = self.town.harvest.ask("journal")["journal"]
        return journal

    def _break(self, vendor: Any, rules: Any) -> None:
        vendor.act("faults", {"add": list(rules)})
