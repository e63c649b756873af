"""A sandbox provider's own switchboard over HTTP, for a person with `curl` and for tests in another process."""

from __future__ import annotations

import json
from collections import Counter

from pydantic import ValidationError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from vaultd.sandbox.faults import ProviderFaults
from vaultd.sandbox.grants import Grants
from vaultd.sandbox.people import PEOPLE


def operator_routes(*, calls: Counter[str], faults: ProviderFaults, grants: Grants) -> list[Route]:
    """`GET /_sandbox/state`, `PUT /_sandbox/faults` and `POST /_sandbox/withdraw`.

    Bodies are JSON with its content type, which a foreign web page cannot send without asking first.
    """

    async def state(_: Request) -> Response:
        alive = sum(family.alive for family in grants.families)
        counts = {"alive": alive, "ended": len(grants.families) - alive}
        return JSONResponse({"calls": calls, "faults": faults.model_dump(), "grants": counts})

    async def switch(request: Request) -> Response:
        try:
            faults.set_all(ProviderFaults.model_validate(await _json_of(request)))
        except ValidationError as error:
            return _refused(str(error))
        return JSONResponse(faults.model_dump())

    async def withdraw(request: Request) -> Response:
        body = await _json_of(request)
        user = body.get("user") if isinstance(body, dict) else None
        if user not in PEOPLE:
            return _refused(f"user is one of {', '.join(PEOPLE)}")
        grants.withdraw(user)
        return Response(status_code=204)

    return [
        Route("/_sandbox/state", state, methods=["GET"]),
        Route("/_sandbox/faults", switch, methods=["PUT"]),
        Route("/_sandbox/withdraw", withdraw, methods=["POST"]),
    ]


async def _json_of(request: Request) -> object:
    """The body, None when it is not JSON or not declared so."""
    if request.headers.get("content-type", "").partition(";")[0].strip() != "application/json":
        return None
    try:
        body: object = json.loads(await request.body())
    except ValueError:
        return None
    return body


def _refused(why: str) -> Response:
    return JSONResponse({"error": "invalid_request", "error_description": why}, status_code=400)
