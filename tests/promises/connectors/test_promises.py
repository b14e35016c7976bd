"""What every connector promises, for all of them; those of other packages are found too."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from importlib.metadata import entry_points
from pathlib import Path

import httpx
import pytest

from tests.promises.connectors.guard import REPAIRS, as_exchange, hold
from tieline.connectors.jira_service import JiraServiceConnector
from tieline.kernel.errors import NotExecuted, OutcomeUnknown, UserMistake
from tieline.sandbox.exchanges import Exchange
from tieline.sdk import Notice, NoticeReceipt, quality, scaffold
from tieline.sdk.promises import load_subject, problems_of

OURS = ("harvest", "hubspot", "tryton", "filedrop", "webhook", "mail", "jira_service")
PACKAGES = sorted(
    {f"tieline.connectors.{name}" for name in OURS}
    | {point.value for point in entry_points(group="tieline.connectors")}
)
RULES = [(tier, rule) for tier, rules in quality.RULES.items() for rule in rules]


@pytest.mark.parametrize("package", PACKAGES)
class TestEveryConnector:
    @pytest.fixture(autouse=True)
    def described(self, package: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
        """Hold what is asked on a bad day against the vendor's description; nothing there answers well."""
        vendor = package.rpartition(".")[2]
        if vendor not in REPAIRS:
            yield
            return
        sent: list[Exchange] = []
        send = httpx.HTTPTransport.handle_request

        def kept(self: httpx.HTTPTransport, request: httpx.Request) -> httpx.Response:
            sent.append(as_exchange(request))
            return send(self, request)

        monkeypatch.setattr(httpx.HTTPTransport, "handle_request", kept)
        yield
        hold(sent, vendor=vendor)

    @pytest.mark.parametrize(("tier", "rule"), RULES)
    def test_keeps_the_rules_it_says_are_done(self, package: str, tier: str, rule: str) -> None:
        if quality.read_answers(package).get(tier, {}).get(rule) != "done":
            return

        assert problems_of(rule=rule, subject=load_subject(package)) == []

    def test_answers_every_rule_of_its_tier(self, package: str) -> None:
        answers = quality.read_answers(package)
        tiers = list(quality.RULES)
        claimed = tiers[: tiers.index(load_subject(package).manifest.tier) + 1]

        unanswered = [
            f"{tier}.{rule}"
            for tier in claimed
            for rule in quality.RULES[tier]
            if rule not in answers.get(tier, {})
        ]

        assert unanswered == []

    def test_names_only_streams_and_objects_with_a_link(self, package: str) -> None:
        manifest = load_subject(package).manifest

        assert set(manifest.record_urls) <= {stream.name for stream in manifest.streams}


class TestTheScale:
    def test_names_the_first_missing_rule(self) -> None:
        report = quality.grade("tieline.connectors.filedrop")

        assert report.is_good
        assert report.tier == "silver"
        assert report.next_missing is not None
        assert report.next_missing.rule == "writes_made_safe"

    @pytest.mark.parametrize("kind", scaffold.KINDS)
    def test_a_new_connector_is_bronze_and_told_what_comes_next(
        self, kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        scaffold.new_connector(name=f"acme_{kind}", kind=kind, directory=tmp_path)
        monkeypatch.syspath_prepend(tmp_path)
        importlib.invalidate_caches()

        report = quality.grade(f"acme_{kind}")

        problems = [(one.rule, one.problems) for one in report.results if one.problems]
        assert problems == []
        assert report.tier == "bronze"
        assert report.next_missing is not None
        assert report.next_missing.rule == "rate_limit_honored"

    def test_a_broken_promise_is_seen(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        folder = scaffold.new_connector(name="acme_guess", kind="crm", directory=tmp_path)
        translate = folder / "translate.py"
        guessing = translate.read_text().replace('raw["name"]', 'raw.get("name", "Unknown")')
        guessing = guessing.replace('raw["is_active"]', "True")
        translate.write_text(guessing.replace("import Any\n", "import Any\nimport time\n"))
        monkeypatch.syspath_prepend(tmp_path)
        importlib.invalidate_caches()

        report = quality.grade("acme_guess")

        broken = {one.rule for one in report.results if one.problems}
        assert broken == {"pure_translate", "required_by_index"}

    def test_a_message_that_would_be_sent_twice_is_seen(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        subject = load_subject("tieline.connectors.jira_service")
        send = JiraServiceConnector.send

        def hasty(self: JiraServiceConnector, *, notice: Notice) -> NoticeReceipt:
            try:
                return send(self, notice=notice)
            except OutcomeUnknown as error:
                raise NotExecuted(str(error)) from error

        monkeypatch.setattr(JiraServiceConnector, "send", hasty)

        problems = problems_of(rule="lost_answer_leaves_one", subject=subject)

        assert "notice after answer dropped: NotExecuted" in problems

    def test_an_answer_without_a_reason_is_refused(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        folder = scaffold.new_connector(name="acme_mute", kind="time", directory=tmp_path)
        (folder / "quality.toml").write_text('[bronze]\nfolder_shape = { exempt = "" }\n')
        monkeypatch.syspath_prepend(tmp_path)
        importlib.invalidate_caches()

        with pytest.raises(ValueError, match="folder_shape"):
            quality.read_answers("acme_mute")

        sys.modules.pop("acme_mute", None)

    def test_a_name_that_is_no_name_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(UserMistake, match="not a name"):
            scaffold.new_connector(name="Not A Name", kind="crm", directory=tmp_path)
