"""The sandbox's own pages: sign in, allow or deny, and a page that says what is wrong. They work without JavaScript."""

from __future__ import annotations

from collections.abc import Sequence

from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.responses import HTMLResponse, RedirectResponse

from vaultd.sandbox.people import Person
from vaultd.terms import Scopes

HEADERS = {
    "Cache-Control": "no-store",
    # No form-action: it would also block the redirect back to the app (api §3).
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}

SCOPES_IN_WORDS = {
    "repo": "See and change your repositories and pull requests",
    "read:user": "See your profile",
    "https://www.googleapis.com/auth/calendar.readonly": "See the events in your calendar",
    "channels:history": "Read messages in public channels",
    "openid": "Know who you are",
    "email": "See your e-mail address",
    "profile": "See your name",
}


class Pages:
    """The pages of one sandbox server; `service` is its name as a person knows it."""

    def __init__(self, *, service: str) -> None:
        self._service = service
        self._templates = Environment(
            loader=PackageLoader("vaultd.sandbox"), autoescape=True, undefined=StrictUndefined, trim_blocks=True
        )

    def sign_in(self, *, ticket: str, people: Sequence[Person], app: str, hinted: bool) -> HTMLResponse:
        """One button a person, and a way out. `ticket` names the pending request."""
        return self._render("sign_in.html", ticket=ticket, people=people, app=app, hinted=hinted)

    def consent(self, *, ticket: str, person: Person, app: str, scopes: Scopes) -> HTMLResponse:
        """What the app asks for, in words, with Allow and Deny."""
        asked = [(scope, SCOPES_IN_WORDS.get(scope, "")) for scope in sorted(scopes)]
        return self._render("consent.html", ticket=ticket, person=person, app=app, asked=asked)

    def briefing(
        self, *, person: Person | None, people: Sequence[Person], connections: str, **found: object
    ) -> HTMLResponse:
        """What the sample agent found for a person: `sections`, or what it `needed` first, or a `problem`."""
        whose = {"person": person, "people": people, "connections": connections}
        return self._render("briefing.html", status=200, **whose, **found)

    def message(self, title: str, text: str, *, status: int = 200) -> HTMLResponse:
        """A page with one sentence, for a person whose way ends here."""
        return self._render("message.html", status=status, title=title, text=text)

    def _render(self, template: str, *, status: int = 200, **values: object) -> HTMLResponse:
        body = self._templates.get_template(template).render(service=self._service, **values)
        return HTMLResponse(body, status_code=status, headers=HEADERS)


def see_other(location: str) -> RedirectResponse:
    """A 303, after which the browser sends a GET."""
    return RedirectResponse(location, status_code=303, headers={"Cache-Control": "no-store"})
