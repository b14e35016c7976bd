"""Put /v1 together: one gate, one form of error, one description, a module of routes per subject."""

from __future__ import annotations

from fastapi import FastAPI

from tieline import __version__
from tieline.api.callers import Doors
from tieline.api.describing import describe
from tieline.api.gate import BodyGate
from tieline.api.problems import answer_in_problems
from tieline.api.routes.adoption import adoption_routes
from tieline.api.routes.assignments import assignment_routes
from tieline.api.routes.cases import case_routes
from tieline.api.routes.changes import change_routes
from tieline.api.routes.checks import check_routes
from tieline.api.routes.clients import client_routes
from tieline.api.routes.close import close_routes
from tieline.api.routes.connections import connection_routes, webhook_routes
from tieline.api.routes.deals import deal_routes
from tieline.api.routes.delivery import delivery_routes
from tieline.api.routes.early import early_routes
from tieline.api.routes.explaining import explaining_routes
from tieline.api.routes.hours import hours_routes
from tieline.api.routes.missing import missing_routes
from tieline.api.routes.open import open_routes
from tieline.api.routes.periods import period_routes
from tieline.api.routes.policies import policy_routes
from tieline.api.routes.proposals import proposal_routes
from tieline.api.routes.replays import replay_routes
from tieline.api.routes.same_client import same_client_routes
from tieline.api.routes.what_ifs import what_if_routes
from tieline.services.system import System

_ROUTES = (
    open_routes,
    hours_routes,
    early_routes,
    missing_routes,
    delivery_routes,
    deal_routes,
    case_routes,
    client_routes,
    same_client_routes,
    adoption_routes,
    assignment_routes,
    proposal_routes,
    close_routes,
    period_routes,
    change_routes,
    check_routes,
    replay_routes,
    policy_routes,
    what_if_routes,
    explaining_routes,
    connection_routes,
    webhook_routes,
)
_DESCRIPTION = (
    "Every object outside the key's legal entities answers as if it did not exist. Money and rates"
    " are text, durations whole seconds. What calls a vendor is scheduled and answered with 202."
)


def create_api(system: System) -> FastAPI:
    """Return the application of /v1 on one installation."""
    api = FastAPI(
        title="Tieline",
        version=__version__,
        description=_DESCRIPTION,
        openapi_url="/v1/openapi.json",
        docs_url=None,
        redoc_url=None,
    )
    api.add_middleware(BodyGate)
    answer_in_problems(api)
    doors = Doors(system)
    routers = [routes(doors) for routes in _ROUTES]
    for router in routers:
        api.include_router(router)
    describe(api, routers)
    return api
