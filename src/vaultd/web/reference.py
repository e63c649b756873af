"""`/openapi.json`, and `/docs`: the same as a page, made here, without scripts, so that it works offline (B7)."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from fastapi import APIRouter
from fastapi.responses import FileResponse, HTMLResponse, Response
from jinja2 import Environment
from markupsafe import Markup, escape

from vaultd.web.openapi.outline import Outline
from vaultd.web.wire import NO_STORE, READ

_STYLE = Path(__file__).parent / "static" / "docs.css"


def router(*, document: dict[str, Any], environment: Environment) -> APIRouter:
    """The routes. Document and page are made once: both are the same for everybody."""
    routes = APIRouter()
    encoded = json.dumps(document, separators=(",", ":")).encode()
    page = environment.get_template("docs.html").render(
        info=document["info"],
        server=document["servers"][0]["url"],
        schemes=document["components"]["securitySchemes"],
        sections=Outline(document).sections(),
        prose=prose,
    )

    @routes.api_route("/openapi.json", methods=READ, response_model=None)
    async def openapi() -> Response:
        return Response(encoded, 200, NO_STORE, "application/json")

    @routes.api_route("/docs", methods=READ, response_model=None)
    async def docs() -> Response:
        return HTMLResponse(page, 200, NO_STORE)

    @routes.api_route("/docs/style.css", methods=READ, response_model=None)
    async def style() -> Response:
        return FileResponse(_STYLE, 200, NO_STORE, "text/css")

    return routes


def prose(text: str) -> Markup:
    """A description as HTML: paragraphs, and code between backticks. Everything else is escaped."""
    paragraphs = [
        re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(paragraph)))
        for paragraph in text.strip().split("\n\n")
        if paragraph
    ]
    return Markup("").join(Markup(f"<p>{paragraph}</p>") for paragraph in paragraphs)  # noqa: S704 - escaped above
