"""The quality scale: what a connector says of every rule, what the promises show, what is next."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from importlib import resources
from typing import Any

from tieline.sdk.promises import load_subject, problems_of

RULES: Mapping[str, tuple[str, ...]] = {
    "bronze": (
        "folder_shape",
        "check_before_saving",
        "stream_fixtures",
        "pure_translate",
        "required_by_index",
        "permissions_listed",
    ),
    "silver": (
        "rate_limit_honored",
        "credentials_refused_once",
        "logs_once",
        "unknown_words_become_cases",
        "resumes_from_cursor",
        "secrets_stay_out",
    ),
    "gold": (
        "writes_made_safe",
        "lost_answer_leaves_one",
        "reconciliation_query",
        "compensation_for_writes",
        "deletes_and_reapprovals",
        "sandbox_recipe",
    ),
    "platinum": (
        "contract_test_scheduled",
        "cursor_order_asserted",
        "bulk_measured",
        "strict_raw_types",
        "documented",
    ),
}


class Standing(StrEnum):
    """How a rule stands: kept, excused with a reason, said but not so, or not answered."""

    DONE = "done"
    EXEMPT = "exempt"
    BROKEN = "broken"
    OPEN = "open"


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleResult:
    """One rule of one connector; ``problems`` are sentences, ``reason`` that of an exemption."""

    tier: str
    rule: str
    standing: Standing
    problems: tuple[str, ...] = ()
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class QualityReport:
    """A connector on the scale."""

    system: str
    claimed_tier: str
    results: tuple[RuleResult, ...]

    @property
    def tier(self) -> str:
        """Return the highest tier all of whose rules, and of those below, are kept; '' for none."""
        reached = ""
        for tier in RULES:
            if any(not _is_kept(one) for one in self.results if one.tier == tier):
                return reached
            reached = tier
        return reached

    @property
    def next_missing(self) -> RuleResult | None:
        """Return the first rule that is not kept, in the order of the scale."""
        return next((one for one in self.results if not _is_kept(one)), None)

    @property
    def is_good(self) -> bool:
        """Tell whether every rule up to the claimed tier is kept."""
        tiers = list(RULES)
        claimed = tiers[: tiers.index(self.claimed_tier) + 1]
        return all(_is_kept(one) for one in self.results if one.tier in claimed)


def grade(package: str) -> QualityReport:
    """Run the promises on a connector's package and compare with what its quality.toml says.

    :raises ImportError: the package cannot be imported.
    :raises ValueError: its quality.toml cannot be read.
    """
    subject = load_subject(package)
    answers = read_answers(package)
    results = tuple(
        _result(tier, rule, answers.get(tier, {}).get(rule), subject)
        for tier, rules in RULES.items()
        for rule in rules
    )
    return QualityReport(
        system=subject.manifest.system, claimed_tier=subject.manifest.tier, results=results
    )


def read_answers(package: str) -> Mapping[str, Mapping[str, Any]]:
    """Read what a connector says of each rule.

    :raises ValueError: a tier or rule is unknown, or an exemption has no reason.
    """
    text = resources.files(package).joinpath("quality.toml").read_text(encoding="utf-8")
    answers = {name: table for name, table in tomllib.loads(text).items() if name != "tier"}
    for tier, table in answers.items():
        for rule, answer in table.items():
            if rule not in RULES.get(tier, ()):
                raise ValueError(f"{package}: quality.toml has {tier}.{rule}, which is no rule")
            is_exempt = isinstance(answer, dict) and bool(answer.get("exempt"))
            if answer != "done" and not is_exempt:
                raise ValueError(
                    f'{package}: {tier}.{rule} is neither "done" nor {{ exempt = "reason" }}'
                )
    return answers


def _result(tier: str, rule: str, answer: Any, subject: Any) -> RuleResult:
    if answer is None:
        return RuleResult(tier=tier, rule=rule, standing=Standing.OPEN)
    if isinstance(answer, dict):
        return RuleResult(
            tier=tier, rule=rule, standing=Standing.EXEMPT, reason=str(answer["exempt"])
        )
    problems = tuple(problems_of(rule=rule, subject=subject))
    standing = Standing.BROKEN if problems else Standing.DONE
    return RuleResult(tier=tier, rule=rule, standing=standing, problems=problems)


def _is_kept(result: RuleResult) -> bool:
    return result.standing in (Standing.DONE, Standing.EXEMPT)
