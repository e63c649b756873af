"""Renders pages: in the reader's language, with the operator's branding, and never to be kept by a browser."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from fastapi import Request
from fastapi.responses import HTMLResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from vaultd.terms import Clock
from vaultd.web.show.branding import Asset, Brand
from vaultd.web.show.marks import mark
from vaultd.web.show.texts import Languages, Texts
from vaultd.web.wire import NO_STORE

LANG = "lang"
"""The parameter that chooses a language. What was chosen is kept in a cookie that says nothing else."""
_YEAR = 365 * 86_400
_ERRORS = 400
_FOLDER = Path(__file__).parent.parent


def templates() -> Environment:
    """The pages' templates; everything put into them is escaped, and a name that is not given is a bug."""
    return Environment(
        loader=FileSystemLoader(_FOLDER / "templates"),
        autoescape=True,
        auto_reload=False,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


@dataclass(frozen=True, slots=True)
class Person:
    """Who is signed in, as the top of a page shows it, and the token of the forms there (B7)."""

    name: str
    csrf: str


class Pages:
    """All pages of one vaultd."""

    def __init__(self, *, brand: Brand, languages: Languages, https: bool, clock: Clock) -> None:
        self.brand = brand
        self._environment = templates()
        self._languages = languages
        self._https = https
        self._clock = clock
        self._cookie = "__Host-vaultd_lang" if https else "vaultd_lang"
        self.style = Asset((_FOLDER / "static" / "style.css").read_bytes(), "text/css")
        self._environment.globals |= {
            "brand": brand,
            "style": self.style,
            "languages": [(texts.code, texts("language.name")) for texts in languages.all.values()],
            "mark": mark,
            "strong": strong,
            "isolated": isolated,
        }

    def texts(self, request: Request) -> Texts:
        """The language of this reader: the one chosen, or the one their browser asks for."""
        chosen = request.query_params.get(LANG) or request.cookies.get(self._cookie)
        return self._languages.named(chosen) or self._languages.preferred(request.headers.get("accept-language", ""))

    def __call__(
        self, request: Request, template: str, /, *, status: int = 200, person: Person | None = None, **context: Any
    ) -> HTMLResponse:
        """The page of a template. Its links to other languages repeat the request's query, unless it is an error's."""
        texts = self.texts(request)
        shown = self._environment.get_template(template).render(
            t=texts,
            now=self._clock(),
            person=person,
            here=request.url.path,
            in_language=self._in_language(request) if status < _ERRORS else {},
            **context,
        )
        response = HTMLResponse(shown, status, {**NO_STORE, "content-language": texts.code})
        if request.query_params.get(LANG) == texts.code:
            response.set_cookie(
                self._cookie, texts.code, max_age=_YEAR, path="/", secure=self._https, httponly=True, samesite="lax"
            )
        return response

    def _in_language(self, request: Request) -> dict[str, str]:
        """For each language, the address of this same page in it."""
        others = [(name, value) for name, value in request.query_params.multi_items() if name != LANG]
        return {code: f"{request.url.path}?{urlencode([*others, (LANG, code)])}" for code in self._languages.all}


def strong(value: object) -> Markup:
    """A value that stands out from its sentence, in its own direction of writing."""
    return Markup("<strong><bdi>{}</bdi></strong>").format(value)


def isolated(value: object) -> Markup:
    """A value that somebody else wrote: its direction of writing stays its own."""
    return Markup("<bdi>{}</bdi>").format(value)
