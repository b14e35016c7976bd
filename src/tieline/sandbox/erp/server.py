"""The trytond process: started on a port the system chose, found again by pid and start time."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import httpx

from tieline.sandbox.erp.cluster import Cluster
from tieline.sandbox.process import pid_started

_START_SECONDS_MAX = 60
_STOP_SECONDS_MAX = 10
_POLL_SECONDS = 0.05
_CONNECTIONS_MAX = 16
_BACKLOG = 128

# Children of this process, kept so that they can be reaped when they end.
_children: dict[int, subprocess.Popen[bytes]] = {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """Describe a running trytond, as its run file does."""

    pid: int
    pid_started: int
    port: int
    url: str
    database: str


def start_server(
    *,
    environment: Path,
    cluster: Cluster,
    database: str,
    directory: Path,
    run_file: Path,
    port: int = 0,
    web_root: Path | None = None,
) -> Server:
    """Start trytond for one database; a server this run file still names is stopped first.

    Files under ``web_root`` are served to browsers. Port 0 lets the system choose. The listening socket is opened here and handed over, so no
    other process can take the port in between.
    """
    stop_server(run_file=run_file)
    directory.mkdir(parents=True, exist_ok=True)
    configuration = write_configuration(
        cluster=cluster, path=directory / "trytond.conf", web_root=web_root
    )
    with socket.socket() as listening:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(("127.0.0.1", port))
        listening.listen(_BACKLOG)
        listening.set_inheritable(True)
        chosen = int(listening.getsockname()[1])
        with (directory / "trytond.log").open("ab") as log:
            process = subprocess.Popen(
                [
                    str(environment / "bin" / "python"),
                    str(environment / "bin" / "trytond"),
                    "-c",
                    str(configuration),
                    "-d",
                    database,
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=[listening.fileno()],
                # werkzeug takes over a socket that its reloader would have opened.
                env={
                    **os.environ,
                    "WERKZEUG_RUN_MAIN": "true",
                    "WERKZEUG_SERVER_FD": str(listening.fileno()),
                },
                start_new_session=True,
            )
    _children[process.pid] = process
    server = Server(
        pid=process.pid,
        pid_started=pid_started(process.pid),
        port=chosen,
        url=f"http://127.0.0.1:{chosen}",
        database=database,
    )
    _publish(server, run_file=run_file)
    _await_answer(process=process, server=server, log=directory / "trytond.log")
    return server


def find_server(*, run_file: Path) -> Server | None:
    """Return the server the run file names when that very process still lives."""
    if not run_file.exists():
        return None
    server = Server(**json.loads(run_file.read_text(encoding="utf-8")))
    return server if _is_alive(server) else None


def stop_server(*, run_file: Path) -> None:
    """End the server the run file names, politely and then not; forget the file."""
    server = find_server(run_file=run_file)
    if server is not None:
        _end(server)
    for pid in list(_children):
        _reap(pid)
    run_file.unlink(missing_ok=True)


def write_configuration(*, cluster: Cluster, path: Path, web_root: Path | None = None) -> Path:
    """Write trytond's configuration, readable by its owner alone for it holds a password."""
    # Left unsaid, trytond serves a folder of the user's home.
    root = "" if web_root is None else str(web_root)
    text = (
        f"[database]\nuri = {cluster.uri()}\n"
        f"timeout = 3600\nmaxconn = {_CONNECTIONS_MAX}\nlist = False\n"
        "[session]\ntimeout = 86400\nfresh_timeout = 86400\n"
        "[password]\nlength = 8\n"
        f"[web]\nroot = {root}\n"
    )
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
    return path


def _publish(server: Server, *, run_file: Path) -> None:
    run_file.parent.mkdir(parents=True, exist_ok=True)
    draft = run_file.with_name(f"{run_file.name}.{os.getpid()}.tmp")
    draft.write_text(json.dumps(asdict(server)), encoding="utf-8")
    draft.replace(run_file)


def _await_answer(*, process: subprocess.Popen[bytes], server: Server, log: Path) -> None:
    deadline = time.monotonic() + _START_SECONDS_MAX
    question = {"id": 0, "method": "common.server.version", "params": []}
    with httpx.Client(timeout=2, trust_env=False) as http:
        while time.monotonic() < deadline:
            if process.poll() is not None:
                raise RuntimeError(f"trytond ended with {process.returncode}; see {log}")
            try:
                if http.post(f"{server.url}/rpc/", json=question).status_code == httpx.codes.OK:
                    return
            except httpx.TransportError:
                pass  # still loading; the process is watched above
            time.sleep(_POLL_SECONDS)
    raise RuntimeError(f"trytond did not answer within {_START_SECONDS_MAX} s; see {log}")


def _is_alive(server: Server) -> bool:
    try:
        return pid_started(server.pid) == server.pid_started and not _is_zombie(server.pid)
    except FileNotFoundError:
        return False


def _is_zombie(pid: int) -> bool:
    # Its threads may still hold the port after the first one has ended.
    stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
    is_ended = stat.rpartition(")")[2].split()[0] == "Z"
    return is_ended and len(list(Path(f"/proc/{pid}/task").iterdir())) == 1


def _end(server: Server) -> None:
    os.kill(server.pid, signal.SIGCONT)
    os.kill(server.pid, signal.SIGTERM)
    deadline = time.monotonic() + _STOP_SECONDS_MAX
    while _is_alive(server):
        if time.monotonic() > deadline:
            os.kill(server.pid, signal.SIGKILL)
        _reap(server.pid)
        time.sleep(_POLL_SECONDS)
    _reap(server.pid)


def _reap(pid: int) -> None:
    # A server that another process started is reaped by that one.
    child = _children.get(pid)
    if child is not None and child.poll() is not None:
        del _children[pid]
