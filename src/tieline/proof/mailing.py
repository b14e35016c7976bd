"""The firm's mail: a channel to the board's mailbox, and who is reached over it."""

from __future__ import annotations

import socket
from dataclasses import replace

from tieline.notices import ALL_STAFF, Reached, queue_owner, set_reach
from tieline.proof.town import Town
from tieline.sandbox.firm_people import DOMAIN
from tieline.services.installation import ConnectionSetup, connect
from tieline.services.system import System
from tieline.settings import Settings

_CHANNEL = "mail"

_QUEUES = (
    "client_steward",
    "delivery",
    "finance",
    "integration",
    "resource_management",
    "sales",
    "sales_operations",
)


def connect_mail(system: System, *, town: Town) -> None:
    """Let messages reach every queue, and everybody of the staffing file, by mail."""
    now = system.clock.now()
    setup = ConnectionSetup(
        connection_key=_CHANNEL,
        system="mail",
        kind="channel",
        mode="act",
        config={
            "base_url": town.board.ask("mail")["address"],
            "from": f"tieline@{DOMAIN}",
            "timeout_seconds": 3,
        },
        secrets={},
        settle_seconds=0,
        go_live={},
    )
    addresses = {queue_owner(queue): f"{queue}@{DOMAIN}" for queue in _QUEUES}
    with system.database.transaction() as connection:
        connect(connection, key=system.master_key, setup=setup, now=now)
        for recipient, address in {**addresses, ALL_STAFF: ""}.items():
            reached = Reached(
                recipient=recipient, connection_key=_CHANNEL, urgent_only=False, address=address
            )
            set_reach(connection, reached=reached, by="setup", now=now)


def with_an_address(settings: Settings) -> Settings:
    """Choose where the console will listen before it does: links in mails begin with it."""
    host, port = settings.listen
    if port == 0:
        with socket.socket() as probe:
            probe.bind((host, 0))
            port = int(probe.getsockname()[1])
    return replace(
        settings, listen=(host, port), web_url=settings.web_url or f"http://{host}:{port}"
    )
