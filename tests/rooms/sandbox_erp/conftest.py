"""A real Tryton for the session: its environment and template are prepared once per machine."""

from __future__ import annotations

import itertools
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID, uuid5

import pytest
from tests.conftest import memory_folder

from tieline.connectors.tryton import TrytonConnector, build
from tieline.runtime.postgres import EmbeddedCluster
from tieline.sandbox.erp import Cluster, RunningErp, Truth, bring_up, read_truth, stop_server
from tieline.sdk import Connection
from tieline.settings import read_settings

LOCK = Path(__file__).parents[3] / "requirements" / "tryton.txt"
DATABASE = "erp"
FIRM: dict[str, Any] = {
    "companies": [
        {
            "code": "HR-DE",
            "name": "Halden Roe GmbH",
            "currency": "EUR",
            "timezone": "Europe/Berlin",
            "country": "DE",
            "city": "München",
            "fiscal_year_start": "01-01",
            "opens_on": "2026-08-01",
            "closes_on": "2027-01-01",
            "tax_rate": "0.19",
        },
        {
            "code": "HR-UK",
            "name": "Halden Roe Ltd",
            "currency": "GBP",
            "timezone": "Europe/London",
            "country": "GB",
            "fiscal_year_start": "04-01",
            "opens_on": "2026-08-01",
            "closes_on": "2027-01-01",
        },
    ],
    "clients": [
        {
            "code": "C-1001",
            "name": "Brandt Maschinenbau AG",
            "country": "DE",
            "vat": "DE136695976",
            "street": "Werkstraße 4",
            "city": "Ulm",
            "postal_code": "89073",
        }
    ],
    "employees": [
        {
            "code": f"E-{number}",
            "name": f"Person {number}",
            "email": f"person.{number}@haldenroe.example",
            "company_code": company,
            "starts_on": "2020-01-01",
            "ends_on": ends_on,
            "cost_rates": [
                {"from_on": "2020-01-01", "amount": "61.50"},
                {"from_on": "2026-10-01", "amount": "64.00"},
            ],
        }
        for number, company, ends_on in (
            (1, "HR-DE", None),
            (2, "HR-DE", "2026-10-16"),
            (3, "HR-UK", None),
        )
    ],
    "labor_categories": [{"code": "CON", "name": "Consultant"}],
}
_names = itertools.count(1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Erp:
    """The running ERP, and a connector that talks to it."""

    running: RunningErp
    connector: TrytonConnector

    def truth(self) -> Truth:
        return read_truth(cluster=self.running.cluster, database=DATABASE)

    def employee(self, code: str) -> str:
        assert self.running.template.firm is not None
        return str(self.running.template.firm.employees[code])

    def client(self, code: str) -> str:
        assert self.running.template.firm is not None
        return str(self.running.template.firm.clients[code])


@pytest.fixture(scope="session")
def running_erp() -> Iterator[RunningErp]:
    home = Path(tempfile.mkdtemp(prefix="tieline-erp-", dir=memory_folder()))
    home.chmod(0o755)
    cluster = EmbeddedCluster(home / "pg")
    cluster.ensure_running()
    run_file = home / "run" / "tryton.json"
    yield bring_up(
        cluster=Cluster.from_dsn(
            superuser_dsn=cluster.superuser_dsn, bin_directory=cluster.bin_directory
        ),
        cache=read_settings().cache,
        lock=LOCK,
        directory=home / "tryton",
        run_file=run_file,
        database=DATABASE,
        firm=FIRM,
        is_fresh=True,
        progress=print,
    )
    stop_server(run_file=run_file)
    cluster.stop()
    shutil.rmtree(home, ignore_errors=True)


@pytest.fixture
def erp(running_erp: RunningErp) -> Erp:
    return Erp(running=running_erp, connector=build(connection_to(running_erp)))


def connection_to(running: RunningErp, *, base_url: str | None = None) -> Connection:
    firm = running.template.firm
    assert firm is not None
    url = base_url or running.server.url
    return Connection(
        connection_key="erp",
        base_url=url,
        config={
            "database": DATABASE,
            "companies": {code: {"login": login} for code, login in firm.logins.items()},
        },
        secrets={f"password.{code}": word for code, word in firm.passwords.items()},
        allowed_hosts=frozenset({urlsplit(url).netloc}),
        timeout_seconds=5,
    )


def new_key() -> UUID:
    return uuid5(UUID(int=0), f"test {next(_names)}")
