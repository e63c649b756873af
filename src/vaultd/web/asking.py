"""The door's page for a provider that is elsewhere for each user: which shop, which site?

The form comes back to vaultd itself, and the way to the provider is a link of the next page: CSP's `form-action` binds
a form's redirects too (api.md §3).
"""

from __future__ import annotations

from urllib.parse import urlencode

from fastapi import Request
from fastapi.responses import HTMLResponse
from jinja2 import Environment

from vaultd.errors import SettingsNeeded
from vaultd.providers.registry import Provider
from vaultd.web.wire import NO_STORE

CHOSEN = "chosen"
"""The form's own parameter; no setting has this name."""
_OF_THE_LINK = ("client_id", "return_to", "scope", "login_hint")


class Asking:
    """Renders. Nothing is kept: what is chosen travels in the link."""

    def __init__(self, *, environment: Environment) -> None:
        self._template = environment.get_template("settings.html")

    def page(self, request: Request, provider: Provider) -> HTMLResponse | None:
        """The form, or what follows it; None where the link says all that is needed."""
        query = request.query_params
        wanted = [name for name in provider.config.connection_settings if name not in provider.config.fixed_settings]
        mistake, onward = None, None
        try:
            provider.settings_from(query)
        except SettingsNeeded as error:
            mistake = error.description if any(query.get(name) for name in wanted) else None
        else:
            if CHOSEN not in query:
                return None
            members = {name: query[name] for name in (*_OF_THE_LINK, *wanted) if query.get(name)}
            onward = f"{request.url.path}?{urlencode(members)}"
        text = self._template.render(
            provider=provider,
            settings=[(name, provider.config.connection_settings[name]) for name in wanted],
            given=query,
            kept=[(name, query[name]) for name in _OF_THE_LINK if query.get(name)],
            chosen=CHOSEN,
            mistake=mistake,
            onward=onward,
        )
        return HTMLResponse(text, 400 if mistake else 200, NO_STORE)
