"""What every command is given: the way to open the installation, and how to begin work."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import click

from tieline.services.system import System
from tieline.settings import Settings, read_settings

OpenSystem = Callable[[Settings], System]
RunWorker = Callable[[Settings], int]
GOAL_MISSED = 1
CANNOT = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Tools:
    """The concrete things that app.py chose."""

    open_system: OpenSystem
    run_worker: RunWorker

    def system(self) -> System:
        """Open the installation that the settings name.

        :raises UserMistake: the settings cannot be understood.
        """
        return self.open_system(read_settings())


pass_tools = click.make_pass_decorator(Tools)
json_option = click.option(
    "--json", "as_json", is_flag=True, help="One JSON object on standard output."
)
