"""Everything a face needs, put together by the composition root and handed down."""

from __future__ import annotations

from dataclasses import dataclass, field

from tieline.intake import Reader
from tieline.kernel.clock import Clock
from tieline.posting import Poster
from tieline.runtime.budget import Budgets
from tieline.runtime.database import Database
from tieline.runtime.leases import Fence
from tieline.runtime.secrets import MasterKey
from tieline.sdk.directory import Connectors, Systems
from tieline.services.message_text import Speech
from tieline.services.time_validation import TimeValidation
from tieline.settings import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class System:
    """One running installation as its own processes see it."""

    settings: Settings
    clock: Clock
    database: Database
    web_database: Database
    judge_database: Database
    master_key: MasterKey
    pepper: bytes = field(repr=False)
    connectors: Connectors
    systems: Systems
    budgets: Budgets
    fence: Fence
    executor_id: str
    reader: Reader
    poster: Poster
    time_validation: TimeValidation
    speech: Speech
