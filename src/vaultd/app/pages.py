"""The pages that people see, wired."""

from __future__ import annotations

from fastapi import FastAPI

from vaultd.app.ground import Ground
from vaultd.connect import Connect
from vaultd.connections.labels import Labels
from vaultd.exchange.assertion import Assertions
from vaultd.revoke import Revoke
from vaultd.sessions.store import Sessions
from vaultd.settings import Settings
from vaultd.subjects.away import AwaySwitch
from vaultd.terms import Clock
from vaultd.web import asking, assets, confirm, consent, page, tickets
from vaultd.web import away as away_switch
from vaultd.web.apps import Apps
from vaultd.web.cookies import Cookies
from vaultd.web.happenings import Happenings
from vaultd.web.overview import Overviews
from vaultd.web.show.branding import Brand
from vaultd.web.show.pages import Pages
from vaultd.web.show.texts import load_languages
from vaultd.web.visitors import Visitors


def make_pages(settings: Settings, clock: Clock) -> Pages:
    """Languages, branding and templates, read once."""
    https = settings.public_url.startswith("https:")
    return Pages(brand=Brand(settings.branding), languages=load_languages(), https=https, clock=clock)


def make_cookies(settings: Settings) -> Cookies:
    """The names and flags of the cookies here."""
    return Cookies(https=settings.public_url.startswith("https:"))


def add_pages(
    app: FastAPI,
    ground: Ground,
    pages: Pages,
    *,
    cookies: Cookies,
    sessions: Sessions,
    connect: Connect,
    revoke: Revoke,
    assertions: Assertions,
    away: AwaySwitch,
) -> None:
    """Add the routes."""
    settings, public_url = ground.settings, ground.settings.public_url
    visitors = Visitors(sessions=sessions, subjects=ground.subjects, cookies=cookies)
    apps = Apps(clients=ground.clients, providers=ground.providers, default_client=settings.default_client)
    overviews = Overviews(
        database=ground.database,
        labels=Labels(data_keys=ground.data_keys),
        apps=apps,
        providers=ground.providers,
        clock=ground.clock,
    )
    agents = away_switch.AgentsWhileAway(assertions=assertions, away=away, clients=ground.clients, apps=apps)
    confirming = confirm.Confirming(pages=pages, overviews=overviews, apps=apps, home=f"{public_url}/connections")
    doors = consent.Doors(
        public_url=public_url,
        connect=connect,
        clients=ground.clients,
        sessions=sessions,
        visitors=visitors,
        cookies=cookies,
        providers=ground.providers,
        asking=asking.Asking(pages=pages),
        confirming=confirming,
        default_client=settings.default_client,
        allowed_return_urls=settings.allowed_return_urls,
    )
    ticketed = tickets.Tickets(
        connect=connect,
        clients=ground.clients,
        providers=ground.providers,
        visitors=visitors,
        cookies=cookies,
        confirming=confirming,
    )
    app.include_router(assets.router(style=pages.style, brand=pages.brand))
    app.include_router(consent.router(doors, ticketed, refused=ground.refused))
    app.include_router(
        page.router(
            public_url=public_url,
            pages=pages,
            visitors=visitors,
            overviews=overviews,
            happenings=Happenings(database=ground.database, reader=ground.reader, apps=apps),
            agents=agents,
            revoke=revoke,
            refused=ground.refused,
        )
    )
    app.include_router(
        away_switch.router(public_url=public_url, agents=agents, visitors=visitors, refused=ground.refused)
    )
