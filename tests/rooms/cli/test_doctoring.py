"""`tieline doctor`: green on what is well, red with what to do on each thing that is broken on purpose."""

from __future__ import annotations

import os
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from tests.support.certificate import write_certificate

from tieline.kernel.errors import UserMistake
from tieline.runtime.migrate import Dsns
from tieline.services import doctor
from tieline.services.fitness import refuse_unfit, unfit_for_production
from tieline.settings import Environment, read_settings

from .conftest import Run

_ALIVE = """
    INSERT INTO executor (executor_id, host, pid, pid_started, version, lease_until)
    SELECT 'here', 'here', 1, 1, %s, clock_timestamp() + interval '1 hour'
"""


def _states(run: Run) -> tuple[int, dict[str, str]]:
    ran = run("doctor", "--no-calls", "--json")
    return ran.code, {each["name"]: each["state"] for each in ran.json["findings"]}


def test_each_thing_that_is_broken_turns_red(
    run: Run, database: Dsns, monkeypatch: pytest.MonkeyPatch
) -> None:
    code, states = _states(run)
    assert (code, [name for name in states if states[name] == "red"]) == (1, ["workers"])

    version = run("--version").out.split()[-1]
    with psycopg.connect(database.owner, autocommit=True) as owner:
        owner.execute(_ALIVE, (version,))
        code, states = _states(run)
        assert (code, set(states.values()) <= {"green", "yellow"}) == (0, True)

        owner.execute("ALTER TABLE case_file NO FORCE ROW LEVEL SECURITY")
        owner.execute("UPDATE schema_version SET version_num = '0001_runtime'")
        owner.execute(
            "INSERT INTO connection (connection_key, system, kind, config)"
            " VALUES ('live', 'harvest', 'time', '{\"base_url\": \"https://erp.example.com\"}')"
        )
        owner.execute(
            "INSERT INTO secret VALUES ('live', 'access_token', 'old', 'sealed elsewhere')"
        )
    (Path(os.environ["TIELINE_HOME"]) / "audit.anchor").write_text(f"9:{'0' * 64}\n", "utf-8")
    monkeypatch.setenv("TIELINE_PRODUCTION_HOSTS", "erp.example.com")

    code, states = _states(run)

    red = {name for name, state in states.items() if state == "red"}
    assert (code, red) == (
        1,
        {"row security", "migrations", "secrets", "audit", "connection live"},
    )

    monkeypatch.setenv("TIELINE_ENVIRONMENT", "production")
    code, states = _states(run)
    assert (code, states) == (1, {"environment": "red"})
    assert "no production" in run("people", "list").err


def test_a_database_that_cannot_be_opened_is_a_finding(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(settings: Any) -> Dsns:
        raise psycopg.OperationalError("connection refused\nsecond line")

    monkeypatch.setattr("tieline.app._dsns", away)

    code, states = _states(run)

    assert (code, states) == (1, {"environment": "green", "database": "red"})


class TestACertificate:
    @pytest.mark.parametrize(
        ("host", "ends_at", "is_trusted", "state", "means", "do"),
        [
            ("localhost", datetime(2099, 1, 1, tzinfo=UTC), True, "green", "ends 2099", ""),
            ("localhost", datetime(2021, 1, 1, tzinfo=UTC), True, "red", "has expired", "renewed"),
            ("elsewhere", datetime(2099, 1, 1, tzinfo=UTC), True, "red", "mismatch", "by a name"),
            ("localhost", datetime(2099, 1, 1, tzinfo=UTC), False, "red", "self-signed", "authority"),
        ],
    )  # fmt: skip
    def test_is_said_to_be_what_it_is(
        self,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        host: str,
        ends_at: datetime,
        is_trusted: bool,
        state: str,
        means: str,
        do: str,
    ) -> None:
        pem = write_certificate(tmp_path, host=host, ends_at=ends_at)
        trusting = ssl.create_default_context(cafile=str(pem) if is_trusted else None)
        monkeypatch.setattr(doctor, "trusted_authorities", lambda: trusting)

        with served(pem) as port:
            found = doctor.examine_certificate("localhost", port)

        assert found.state == state
        assert means in found.means
        assert do in found.do

    def test_that_ends_soon_is_told_before(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        soon = datetime.fromtimestamp(int(time.time()), tz=UTC) + timedelta(days=20)
        pem = write_certificate(tmp_path, ends_at=soon)
        trusting = ssl.create_default_context(cafile=str(pem))
        monkeypatch.setattr(doctor, "trusted_authorities", lambda: trusting)

        with served(pem) as port:
            found = doctor.examine_certificate("localhost", port)

        assert (found.state, found.do) == ("yellow", "Have it renewed.")


@contextmanager
def served(pem: Path) -> Iterator[int]:
    """Greet one caller with a certificate."""
    serving = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    serving.load_cert_chain(pem)
    with socket.create_server(("localhost", 0)) as listener:

        def serve() -> None:
            peer, _ = listener.accept()
            # Who does not trust us says so and goes.
            with suppress(OSError), serving.wrap_socket(peer, server_side=True) as secured:
                secured.recv(1)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield listener.getsockname()[1]
        thread.join(timeout=5)


@pytest.mark.parametrize(("seconds", "state"), [(0, "green"), (60, "red"), (-60, "red")])
def test_clocks_that_are_apart_turn_red(seconds: int, state: str) -> None:
    database_at = datetime.fromtimestamp(int(time.time()) + seconds, tz=UTC)

    assert doctor.examine_clock(database_at).state == state


class TestProduction:
    @pytest.mark.parametrize(
        ("variables", "named"),
        [
            ({}, "embedded"),
            ({"TIELINE_DSN": "postgresql://t:postgres@db/tieline"}, "default"),
            ({"TIELINE_DSN": "postgresql://setup_9:setup_9@db/tieline"}, "default"),
            ({"TIELINE_LOG_LEVEL": "debug"}, "debug"),
            ({"TIELINE_BUSINESS_NOW": "2026-11-03T09:00:00Z"}, "real time"),
            ({"TIELINE_WEB_URL": "http://tieline.example.com"}, "https"),
            ({"TIELINE_FAILPOINT": "intake.after_raw"}, "ends processes"),
        ],
    )
    def test_refuses(self, variables: dict[str, str], named: str) -> None:
        variables = {"TIELINE_DSN": "postgresql://t:k9xq2@db/tieline", **variables}
        if named == "embedded":
            variables = {}
        settings = read_settings(environment={**variables, "TIELINE_ENVIRONMENT": "production"})

        found = unfit_for_production(settings, variables=variables)

        assert [named in each for each in found] == [True]
        with pytest.raises(UserMistake, match="no production"):
            refuse_unfit(settings, variables=variables)

    def test_is_refused_nothing_when_it_is_fit(self) -> None:
        settings = read_settings(
            environment={
                "TIELINE_ENVIRONMENT": "production",
                "TIELINE_DSN": "postgresql://t:k9xq2@db/tieline",
                "TIELINE_WEB_URL": "https://tieline.example.com",
            }
        )

        refuse_unfit(settings, variables={})

    @pytest.mark.parametrize(
        ("name", "address", "is_refused"),
        [
            ("production", "http://erp.example.com", True),
            ("production", "https://erp.example.com", False),
            ("test", "https://ERP.example.com:8443/api", True),
            ("test", "https://erp-test.example.com", False),
            ("trial", "https://files.example.com", True),
        ],
    )
    def test_and_others_call_only_what_is_theirs(
        self, name: str, address: str, is_refused: bool
    ) -> None:
        environment = Environment(
            name=name, production_hosts=frozenset({"erp.example.com", "files.example.com"})
        )

        because = environment.why_no_call(address=address, hosts=())

        assert (because is not None) == is_refused
        if name == "test":
            assert environment.why_no_call(address="", hosts=["files.example.com:443"])
