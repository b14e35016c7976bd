"""An executor: one worker process, known by a heartbeat lease, its process id and start time."""

from __future__ import annotations

import os
import secrets
import socket
import time
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from tieline import __version__
from tieline.kernel.errors import TryAgain
from tieline.runtime.database import Database
from tieline.runtime.leases import Fence
from tieline.runtime.postgres import process_start_ticks

LEASE_SECONDS = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Executor:
    """Keep this process's right to run work."""

    database: Database
    executor_id: str
    version: str = __version__
    lease_seconds: int = LEASE_SECONDS
    fence: Fence = field(default_factory=Fence)

    def register(self) -> None:
        """Announce this process."""
        asked_at = time.monotonic_ns()
        with self.database.transaction() as connection:
            connection.execute(
                """
                INSERT INTO executor (executor_id, host, pid, pid_started, version, lease_until)
                VALUES (%s, %s, %s, %s, %s, clock_timestamp() + make_interval(secs => %s))
                """,
                (self.executor_id, host_name(), os.getpid(), process_start_ticks(os.getpid()),
                 self.version, self.lease_seconds),
            )  # fmt: skip
        self.fence.extend(asked_at=asked_at, ttl_seconds=self.lease_seconds)

    def beat(self) -> None:
        """Prolong the lease.

        :raises TryAgain: this process was declared lost; it must end and be started anew.
        """
        asked_at = time.monotonic_ns()
        with self.database.transaction() as connection:
            prolonged = connection.execute(
                """
                UPDATE executor SET heartbeat_at = clock_timestamp(),
                    lease_until = clock_timestamp() + make_interval(secs => %s)
                WHERE executor_id = %s AND state = 'alive'
                """,
                (self.lease_seconds, self.executor_id),
            ).rowcount
        if not prolonged:
            self.fence.close()
            raise TryAgain(f"executor {self.executor_id} was declared lost and must start anew")
        self.fence.extend(asked_at=asked_at, ttl_seconds=self.lease_seconds)

    def leave(self) -> None:
        """Say goodbye: what it still held is put back by the others."""
        self.fence.close()
        with self.database.transaction() as connection:
            connection.execute(
                "UPDATE executor SET state = 'stopped' WHERE executor_id = %s AND state = 'alive'",
                (self.executor_id,),
            )


def new_executor_id() -> str:
    """Return an id that no other process, past or future, has."""
    return f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}"


@cache
def host_name() -> str:
    """Name the place where a process id means the same process: host, boot and pid namespace."""
    boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    namespace = os.readlink("/proc/self/ns/pid")
    return f"{socket.gethostname()}/{boot}/{namespace}"
