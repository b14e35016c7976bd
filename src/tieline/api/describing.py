"""The description of the API: OpenAPI 3.1, with every problem that an address may answer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fastapi import APIRouter, FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute

from tieline.api.problems import MEDIA_TYPE, ProblemDocument

_SCHEMA = {"$ref": "#/components/schemas/Problem"}
_MEANINGS = {
    400: "The call has no usable form, or its Idempotency-Key is missing.",
    401: "No key, or one that opens nothing.",
    403: "The key lacks the scope.",
    404: "Not there, or not in sight of the key's legal entities.",
    405: "The address has no such method.",
    409: "It cannot be done as things stand; the sentence says why.",
    408: "The body took too long to arrive.",
    413: "The body is too large.",
    415: "The body is not application/json.",
    422: "A field is missing, unknown or wrong, or the Idempotency-Key came with another call.",
    503: "Something does not answer in time; the same call may work later.",
}

Responses = dict[int | str, dict[str, Any]]


def problems(*statuses: int) -> Responses:
    """Return the problem documents that an address may answer, for its description."""
    return {status: _problem(status) for status in statuses}


def describe(api: FastAPI, routers: Sequence[APIRouter]) -> None:
    """Let an application describe itself with problem documents instead of the framework's own."""

    def openapi() -> dict[str, Any]:
        if api.openapi_schema is None:
            api.openapi_schema = _described(api, routers)
        return api.openapi_schema

    api.openapi = openapi  # type: ignore[method-assign]


def _described(api: FastAPI, routers: Sequence[APIRouter]) -> dict[str, Any]:
    description = get_openapi(
        title=api.title, version=api.version, routes=api.routes, description=api.description
    )
    for route in (each for router in routers for each in router.routes):
        if isinstance(route, APIRoute):
            for method in route.methods or ():
                _tell_scope(description["paths"][route.path][method.lower()], route)
    schemas = description["components"]["schemas"]
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    schemas["Problem"] = ProblemDocument.model_json_schema()
    for address in description["paths"].values():
        for method, operation in address.items():
            answers = operation["responses"]
            # The gate and the form of a call are looked at before any address.
            answers["400"] = _problem(400)
            answers["422"] = _problem(422)
            answers["503"] = _problem(503)
            if method == "post":
                answers.update({str(status): _problem(status) for status in (408, 413, 415)})
            operation["responses"] = dict(sorted(answers.items()))
    return description


def _tell_scope(operation: dict[str, Any], route: APIRoute) -> None:
    for dependency in route.dependant.dependencies:
        scope = getattr(dependency.call, "scope", None)
        if scope is not None:
            operation["x-scope"] = scope


def _problem(status: int) -> dict[str, Any]:
    return {"description": _MEANINGS[status], "content": {MEDIA_TYPE: {"schema": _SCHEMA}}}
