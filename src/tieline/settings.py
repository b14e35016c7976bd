"""What the environment says, read once."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from ipaddress import AddressValueError, IPv4Address
from pathlib import Path
from urllib.parse import urlsplit

from tieline.kernel.errors import UserMistake
from tieline.kernel.failpoints import read_wanted

HOME_VARIABLE = "TIELINE_HOME"
DSN_VARIABLE = "TIELINE_DSN"
CACHE_VARIABLE = "TIELINE_CACHE"
BUSINESS_NOW_VARIABLE = "TIELINE_BUSINESS_NOW"
LOG_LEVEL_VARIABLE = "TIELINE_LOG_LEVEL"
# Read where a person would be asked; never kept with the settings, never taken from a command line.
PASSWORD_VARIABLE = "TIELINE_PASSWORD"  # noqa: S105 - the variable's name
NEW_PASSWORD_VARIABLE = "TIELINE_NEW_PASSWORD"  # noqa: S105 - the variable's name
SECRET_VARIABLE_PREFIX = "TIELINE_SECRET_"  # noqa: S105 - the beginning of a variable's name
RAW_RETENTION_VARIABLE = "TIELINE_RAW_RETENTION_DAYS"
RAW_RETENTION_DAYS = 400
WEB_URL_VARIABLE = "TIELINE_WEB_URL"
LISTEN_VARIABLE = "TIELINE_LISTEN"
DIGEST_HOUR_VARIABLE = "TIELINE_DIGEST_HOUR"
DIGEST_HOUR = 8
EARLY_DAYS_VARIABLE = "TIELINE_EARLY_DAYS"
EARLY_DAYS = "thu"
NEVER = "never"
REPORTING_CURRENCY_VARIABLE = "TIELINE_REPORTING_CURRENCY"
ISSUER_VARIABLE = "TIELINE_OIDC_ISSUER"
CLIENT_ID_VARIABLE = "TIELINE_OIDC_CLIENT_ID"
CLIENT_SECRET_FILE_VARIABLE = "TIELINE_OIDC_SECRET_FILE"  # noqa: S105 - the variable's name
ISSUER_HOSTS_VARIABLE = "TIELINE_OIDC_HOSTS"
ENVIRONMENT_VARIABLE = "TIELINE_ENVIRONMENT"
PRODUCTION_HOSTS_VARIABLE = "TIELINE_PRODUCTION_HOSTS"
TRIAL, TEST, PRODUCTION = "trial", "test", "production"
ENVIRONMENTS = (TRIAL, TEST, PRODUCTION)
LOG_LEVELS = ("debug", "info", "warning", "error")

_PORT_MAX = 65_535
_CURRENCY = re.compile("[A-Z]{3}")
_DIGITS = re.compile("[0-9]{1,5}")
_DAYS_MAX = 36_500
_HOURS_OF_A_DAY = 24
# In the order of date.weekday().
_WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_OPEN_FOLDER = 0o755
_PRIVATE_FOLDER = 0o700


@dataclass(frozen=True, slots=True, kw_only=True)
class Environment:
    """What this installation is for; ``production_hosts`` are those that only production may call."""

    name: str = TRIAL
    production_hosts: frozenset[str] = frozenset()

    @property
    def is_production(self) -> bool:
        """Say whether money moves here."""
        return self.name == PRODUCTION

    def why_no_call(self, *, address: str, hosts: Collection[str]) -> str | None:
        """Say why a connection of this address and these further hosts may not be called from here."""
        if self.is_production:
            return f"production calls nothing over http: {address}" if _is_plain(address) else None
        called = {_host(address), *(host.partition(":")[0].lower() for host in hosts)}
        theirs = sorted(called & self.production_hosts)
        if theirs:
            return (
                f"{', '.join(theirs)} is production's: a {self.name} environment does not call it"
            )
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Provider:
    """Who else knows our people: a provider of OpenID Connect, and how we are called there.

    ``hosts`` are those it answers on beside its own; without a secret file we are a public client.
    """

    issuer: str
    client_id: str
    secret_file: Path | None
    hosts: frozenset[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Where one installation lives and how it runs.

    ``dsn`` names a production database; without it the embedded one is used. ``business_now``
    anchors the business clock of a rehearsal; without it business time is real time. ``web_url`` is
    where people reach the console, empty when links in messages would lead nowhere. ``listen`` is
    the host and port where pages and API answer; with port 0 the system chooses one. ``early_days``
    are days of the week, 0 for Monday, on which people are told what would be held. In
    ``reporting_currency`` pages tell what amounts of several currencies come to.
    """

    home: Path
    cache: Path
    dsn: str | None
    business_now: datetime | None
    log_level: str
    raw_retention_days: int
    web_url: str
    listen: tuple[str, int]
    digest_hour: int
    early_days: frozenset[int]
    environment: Environment
    provider: Provider | None = None
    reporting_currency: str | None = None

    @property
    def run_directory(self) -> Path:
        """Return the folder of ports, process ids and clock.json."""
        return self.home / "run"

    @property
    def postgres_directory(self) -> Path:
        """Return the folder of the embedded cluster."""
        return self.home / "pg"

    @property
    def secrets_directory(self) -> Path:
        """Return the private folder of passwords and the master key."""
        return self.home / "secrets"

    @property
    def log_directory(self) -> Path:
        """Return the folder of log files."""
        return self.home / "log"

    def prepare_folders(self) -> None:
        """Create the folders of this installation; only ``secrets`` is private.

        :raises UserMistake: the home cannot be created.
        """
        try:
            for folder in (self.home, self.run_directory, self.log_directory):
                folder.mkdir(mode=_OPEN_FOLDER, parents=True, exist_ok=True)
            self.secrets_directory.mkdir(mode=_PRIVATE_FOLDER, parents=True, exist_ok=True)
            self.secrets_directory.chmod(_PRIVATE_FOLDER)
        except OSError as error:
            raise UserMistake(
                f"{HOME_VARIABLE} {self.home} cannot be prepared: {error.strerror}"
            ) from error


def read_settings(*, environment: Mapping[str, str] | None = None) -> Settings:
    """Read the settings from the environment.

    :raises UserMistake: a value cannot be understood.
    """
    values = os.environ if environment is None else environment
    read_wanted(values)
    return Settings(
        home=_path(values, HOME_VARIABLE, _default_home(values)),
        cache=_path(values, CACHE_VARIABLE, _default_cache(values)),
        dsn=values.get(DSN_VARIABLE) or None,
        business_now=_instant(values, BUSINESS_NOW_VARIABLE),
        log_level=_log_level(values),
        raw_retention_days=_days(values, RAW_RETENTION_VARIABLE, RAW_RETENTION_DAYS),
        web_url=_web_url(values),
        listen=_listen(values),
        digest_hour=_hour(values),
        early_days=_weekdays(values),
        environment=_environment(values),
        provider=_provider(values),
        reporting_currency=_currency(values),
    )


def _path(values: Mapping[str, str], name: str, default: Path) -> Path:
    given = values.get(name)
    return (Path(given) if given else default).expanduser().absolute()


def _default_home(values: Mapping[str, str]) -> Path:
    if os.geteuid() == 0:
        return Path("/var/lib/tieline")
    return _home_folder(values) / ".local/share/tieline"


def _default_cache(values: Mapping[str, str]) -> Path:
    if os.geteuid() == 0:
        return Path("/var/lib/tieline-cache")
    base = values.get("XDG_CACHE_HOME")
    return (Path(base) if base else _home_folder(values) / ".cache") / "tieline"


def _home_folder(values: Mapping[str, str]) -> Path:
    return Path(values["HOME"]) if values.get("HOME") else Path.home()


def _days(values: Mapping[str, str], name: str, default: int) -> int:
    given = values.get(name)
    if not given:
        return default
    if not given.isascii() or not given.isdigit() or not 1 <= int(given[:6]) <= _DAYS_MAX:
        raise UserMistake(f"{name} is no number of days from 1 to {_DAYS_MAX}: {given!r}")
    return int(given)


def _web_url(values: Mapping[str, str]) -> str:
    given = values.get(WEB_URL_VARIABLE, "").rstrip("/")
    if given and not (given.startswith(("https://", "http://")) and given.isprintable()):
        raise UserMistake(f"{WEB_URL_VARIABLE} is no address that begins with https://: {given!r}")
    return given


def _listen(values: Mapping[str, str]) -> tuple[str, int]:
    given = values.get(LISTEN_VARIABLE)
    if not given:
        return "127.0.0.1", 0
    host, _, port = given.rpartition(":")
    try:
        address = IPv4Address(host)
    except AddressValueError:
        address = None
    if address is None or not _DIGITS.fullmatch(port) or int(port) > _PORT_MAX:
        raise UserMistake(f"{LISTEN_VARIABLE} is no address such as 0.0.0.0:8080: {given!r}")
    return str(address), int(port)


def _hour(values: Mapping[str, str]) -> int:
    given = values.get(DIGEST_HOUR_VARIABLE)
    if not given:
        return DIGEST_HOUR
    if not given.isascii() or not given.isdigit() or int(given[:3]) >= _HOURS_OF_A_DAY:
        raise UserMistake(f"{DIGEST_HOUR_VARIABLE} is no hour from 0 to 23: {given!r}")
    return int(given)


def _weekdays(values: Mapping[str, str]) -> frozenset[int]:
    given = values.get(EARLY_DAYS_VARIABLE, "").lower() or EARLY_DAYS
    names = [] if given == NEVER else [name.strip() for name in given.split(",")]
    if not all(name in _WEEKDAYS for name in names):
        raise UserMistake(
            f"{EARLY_DAYS_VARIABLE} is no list of days such as tue,thu, and not {NEVER}: {given!r}"
        )
    return frozenset(_WEEKDAYS.index(name) for name in names)


def _environment(values: Mapping[str, str]) -> Environment:
    name = values.get(ENVIRONMENT_VARIABLE, TRIAL).lower() or TRIAL
    if name not in ENVIRONMENTS:
        raise UserMistake(f"{ENVIRONMENT_VARIABLE} is {name!r}; it must be one of {ENVIRONMENTS}")
    hosts = values.get(PRODUCTION_HOSTS_VARIABLE, "").lower().split(",")
    return Environment(
        name=name, production_hosts=frozenset(host.strip() for host in hosts if host.strip())
    )


def _provider(values: Mapping[str, str]) -> Provider | None:
    issuer = values.get(ISSUER_VARIABLE, "")
    if not issuer:
        return None
    if not (issuer.startswith(("https://", "http://")) and _host(issuer) and issuer.isprintable()):
        raise UserMistake(f"{ISSUER_VARIABLE} is no address that begins with https://: {issuer!r}")
    client_id = values.get(CLIENT_ID_VARIABLE, "")
    if not client_id:
        raise UserMistake(f"{ISSUER_VARIABLE} needs {CLIENT_ID_VARIABLE}, too")
    if not values.get(WEB_URL_VARIABLE):
        raise UserMistake(f"{ISSUER_VARIABLE} needs {WEB_URL_VARIABLE}: people come back to it")
    secret = values.get(CLIENT_SECRET_FILE_VARIABLE)
    hosts = values.get(ISSUER_HOSTS_VARIABLE, "").lower().split(",")
    return Provider(
        issuer=issuer,
        client_id=client_id,
        secret_file=Path(secret) if secret else None,
        hosts=frozenset(host.strip() for host in hosts if host.strip()),
    )


def _currency(values: Mapping[str, str]) -> str | None:
    given = values.get(REPORTING_CURRENCY_VARIABLE)
    if given and not _CURRENCY.fullmatch(given):
        raise UserMistake(f"{REPORTING_CURRENCY_VARIABLE} is no currency such as EUR: {given!r}")
    return given or None


def _host(address: str) -> str:
    try:
        return (urlsplit(address).hostname or "").lower()
    except ValueError:
        return ""


def _is_plain(address: str) -> bool:
    return address.lower().startswith("http://")


def _instant(values: Mapping[str, str], name: str) -> datetime | None:
    given = values.get(name)
    if not given:
        return None
    try:
        instant = datetime.fromisoformat(given)
    except ValueError as error:
        raise UserMistake(f"{name} is not an ISO 8601 instant: {given!r}") from error
    if instant.tzinfo is None:
        raise UserMistake(f"{name} needs a zone, such as {given}+00:00")
    return instant.astimezone(UTC)


def _log_level(values: Mapping[str, str]) -> str:
    level = values.get(LOG_LEVEL_VARIABLE, "info").lower()
    if level not in LOG_LEVELS:
        raise UserMistake(f"{LOG_LEVEL_VARIABLE} is {level!r}; it must be one of {LOG_LEVELS}")
    return level
