"""What needs no key: whether it lives, and its figures."""

from fastapi import APIRouter, Response

from tieline import __version__
from tieline.api.answers import Health
from tieline.api.callers import Doors
from tieline.runtime.telemetry import Metrics


def open_routes(doors: Doors) -> APIRouter:
    """Return the addresses that monitors read."""
    routes = APIRouter(tags=["operation"])
    metrics = Metrics(database=doors.system.database)

    @routes.get("/healthz")
    def healthz() -> Health:
        """Say that the process and its database answer."""
        with doors.system.web_database.transaction() as connection:
            connection.execute("SELECT 1")
        return Health(status="ok", version=__version__)

    @routes.get("/metrics", response_class=Response)
    def read_metrics() -> Response:
        """Return queue depth, lag and outcome counts for Prometheus."""
        return Response(metrics.render(), media_type="text/plain; version=0.0.4")

    return routes
