"""The main job on real systems, once: from won deals to drafted invoices, with faults on."""

from __future__ import annotations

import json
import os
import secrets
import sys
import threading
import time
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

from rich.console import Console

from tieline.governance import ADMIN, COSTS, add_person
from tieline.kernel.shipped import shipped
from tieline.policy import PolicyValue, approve_release, draft_release
from tieline.proof import watch
from tieline.proof.figures import collect_figures
from tieline.proof.incidents import (
    AGENCY,
    DELETED_ON_THE_BOARD,
    EDITED_ON_THE_BOARD,
    change_ids,
    count_changes,
    find_incidents,
    show_incidents,
)
from tieline.proof.mailing import connect_mail
from tieline.proof.pressing import (
    RATES,
    REPORTING_CURRENCY,
    close_past_periods,
    link_agency,
    load_terms,
)
from tieline.proof.running import (
    Standing,
    count_adopted,
    link_contracts,
    see_standing,
    tell_contracts,
)
from tieline.proof.story import Story
from tieline.proof.supervising import Supervisor, worker_environment
from tieline.proof.town import Town, build_town
from tieline.sandbox.firm import Firm
from tieline.sandbox.firm_calendar import months_before
from tieline.sandbox.firm_model import LABOR_CATEGORIES
from tieline.sandbox.firm_running import LOAD_PROJECT, STATES
from tieline.sandbox.firm_terms import terms_of_companies, terms_of_contracts
from tieline.services.installation import (
    MONTHS,
    WEEKS,
    ConnectionSetup,
    EntitySetup,
    connect,
    create_entity,
    open_periods,
)
from tieline.services.system import System
from tieline.settings import REPORTING_CURRENCY_VARIABLE, Settings
from tieline.validation import builtin_rules, builtin_values

_WORKERS = 2
_PROVISION_SECONDS_MAX = 240
_POST_SECONDS_MAX = 300
_CHANGE_SECONDS_MAX = 180
_INVOICE_SECONDS_MAX = 120
_BATCH_LINES = 100
# How often all hours are read, to find what is gone: once people delete some, it is waited for.
_SELDOM_SECONDS, _OFTEN_SECONDS, _NOW_AND_THEN_SECONDS = 60, 4, 15
# Read until what ran before is adopted, and no more: what is provisioned is linked as it is made.
_ADOPTED_FROM_TIME_TOOL = ("projects", "task_assignments")
_ADOPTED_FROM_ERP = ("projects",)
_PERIODS_BEFORE = 2
_PERIODS_AFTER = 3

# Approvers are never quite done; what they have not seen yet may still be approved before the cut-off. And what the
# firm has no use for is not missed.
_WEIGHTS = tuple(
    PolicyValue(name=f"weight:readiness.{check}", entity_code="", value=weight, reason=reason)
    for check, weight, reason in (
        ("hours_not_approved", "risk", "approvers have until the cut-off"),
        ("wip_account", "ignore", "work in progress stands on one account"),
        ("e_invoice_channel", "ignore", "every client takes invoices by mail"),
        ("payment_terms", "ignore", "the ERP gives every client 30 days"),
        ("invoice_language", "ignore", "the ERP writes as its client is set up"),
        ("write_downs", "ignore", "discounts are agreed on the deal"),
        ("retention", "ignore", "no client keeps a part back"),
    )
)
# Whoever looks at the pages, one for each thing that people do there, and what they do.
_PEOPLE = (
    ("controller", "Controller", ("controller", COSTS), "proposes"),
    ("finance", "Finance lead", ("controller", COSTS), "approves"),
    ("delivery", "Delivery manager", ("delivery",), "runs projects"),
    ("integration", "Integration engineer", ("integration",), "connects systems"),
    ("steward", "Data steward", ("data_steward",), "tells clients apart"),
    ("auditor", "Auditor", ("auditor",), "only looks"),
    ("administrator", "Administrator", (ADMIN,), "gives rights"),
)
_AUDIT = timedelta(days=90)
_PLAYED = {EDITED_ON_THE_BOARD, DELETED_ON_THE_BOARD}
# A whole read that met a skipped page concludes nothing and says so, until the next one that is whole.
_DOUBTED = (
    "SELECT count(*) FROM case_file WHERE state = 'open' AND reason = 'intake.too_many_missing'"
)
# The streams of people's systems that were not read since an instant.
_NOT_READ = """
    SELECT count(*) FROM connection c
    CROSS JOIN LATERAL jsonb_array_elements_text(c.config -> 'streams') s (stream)
    LEFT JOIN stream_cursor k ON k.connection_key = c.connection_key AND k.stream = s.stream
    WHERE c.kind <> 'erp' AND coalesce(k.read_at, '-infinity') < %s
"""

Progress = Callable[[str], None]
OpenSystem = Callable[[Settings], System]


@dataclass(frozen=True, slots=True, kw_only=True)
class Login:
    """A way into the console that the demo made up."""

    login: str
    password: str = field(repr=False)
    does: str


@dataclass(slots=True, kw_only=True)
class Workers:
    """The worker processes of a run, started again when they die, and when it began."""

    settings: Settings
    progress: Progress
    started: float = field(default_factory=time.monotonic)
    _stop: threading.Event = field(default_factory=threading.Event)
    _keeper: threading.Thread | None = None

    def start(self) -> None:
        """Start the workers and keep them running."""
        supervisor = Supervisor(
            run_directory=self.settings.run_directory,
            log_directory=self.settings.log_directory,
            environment=worker_environment(self.settings),
            look_after=lambda: None,
            tell=self.progress,
        )
        for number in range(1, _WORKERS + 1):
            supervisor.add(name=f"worker-{number}", words=["worker"])
        self._keeper = threading.Thread(target=supervisor.run, args=(self._stop,), name="workers")
        self._keeper.start()

    def stop(self) -> None:
        """Ask the workers to end, and wait for it."""
        self._stop.set()
        if self._keeper is not None:
            self._keeper.join()

    @property
    def seconds(self) -> int:
        """Return the whole seconds since the run began."""
        return round(time.monotonic() - self.started)


@dataclass(slots=True, kw_only=True)
class Demo:
    """One run of the demo in one home."""

    settings: Settings
    firm: Firm
    open_system: OpenSystem
    progress: Progress
    workers: Workers
    on_people: Callable[[Sequence[Login]], None]
    # So many contracts are left for a person to release.
    contracts_left: int = 0
    # Whether the run presses what the board offers, or leaves it to a person.
    is_played: bool = True
    logins: list[Login] = field(default_factory=list)
    _first_money_seconds: int | None = None
    _entries: int = 0
    _known_changes: frozenset[UUID] = frozenset()

    def run(self) -> tuple[Town, System, Story, dict[str, Any]]:
        """Run the story to its end and return the figures.

        :raises TryAgain: something did not happen in time.
        """
        opened: list[System] = []

        def begin() -> None:
            opened.append(self.open_system(self.settings))
            self.workers.start()
            self._found(opened[0])

        town = self._step(
            "systems",
            lambda: build_town(
                settings=self.settings,
                firm_seed=self.firm.erp_seed(),
                now=self.firm.now,
                progress=self.progress,
                on_database=begin,
            ),
        )
        (system,) = opened
        story = Story(firm=self.firm, town=town, drop_directory=self.settings.home / "drop")
        story.prepare()
        self._step("installation", lambda: self._install(town, system, story))
        self._step("running contracts", lambda: self._tell(town, system, story))
        self._step("deals and hours", lambda: self._work(system, story))
        self._step("changes", lambda: self._change(town, system, story))
        standing = self._see_standing(system)
        if self.is_played:
            self._step("the board", lambda: self._play(system, story))
        self._connect(town, system, story, full_read_seconds=_NOW_AND_THEN_SECONDS)
        story.calm_down()
        self._settle(system, "calm")
        self._step("invoices", lambda: self._invoice(system))
        self._wait_for_reads(system)
        self._settle(system, "end")
        figures = collect_figures(
            system=system, town=town, story=story, seconds_total=self.workers.seconds
        )
        figures["seconds_to_first_money"] = self._first_money_seconds
        figures["contracts_adopted"] = count_adopted(system, running=self.firm.running)
        figures["contracts_at_cut_off"] = standing.counts
        figures["contracts_misjudged"] = len(standing.misjudged)
        self._compare_incidents(system, figures)
        return town, system, story, figures

    # -- the steps -------------------------------------------------------------------------------

    def _found(self, system: System) -> None:
        """Enter the firm's legal entities, rules, people and rates."""
        now = system.clock.now()
        with system.database.transaction() as connection:
            for entity in _entities(self.firm):
                create_entity(connection, entity=entity, now=now)
                open_periods(
                    connection,
                    entity=entity,
                    starts_on=months_before(self.firm.month, _PERIODS_BEFORE),
                    ends_on=self.firm.month + timedelta(days=31 * _PERIODS_AFTER),
                    opened_by="setup",
                    now=now,
                )
            release_id = draft_release(
                connection,
                title="The firm's first rules",
                rules=builtin_rules(),
                values=(*builtin_values(), *_WEIGHTS),
                overrides=(),
                proposed_by="integration",
                reason="rules that ship with Tieline",
                now=now,
            )
            approve_release(connection, release_id=release_id, approved_by="controller", now=now)
        self._add_people(system)
        told = terms_of_companies(
            month=self.firm.month,
            entities=self.firm.entities,
            rates=RATES,
            currency=REPORTING_CURRENCY,
        )
        load_terms(system, self.firm, files=told)

    def _install(self, town: Town, system: System, story: Story) -> None:
        """Connect the systems, and tell who may enter what."""
        self._connect(town, system, story, full_read_seconds=_SELDOM_SECONDS, is_adopting=True)
        connect_mail(system, town=town)
        password = town.erp.template.admin_password
        self.logins.append(Login(login="admin", password=password, does="enters Tryton"))
        self.on_people(self.logins)
        self._prepare_crm(system)

    def _connect(
        self,
        town: Town,
        system: System,
        story: Story,
        *,
        full_read_seconds: int,
        is_adopting: bool = False,
    ) -> None:
        """Connect everything as it is read while what ran before is adopted, or once it is."""
        with system.database.transaction() as connection:
            for setup in _connections(
                self.firm,
                town,
                story,
                full_read_seconds=full_read_seconds,
                is_adopting=is_adopting,
            ):
                connect(connection, key=system.master_key, setup=setup, now=system.clock.now())

    def _prepare_crm(self, system: System) -> None:
        # What `tieline connect hubspot` offers, and the person says yes to.
        crm = system.connectors.get(connection_key="hubspot")
        created = crm.create_properties(crm.missing_properties())
        self.progress(f"  {len(created)} properties created in the CRM")

    def _add_people(self, system: System) -> None:
        entities = [entity.code for entity in self.firm.entities]
        with system.database.transaction() as connection:
            for login, name, roles, does in _PEOPLE:
                password = secrets.token_urlsafe(9)
                add_person(
                    connection,
                    login=login,
                    display_name=name,
                    password=password,
                    roles=roles,
                    entities=entities,
                    by="setup",
                    now=system.clock.now(),
                    ends_at=system.clock.now() + _AUDIT if login == "auditor" else None,
                )
                self.logins.append(Login(login=login, password=password, does=does))

    def _tell(self, town: Town, system: System, story: Story) -> None:
        """Win a first deal at once, and tell of what runs already and who works on it."""
        story.drop_staffing()
        story.win_first_deal()
        body = self.firm.contracts_csv().encode()
        tell_contracts(system, body=body, progress=self.progress)
        told = terms_of_contracts(
            month=self.firm.month, running=self.firm.running, clients=self.firm.clients
        )
        load_terms(system, self.firm, files=told)
        story.drop_teams()
        links = link_contracts(
            system,
            running=self.firm.running,
            staffed=len(self.firm.team_assignments),
            progress=self.progress,
            # Whoever is on the first deal's project does not wait for what ran before.
            meanwhile=lambda: self._book_on_active(system, story),
        )
        self._connect(town, system, story, full_read_seconds=_SELDOM_SECONDS)
        self.progress(f"  {len(self.firm.running)} running contracts adopted with {links} links")

    def _work(self, system: System, story: Story) -> None:
        """Win the other deals once the first made money; who can book books at once."""
        deals = 0

        def is_through() -> bool:
            nonlocal deals
            self._book_on_active(system, story)
            planned = sum(watch.plan_states(system.database).values())
            # Thousands of hours at once would keep the deals waiting that are handed over beside them.
            running = story.running_codes() if planned >= deals > 0 else []
            self._book(system, story, running)
            # What shows how soon money moves does not wait behind eleven other deals.
            if self._first_money_seconds is not None and not deals:
                deals = story.win_deals()
                self.progress(f"  {deals} deals won in the CRM")
            return (
                planned >= deals > 0
                and _settled_plans(system) == deals
                and watch.count(system.database, "SELECT count(*) FROM time_entry") >= self._entries
                and watch.is_quiet(system.database)
            )

        watch.wait_for(
            "deals and hours",
            is_through,
            seconds_max=_PROVISION_SECONDS_MAX + _POST_SECONDS_MAX,
            progress=self.progress,
            tell=lambda: (
                f"deals {watch.in_words(watch.plan_states(system.database))};"
                f" hours {watch.in_words(watch.place_counts(system.database))};"
                f" moving {watch.in_words(watch.moving(system.database))}"
            ),
        )
        self.progress(f"  {watch.in_words(watch.plan_states(system.database))}")
        self.progress(
            f"  {self._entries} entries handed in: {watch.in_words(watch.place_counts(system.database))}"
        )

    def _book_on_active(self, system: System, story: Story) -> None:
        """Let people book on every project that is set up by now."""
        self._book(system, story, _active_projects(system))
        self._note_first_money(system)

    def _book(self, system: System, story: Story, project_codes: Sequence[str]) -> None:
        self._entries += story.book_time(project_codes=project_codes, at=system.clock.now())

    def _note_first_money(self, system: System) -> None:
        if self._first_money_seconds is None and watch.count(
            system.database, "SELECT count(*) FROM ledger_line"
        ):
            self._first_money_seconds = self.workers.seconds
            self.progress(f"  first money moved after {self._first_money_seconds} s")

    def _change(self, town: Town, system: System, story: Story) -> None:
        self._connect(town, system, story, full_read_seconds=_OFTEN_SECONDS)
        story.drop_late_staffing()
        link_agency(system, story)
        closed = close_past_periods(system, story)
        self.progress(f"  {closed} periods closed that were over")
        story.hand_in_late(at=system.clock.now())
        changes = story.change_minds(at=system.clock.now())
        self.progress(f"  {changes} changes after posting")
        wanted = sum(change["verb"] == "delete" for change in story.changes_made)
        # What is healed was never posted.
        corrected = sum(change["kind"] != "healed" for change in story.changes_made)
        watch.wait_for(
            "corrections",
            lambda: (
                _deleted(system) >= wanted
                and _are_corrected(system, deleted=wanted, changed=corrected)
                and watch.is_quiet(system.database)
                and not watch.count(system.database, _DOUBTED)
            ),
            seconds_max=_CHANGE_SECONDS_MAX,
            progress=self.progress,
            tell=lambda: (
                f"{_deleted(system)} of {wanted} deletes believed, "
                f"moving {watch.in_words(watch.moving(system.database))}"
            ),
        )

    def _see_standing(self, system: System) -> Standing:
        standing = see_standing(system, expected=STATES)
        self.progress(f"  running contracts at the cut-off: {watch.in_words(standing.counts)}")
        for misjudged in standing.misjudged:
            self.progress(f"  {misjudged}")
        return standing

    def _play(self, system: System, story: Story) -> None:
        """Press what the board offers; everything else is through, so that what is new comes from there."""
        self._known_changes = change_ids(system)
        entries = watch.count(system.database, "SELECT count(*) FROM time_entry")
        entries += story.drop_agency_file()
        story.edit_posted_hour()
        story.delete_posted_hour()

        def is_through() -> bool:
            return (
                watch.count(system.database, "SELECT count(*) FROM time_entry") >= entries
                and count_changes(system, but=self._known_changes).keys() >= _PLAYED
                and watch.is_quiet(system.database)
            )

        watch.wait_for(
            "the board",
            is_through,
            seconds_max=_CHANGE_SECONDS_MAX,
            progress=self.progress,
            tell=lambda: watch.in_words(watch.place_counts(system.database)),
        )

    def _compare_incidents(self, system: System, figures: dict[str, Any]) -> None:
        compared = find_incidents(
            system, known_changes=self._known_changes, with_played=self.is_played
        )
        show_incidents(compared, console=Console(file=sys.stderr))
        figures["incidents_planted"] = len(compared)
        figures["incidents_found"] = sum(each.is_found for each in compared)
        figures["incidents_not_found"] = sum(not each.is_found for each in compared)
        figures["incidents"] = [each.as_json() for each in compared]

    def _invoice(self, system: System) -> None:
        from tieline.proof.invoicing import release_and_draft

        codes = {deal.project_code for deal in self.firm.deals}
        release_and_draft(
            system=system,
            month=self.firm.month,
            # What was adopted is left to a person; a run that nobody looks at bills one of it.
            contract_codes={*codes, LOAD_PROJECT} if self.is_played else codes,
            contracts_left=self.contracts_left,
            progress=self.progress,
        )

    def _wait_for_reads(self, system: System) -> None:
        """Wait until whatever may have changed was read once more."""
        since = system.clock.now()
        watch.wait_for(
            "another look",
            lambda: watch.count(system.database, _NOT_READ, since) == 0,
            seconds_max=_CHANGE_SECONDS_MAX,
            progress=self.progress,
        )

    def _settle(self, system: System, what: str) -> None:
        watch.wait_for(
            what,
            lambda: watch.is_quiet(system.database),
            seconds_max=_CHANGE_SECONDS_MAX,
            progress=self.progress,
            tell=lambda: f"moving {watch.in_words(watch.moving(system.database))}",
        )

    def _step(self, name: str, run: Callable[[], Any]) -> Any:
        begun = time.monotonic()
        self.progress(f"{name} ...")
        result = run()
        self.progress(f"{name}: {time.monotonic() - begun:.1f} s")
        return result


@contextmanager
def demo_environment(settings: Settings, firm: Firm) -> Iterator[None]:
    """Let this process and its children live in the firm's business time."""
    kept = dict(os.environ)
    os.environ.update(worker_environment(settings))
    os.environ["TIELINE_BUSINESS_NOW"] = firm.now.isoformat()
    os.environ.setdefault(REPORTING_CURRENCY_VARIABLE, REPORTING_CURRENCY)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(kept)


def write_report(figures: Mapping[str, Any], path: Path) -> None:
    """Write the figures as one JSON object, to standard output where the path is a dash."""
    text = json.dumps(figures, indent=2, default=_plain) + "\n"
    if path == Path("-"):
        sys.stdout.write(text)
        sys.stdout.flush()
        return
    path.write_text(text, encoding="utf-8")


def _plain(value: object) -> object:
    return str(value) if isinstance(value, Decimal) else repr(value)


def _entities(firm: Firm) -> list[EntitySetup]:
    return [
        EntitySetup(
            entity_code=entity.code,
            name=entity.name,
            currency=entity.currency,
            zone=entity.zone,
            erp_connection_key="tryton",
            close_working_day=entity.closes_on_working_day,
            close_time=entity.closes_at,
            calendar=WEEKS if entity.fiscal_year_start == WEEKS else MONTHS,
        )
        for entity in firm.entities
    ]


def _connections(
    firm: Firm, town: Town, story: Story, *, full_read_seconds: int, is_adopting: bool
) -> list[ConnectionSetup]:
    go_live = {entity.code: months_before(firm.month, 1) for entity in firm.entities}
    passwords = town.erp.template.firm.passwords if town.erp.template.firm else {}
    logins = town.erp.template.firm.logins if town.erp.template.firm else {}
    return [
        ConnectionSetup(
            connection_key="hubspot",
            system="hubspot",
            kind="crm",
            mode="act",
            config={
                **example_config("hubspot"),
                "base_url": town.hubspot.url,
                "allowed_hosts": [],
                "timeout_seconds": 3,
                "streams": ["companies", "deals", "owners"],
                "poll_seconds": 2,
            },
            secrets={
                "access_token": town.saas.hubspot_token,
                "client_secret": town.saas.hubspot_secret,
            },
            settle_seconds=2,
            go_live=go_live,
        ),
        ConnectionSetup(
            connection_key="harvest",
            system="harvest",
            kind="time",
            mode="act",
            config={
                "base_url": town.harvest.url,
                "timeout_seconds": 3,
                "streams": [
                    "users",
                    *(_ADOPTED_FROM_TIME_TOOL if is_adopting else ()),
                    "time_entries",
                ],
                "poll_seconds": 2,
                "full_read_seconds": full_read_seconds,
                "reads_from": months_before(firm.month, 2).isoformat(),
            },
            secrets={
                "access_token": town.saas.harvest_token,
                "account_id": town.saas.harvest_account,
            },
            settle_seconds=2,
            go_live=go_live,
        ),
        ConnectionSetup(
            connection_key="tryton",
            system="tryton",
            kind="erp",
            mode="act",
            config={
                "base_url": town.tryton.url,
                "timeout_seconds": 4,
                "database": "erp",
                "companies": {code: {"login": login} for code, login in logins.items()},
                "streams": [
                    "parties",
                    "employees",
                    *(_ADOPTED_FROM_ERP if is_adopting else ()),
                ],
                "labor_categories": {name: code for code, name in LABOR_CATEGORIES.items()},
                "poll_seconds": 5,
                "check_seconds": 60,
                "batch_lines_max": _BATCH_LINES,
            },
            secrets={f"password.{code}": word for code, word in passwords.items()},
            settle_seconds=2,
            go_live=go_live,
        ),
        ConnectionSetup(
            connection_key="staffing",
            system="filedrop",
            kind="hr",
            mode="act",
            config={
                **example_config("staffing"),
                "directory": str(story.drop_directory),
                "streams": ["staffing"],
                "poll_seconds": 2,
            },
            secrets={},
            settle_seconds=0,
            go_live=go_live,
        ),
        ConnectionSetup(
            connection_key=AGENCY,
            system="filedrop",
            kind="time",
            mode="act",
            config={
                **example_config(AGENCY),
                "directory": str(story.agency_directory),
                "streams": ["time_entries"],
                "poll_seconds": 2,
            },
            secrets={},
            settle_seconds=0,
            go_live=go_live,
        ),
    ]


def example_config(name: str) -> dict[str, Any]:
    """Return a connection's mapping as the example ships it, without what is the installation's."""
    config = tomllib.loads(shipped(f"examples/{name}.toml").read_text(encoding="utf-8"))
    for word in ("connection_key", "system", "mode"):
        config.pop(word, None)
    return config


def _active_projects(system: System) -> list[str]:
    with system.database.transaction() as connection:
        rows = connection.execute(
            "SELECT p.project_code FROM provisioning_plan n JOIN project p USING (project_id)"
            " WHERE n.state = 'active' ORDER BY n.active_at"
        ).fetchall()
    return [row["project_code"] for row in rows]


def _settled_plans(system: System) -> int:
    states = watch.plan_states(system.database)
    return sum(states.get(state, 0) for state in ("active", "blocked", "compensated", "stuck"))


def _are_corrected(system: System, *, deleted: int, changed: int) -> bool:
    """Tell whether what people changed is known as a change of what was posted, deletions by themselves.

    An hour may be more than one change, and a deletion is believed before it is judged.
    """
    kinds = count_changes(system)
    found = sum(number for (kind, _), number in kinds.items() if kind == "deleted")
    return found >= deleted and kinds.total() - found >= changed - deleted


def _deleted(system: System) -> int:
    return watch.count(
        system.database, "SELECT count(*) FROM time_entry_version WHERE is_newest AND is_deleted"
    )
