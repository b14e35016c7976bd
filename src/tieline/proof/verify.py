"""Compare the ERP's own table with the journal of the time tool: the final truth of every hour."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date

from tieline.sandbox.erp import Truth

# (legal entity, person's e-mail, work date, project code, task name)
HourKey = tuple[str, str, date, str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class HourComparison:
    """Lines the ERP holds too often or should hold and does not; examples name the first few."""

    duplicate_lines: int
    missing_lines: int
    examples: tuple[str, ...]


def compare_hours(*, truth: Truth, expected: Mapping[HourKey, Iterable[int]]) -> HourComparison:
    """Compare multisets of seconds per entity, person, date, project and task.

    A second line under another key counts as a duplicate, and so does a line on a wrong employee,
    whose right place then counts as missing.
    """
    stands: dict[HourKey, Counter[int]] = {}
    for line in truth.lines:
        key = (
            line.company_code,
            (line.employee_email or "").lower(),
            line.work_date,
            line.project_number or "",
            line.task_name or "",
        )
        stands.setdefault(key, Counter())[line.seconds] += 1
    wanted = {key: Counter(seconds) for key, seconds in expected.items()}
    duplicates: list[str] = []
    missing: list[str] = []
    for key in sorted(set(stands) | set(wanted), key=str):
        have, want = stands.get(key, Counter()), wanted.get(key, Counter())
        duplicates += [f"too many: {key} {seconds} s" for seconds in (have - want).elements()]
        missing += [f"missing: {key} {seconds} s" for seconds in (want - have).elements()]
    return HourComparison(
        duplicate_lines=len(duplicates),
        missing_lines=len(missing),
        examples=(*duplicates[:10], *missing[:10]),
    )
