"""The door's page for a provider that is elsewhere for each user: which shop, which site?

Nothing is kept: what is chosen travels in the link, which comes back to the door.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from fastapi import Request
from fastapi.responses import HTMLResponse

from vaultd.errors import SettingsNeeded
from vaultd.providers.registry import Provider
from vaultd.web.show.pages import Pages, Person

CHOSEN = "chosen"
"""The form's own parameter; no setting has this name."""
_OF_THE_LINK = ("client_id", "return_to", "scope", "login_hint")


@dataclass(frozen=True, slots=True)
class Field:
    """One setting to be filled in. `wrong`: what is in it is not accepted."""

    name: str
    label: str
    value: str
    example: str
    wrong: bool


class Asking:
    """Renders the form."""

    def __init__(self, *, pages: Pages) -> None:
        self._pages = pages

    def page(self, request: Request, person: Person, provider: Provider) -> HTMLResponse | None:
        """The form; None where the link says all that is needed."""
        query = request.query_params
        try:
            provider.settings_from(query)
        except SettingsNeeded:
            fields = _fields(provider, query)
        else:
            return None
        return self._pages(
            request,
            "settings.html",
            status=400 if any(field.wrong for field in fields) else 200,
            person=person,
            provider=provider,
            fields=fields,
            kept=[(name, query[name]) for name in _OF_THE_LINK if query.get(name)],
            chosen=CHOSEN,
        )


def _fields(provider: Provider, query: Mapping[str, str]) -> list[Field]:
    config = provider.config
    wanted = {
        name: setting for name, setting in config.connection_settings.items() if name not in config.fixed_settings
    }
    values = {name: query.get(name) or setting.default or "" for name, setting in wanted.items()}
    wrong = {name for name, setting in wanted.items() if not re.fullmatch(setting.pattern, values[name])}
    # Each may be well by itself and still not stand in its place: then none of them is right.
    wrong = {name for name in wrong or wanted if query.get(name) or CHOSEN in query}
    return [
        Field(name, setting.description, values[name], setting.example, name in wrong)
        for name, setting in wanted.items()
    ]
