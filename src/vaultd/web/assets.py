"""What the pages load: the style, the operator's colours and logo. All of it from here, as the policy asks (B7)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from fastapi import APIRouter, Request
from fastapi.responses import Response

from vaultd.errors import NotFound
from vaultd.web.show.branding import Asset, Brand
from vaultd.web.wire import READ

_KEPT = {"cache-control": "public, max-age=31536000, immutable"}


def router(*, style: Asset, brand: Brand) -> APIRouter:
    """The routes. An address with the version of what is there now may be kept for as long as a browser likes."""
    routes = APIRouter(tags=["browser"], include_in_schema=False)
    assets = {
        "/connections/style.css": style,
        "/connections/brand.css": brand.stylesheet,
        "/connections/logo": brand.logo,
        "/connections/logo-dark": brand.logo_dark,
    }

    def serving(asset: Asset | None) -> Callable[[Request], Awaitable[Response]]:
        async def serve(request: Request) -> Response:
            if asset is None:
                raise NotFound
            kept = request.query_params.get("v") == asset.version
            return Response(asset.content, headers=_KEPT if kept else None, media_type=asset.media_type)

        return serve

    for path, asset in assets.items():
        routes.add_api_route(path, serving(asset), methods=READ, response_model=None)
    return routes
