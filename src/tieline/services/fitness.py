"""Whether an installation is fit for what it is for, told before it is opened."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import psycopg
from psycopg.conninfo import conninfo_to_dict

from tieline.kernel.errors import UserMistake
from tieline.kernel.failpoints import VARIABLE as FAILPOINT_VARIABLE
from tieline.settings import (
    BUSINESS_NOW_VARIABLE,
    DSN_VARIABLE,
    ISSUER_VARIABLE,
    LOG_LEVEL_VARIABLE,
    WEB_URL_VARIABLE,
    Environment,
    Settings,
)

# What examples and images of servers are shipped with.
_DEFAULT_PASSWORDS = frozenset(
    {"admin", "changeme", "example", "password", "postgres", "secret", "test", "tieline", "trust"}
)


def unfit_for_production(settings: Settings, *, variables: Mapping[str, str]) -> tuple[str, ...]:
    """Return what must change before money may move here, a sentence each."""
    found = []
    if settings.dsn is None:
        found.append(
            f"{DSN_VARIABLE} names no database: production does not run on the embedded one"
        )
    elif _has_default_password(settings.dsn):
        found.append(f"the password in {DSN_VARIABLE} is a default one: choose another")
    if settings.log_level == "debug":
        found.append(f"{LOG_LEVEL_VARIABLE} is debug: production logs from info on")
    if settings.business_now is not None:
        found.append(f"{BUSINESS_NOW_VARIABLE} is set: production runs on real time")
    if settings.web_url.startswith("http://"):
        found.append(
            f"{WEB_URL_VARIABLE} begins with http: people and systems come back over https"
        )
    if settings.provider is not None and settings.provider.issuer.startswith("http://"):
        found.append(f"{ISSUER_VARIABLE} begins with http: nobody signs in over that")
    if variables.get(FAILPOINT_VARIABLE):
        found.append(f"{FAILPOINT_VARIABLE} is set: it ends processes")
    return tuple(found)


def refuse_unfit(settings: Settings, *, variables: Mapping[str, str]) -> None:
    """Open no production that is not fit for it.

    :raises UserMistake: something must change first; the sentence names all of it.
    """
    if not settings.environment.is_production:
        return
    found = unfit_for_production(settings, variables=variables)
    if found:
        raise UserMistake("this is no production: " + "; ".join(found))


def why_no_call(environment: Environment, config: Mapping[str, Any]) -> str | None:
    """Say why a connection may not be called from this environment, None when it may."""
    return environment.why_no_call(
        address=str(config.get("base_url", "")), hosts=tuple(config.get("allowed_hosts", ()))
    )


def _has_default_password(dsn: str) -> bool:
    try:
        told = conninfo_to_dict(dsn)
    except psycopg.ProgrammingError:
        # What is no connection string at all is refused where it is used.
        return False
    password = str(told.get("password") or "").lower()
    return bool(password) and password in {*_DEFAULT_PASSWORDS, str(told.get("user")).lower()}
