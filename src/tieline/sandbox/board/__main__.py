"""Run the board in a process of its own."""

from __future__ import annotations

import argparse
import asyncio
import secrets
from pathlib import Path

from tieline.sandbox.board.deeds import Deeds
from tieline.sandbox.board.doors import Door, ErpDoor
from tieline.sandbox.board.mailbox import Mailbox
from tieline.sandbox.board.pages import Pages
from tieline.sandbox.board.server import Board
from tieline.sandbox.process import SandboxClock, run_until_stopped, secret, write_run_file
from tieline.sandbox.wire import listen, port_of


def main() -> None:
    """Serve until stopped; the run file names the port."""
    parser = argparse.ArgumentParser(prog="python -m tieline.sandbox.board", description=__doc__)
    parser.add_argument("--run-file", required=True, type=Path)
    parser.add_argument("--hubspot", required=True)
    parser.add_argument("--harvest", required=True)
    parser.add_argument("--front", required=True, help="the front before the ERP")
    parser.add_argument("--erp", required=True, help="the ERP itself")
    parser.add_argument("--erp-database", required=True)
    parser.add_argument("--erp-password", help="or TIELINE_SANDBOX_ERP_PASSWORD")
    parser.add_argument("--console", required=True, type=Path, help="the console's run file")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--control-token", help="or TIELINE_SANDBOX_TOKEN")
    given = parser.parse_args()
    token = secret(given.control_token, variable="TIELINE_SANDBOX_TOKEN", option="--control-token")
    password = secret(
        given.erp_password, variable="TIELINE_SANDBOX_ERP_PASSWORD", option="--erp-password"
    )
    clock = SandboxClock()
    board = Board(
        deeds=Deeds(
            hubspot=Door(name="the CRM", url=given.hubspot, token=token),
            harvest=Door(name="the time tool", url=given.harvest, token=token),
            front=Door(name="the way to the ERP", url=given.front, token=token),
            erp=ErpDoor(url=given.erp, database=given.erp_database, password=password),
            now=clock.now,
        ),
        mailbox=Mailbox(now=clock.now),
        clock=clock,
        pages=Pages(form_token=secrets.token_urlsafe(18)),
        control_token=token,
        places={"Console": given.console, "Tryton": given.erp},
    )
    run_until_stopped(
        lambda stopped: _serve(
            board, host=given.host, port=given.port, run_file=given.run_file, stopped=stopped
        )
    )


async def _serve(
    board: Board, *, host: str, port: int, run_file: Path, stopped: asyncio.Event
) -> None:
    server = await listen(board.deliver, host=host, port=port)
    post = await board.mailbox.listen(host=host)
    board.mail_address = f"smtp://{host}:{port_of(post)}"
    write_run_file(run_file, port=port_of(server), host=host)
    await stopped.wait()
    for each in (server, post):
        each.close()


if __name__ == "__main__":
    main()
