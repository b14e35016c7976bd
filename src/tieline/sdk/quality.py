"""The quality scale: what a connector says of every rule, what the promises show, what is next."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from importlib import resources
from typing import Any

from tieline.kernel.errors import UserMistake
from tieline.sdk.promises import CHECKS, Subject, load_subject, problems_of

# Each tier with its rules, each rule with what a connector that keeps it does.
RULES: Mapping[str, Mapping[str, str]] = {
    "bronze": {
        "folder_shape": "the folder holds every file of a connector, and its manifest names owners",
        "check_before_saving": "check() says no when the vendor refuses the credentials",
        "stream_fixtures": "every stream has a recorded, scrubbed fixture that is understood",
        "pure_translate": "translate.py has no clock, no calls, no floats, and repeats itself",
        "required_by_index": "a record without a required field fails by itself and raises nothing",
        "permissions_listed": "the manifest lists the least rights that are enough",
    },
    "silver": {
        "rate_limit_honored": "the manifest declares a limit, and Retry-After is carried on",
        "credentials_refused_once": "refused credentials ask for a person after a single call",
        "logs_once": "a vendor that is down is logged once, and once more when it is back",
        "unknown_words_become_cases": "a fixture <stream>.unknown_<what>.json is not guessed at",
        "resumes_from_cursor": "a read that breaks never moves the cursor past what was not read",
        "secrets_stay_out": "no secret stands in an error or a repr",
    },
    "gold": {
        "writes_made_safe": "what was surely not done is told apart from what was refused",
        "lost_answer_leaves_one": "a lost answer leaves the outcome unknown and is never sent again",
        "reconciliation_query": "the system can be asked for its own figures of a period",
        "compensation_for_writes": "every write can be taken back",
        "deletes_and_reapprovals": "deleted and approved-again records are told",
        "sandbox_recipe": "README.md says under Sandbox how to get an account to try it on",
    },
    "platinum": {
        "contract_test_scheduled": "a contract test runs on a schedule against a sandbox",
        "cursor_order_asserted": "the order in which the vendor sorts is asserted while reading",
        "bulk_measured": "the bulk path is measured at 100,000 records",
        "strict_raw_types": "raw records have types of their own",
        "documented": "limits, permissions, known gaps and removal are documented",
    },
}


class Standing(StrEnum):
    """How a rule stands: kept, excused with a reason, said but not so, or not answered."""

    DONE = "done"
    EXEMPT = "exempt"
    BROKEN = "broken"
    OPEN = "open"


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleResult:
    """One rule of one connector; ``problems`` are sentences, ``reason`` that of an exemption.

    ``is_tested`` is False where the connector's word has to do.
    """

    tier: str
    rule: str
    meaning: str
    standing: Standing
    is_tested: bool = False
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

    :raises UserMistake: its files cannot be read or imported.
    """
    try:
        subject = load_subject(package)
        answers = read_answers(package)
    except Exception as error:
        # Whatever a stranger's module raises while it is imported is theirs to mend.
        raise UserMistake(
            f"{package} cannot be loaded: {type(error).__name__}: {_one_line(error)}"
        ) from error
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


def _result(tier: str, rule: str, answer: Any, subject: Subject) -> RuleResult:
    meaning = RULES[tier][rule]
    if answer is None:
        return RuleResult(tier=tier, rule=rule, meaning=meaning, standing=Standing.OPEN)
    if isinstance(answer, dict):
        return RuleResult(
            tier=tier,
            rule=rule,
            meaning=meaning,
            standing=Standing.EXEMPT,
            reason=str(answer["exempt"]),
        )
    problems = tuple(problems_of(rule=rule, subject=subject))
    return RuleResult(
        tier=tier,
        rule=rule,
        meaning=meaning,
        standing=Standing.BROKEN if problems else Standing.DONE,
        is_tested=rule in CHECKS,
        problems=problems,
    )


def _is_kept(result: RuleResult) -> bool:
    return result.standing in (Standing.DONE, Standing.EXEMPT)


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
