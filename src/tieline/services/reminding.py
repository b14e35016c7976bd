"""The desk at which reminders are written, for whoever asks for them from a page, a call or a shell."""

from __future__ import annotations

from psycopg import Connection

from tieline.notices import read_directory
from tieline.runtime.database import Row
from tieline.services.message_desk import Desk
from tieline.services.messaging import LINK_PURPOSE
from tieline.services.system import System


def reminding_desk(connection: Connection[Row], *, system: System) -> Desk:
    """Return a desk of this installation, with its channels as they are now; as the worker."""
    return Desk(
        speech=system.speech,
        directory=read_directory(connection),
        now=system.clock.now(),
        link_key=system.master_key.derive(purpose=LINK_PURPOSE),
        pepper=system.pepper,
    )
