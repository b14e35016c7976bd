"""`tieline demo`: run the story, write the figures, say whether the promises held."""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any

from tieline.kernel.errors import UserMistake
from tieline.proof import processes
from tieline.proof.demo import Demo, OpenSystem, demo_environment, write_report
from tieline.sandbox.firm import Firm
from tieline.settings import Settings

_MUST_BE_ZERO = (
    "orphan_projects",
    "conservation_gap_seconds",
    "erp_duplicate_lines",
    "erp_missing_lines",
    "reversals_without_cause",
    "cases_without_mistake",
    "invoice_total_mismatch",
)
_POSTED_MIN = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoOptions:
    """What the command line asked for."""

    is_once: bool
    json_file: Path | None
    seed: int
    today: date
    input_directory: Path | None
    mapping: Path | None


def run_demo(*, options: DemoOptions, settings: Settings, open_system: OpenSystem) -> int:
    """Run the demo; 0 only when every promise held."""
    firm = Firm.generate(options.seed, options.today)
    settings = replace(settings, business_now=firm.now)
    settings.prepare_folders()
    # Every run begins in the same business instant, also in a home that has seen one.
    (settings.run_directory / "clock.json").unlink(missing_ok=True)
    with demo_environment(settings, firm):
        demo = Demo(
            settings=settings,
            firm=firm,
            lock=find_lock(),
            open_system=open_system,
            progress=tell,
        )
        try:
            *_, figures = demo.run()
        finally:
            demo.stop_workers()
            if options.is_once:
                processes.clear(settings.run_directory)
        if options.json_file is not None:
            write_report(figures, options.json_file)
        return _verdict(figures)


def tell(sentence: str) -> None:
    """Say how far it is, on standard error."""
    print(sentence, file=sys.stderr, flush=True)


def find_lock() -> Path:
    """Return the lock of the ERP's environment.

    :raises UserMistake: this is an installed wheel without the demo's files.
    """
    lock = Path(__file__).parents[3] / "requirements" / "tryton.txt"
    if not lock.exists():
        raise UserMistake(f"{lock} is missing: the demo runs from a checkout")
    return lock


def _verdict(figures: dict[str, Any]) -> int:
    broken = [name for name in _MUST_BE_ZERO if figures.get(name) != 0]
    if figures["time_entries"]["posted"] < _POSTED_MIN:
        broken.append("time_entries.posted")
    for name in broken:
        tell(f"not as promised: {name} = {figures.get(name, 'not measured')}")
    return 1 if broken else 0
