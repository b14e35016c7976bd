"""One web process: a port chosen by the system, told in a run file, served until asked to stop."""

from __future__ import annotations

import json
import os
import socket
from pathlib import Path
from typing import Any

import uvicorn

from tieline.kernel.errors import UserMistake
from tieline.runtime.postgres import process_start_ticks

RUN_FILE = "console.json"
_BACKLOG = 128
_STOP_SECONDS = 5


def serve(
    application: Any,
    *,
    run_directory: Path,
    notice: str = "",
    host: str = "127.0.0.1",
    port: int = 0,
) -> int:
    """Serve until told to stop; the run file says where, and goes when the process goes.

    ``notice`` is what whoever started it should read, such as why the pages look plain.

    :raises UserMistake: the address is taken, or is none of this machine.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host, port))
        except OSError as error:
            raise UserMistake(f"nobody can listen at {host}:{port}: {error.strerror}") from error
        listener.listen(_BACKLOG)
        chosen = listener.getsockname()[1]
        run_file = _publish(run_directory, host=host, port=chosen, notice=notice)
        server = uvicorn.Server(
            uvicorn.Config(
                application,
                log_level="warning",
                server_header=False,
                proxy_headers=False,
                timeout_graceful_shutdown=_STOP_SECONDS,
            )
        )
        try:
            server.run(sockets=[listener])
        finally:
            run_file.unlink(missing_ok=True)
    return 0


def _publish(directory: Path, *, host: str, port: int, notice: str) -> Path:
    content = {
        "pid": os.getpid(),
        "pid_started": process_start_ticks(os.getpid()),
        "port": port,
        "url": f"http://{host}:{port}",
        "notice": notice,
    }
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / RUN_FILE
    draft = path.with_name(f"{RUN_FILE}.{os.getpid()}.tmp")
    draft.write_text(json.dumps(content), encoding="utf-8")
    draft.replace(path)
    return path
