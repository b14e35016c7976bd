"""One line of JSON per event to stderr, one correlation id per story, figures from the tables."""

from __future__ import annotations

import contextvars
import logging
import re
import sys
from collections.abc import Iterable, Iterator, MutableMapping
from contextlib import contextmanager
from typing import Any, TextIO, cast
from uuid import uuid4

import structlog
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from tieline.runtime.database import Database
from tieline.runtime.sql import load

_correlation: contextvars.ContextVar[str] = contextvars.ContextVar(
    "tieline_correlation", default=""
)
_SECRET_NAME = re.compile(
    r"password|secret|token|authorization|api_?key|dsn|cookie|credential", re.I
)
_SECRET_IN_TEXT = re.compile(r"(\w+://[^:/@\s]+:)[^@\s]+(@)|(?i:(bearer|basic)\s+)\S+")
_HIDDEN = "[hidden]"
_QUEUE = load("tieline.runtime", "measure_queue")
_OUTCOMES = load("tieline.runtime", "measure_outcomes")
_EXECUTORS = load("tieline.runtime", "measure_executors")
_OUTBOX = load("tieline.runtime", "measure_outbox")
_CHECKS = load("tieline.runtime", "measure_checks")


def configure_logging(*, level: str = "info") -> None:
    """Send structured lines to stderr, with the correlation id and without secrets."""
    number = logging.getLevelNamesMapping()[level.upper()]
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True, key="at"),
            add_correlation,
            structlog.processors.format_exc_info,
            redact,
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.PrintLoggerFactory(file=cast(TextIO, _NeverFull())),
        cache_logger_on_first_use=False,
    )


class _NeverFull:
    """Write to standard error; a line that finds no room on a full disk is lost, and nothing else is."""

    def write(self, text: str) -> int:
        try:
            return sys.stderr.write(text)
        except OSError:
            return len(text)

    def flush(self) -> None:
        try:
            sys.stderr.flush()
        except OSError:
            return


def new_correlation_id() -> str:
    """Return a fresh id for a story that begins here."""
    return uuid4().hex


def correlation_id() -> str:
    """Return the id of the story that runs now, '' outside any."""
    return _correlation.get()


@contextmanager
def correlated(correlation_id: str) -> Iterator[None]:
    """Let everything inside belong to one story."""
    before = _correlation.set(correlation_id)
    try:
        yield
    finally:
        _correlation.reset(before)


def add_correlation(
    _logger: Any, _method: str, event: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    """Add the present correlation id to a line."""
    if present := _correlation.get():
        event.setdefault("correlation_id", present)
    return event


def redact(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Hide values whose name or form says that they are secret."""
    return {name: _redacted(name, value) for name, value in event.items()}


def _redacted(name: str, value: Any) -> Any:
    if _SECRET_NAME.search(name):
        return _HIDDEN
    if isinstance(value, str):
        return _SECRET_IN_TEXT.sub(_hide, value)
    if isinstance(value, dict):
        return {key: _redacted(str(key), child) for key, child in value.items()}
    if isinstance(value, (list, tuple)):
        return [_redacted(name, child) for child in value]
    return value


def _hide(match: re.Match[str]) -> str:
    before, after, scheme = match.group(1), match.group(2), match.group(3)
    return f"{before}{_HIDDEN}{after}" if before else f"{scheme} {_HIDDEN}"


class Metrics(Collector):
    """Measure queue, lag and outcomes in the tables whenever they are asked for."""

    def __init__(self, *, database: Database) -> None:
        self._database = database
        self._registry = CollectorRegistry()
        self._registry.register(self)

    def render(self) -> bytes:
        """Return the figures in Prometheus' text form."""
        return generate_latest(self._registry)

    def describe(self) -> Iterable[Metric]:
        """Return nothing: the figures are asked for when they are read, not when registered."""
        return []

    def collect(self) -> Iterable[Metric]:
        """Read every figure in one transaction."""
        with self._database.transaction() as connection:
            queue = connection.execute(_QUEUE).fetchall()
            outcomes = connection.execute(_OUTCOMES).fetchall()
            executors = connection.execute(_EXECUTORS).fetchall()
            outbox = connection.execute(_OUTBOX).fetchall()
            checks = connection.execute(_CHECKS).fetchall()
        yield from _queue_metrics(queue)
        yield _outcome_metric(outcomes)
        yield _labeled("tieline_executors", "Executors by state.", "state", executors)
        yield _labeled(
            "tieline_outbox_events", "Events to be delivered, by state.", "state", outbox
        )
        yield _labeled(
            "tieline_checks",
            "Checks that always run, by what they say.",
            "label",
            [row for row in checks if row["what"] == "check"],
        )
        yield _labeled(
            "tieline_posting_stops",
            "Scopes into which nothing is sent, by the check that stopped them.",
            "label",
            [row for row in checks if row["what"] == "stop"],
        )


def _queue_metrics(rows: list[dict[str, Any]]) -> Iterator[Metric]:
    depth = GaugeMetricFamily(
        "tieline_queue_depth", "Work items by class and state.", labels=["work_class", "state"]
    )
    lag = GaugeMetricFamily(
        "tieline_queue_lag_seconds",
        "Seconds the oldest due item has waited.",
        labels=["work_class"],
    )
    for row in rows:
        depth.add_metric([row["work_class"], row["state"]], row["count"])
        if row["state"] == "waiting":
            lag.add_metric([row["work_class"]], row["lag_seconds"])
    yield depth
    yield lag


def _outcome_metric(rows: list[dict[str, Any]]) -> Metric:
    counter = CounterMetricFamily(
        "tieline_outcomes",
        "Outcomes of calls and jobs.",
        labels=["connection", "operation", "outcome"],
    )
    for row in rows:
        counter.add_metric([row["connection_key"], row["operation"], row["outcome"]], row["count"])
    return counter


def _labeled(name: str, text: str, label: str, rows: list[dict[str, Any]]) -> Metric:
    gauge = GaugeMetricFamily(name, text, labels=[label])
    for row in rows:
        gauge.add_metric([row[label]], row["count"])
    return gauge
