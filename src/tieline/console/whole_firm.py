"""What belongs to no single legal entity is shown to who sees the whole firm."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from psycopg import Connection

from tieline.console.problems import not_found
from tieline.console.rendering import Renderer
from tieline.console.sessions import Visitor
from tieline.services.system import System
from tieline.services.what_if_runs import sees_all

Row = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class WholeFirm:
    """Let in who sees every legal entity; ``what`` holds for all of them."""

    system: System
    renderer: Renderer
    what: str

    @contextmanager
    def open(self, visitor: Visitor) -> Iterator[Connection[Row]]:
        """Read and write as a worker does.

        :raises PageProblem: the visitor sees some legal entities only.
        """
        with self.system.database.transaction() as connection:
            if not sees_all(connection, visitor.entities):
                raise not_found(f"{self.what} hold for every legal entity; you see some.")
            yield connection
