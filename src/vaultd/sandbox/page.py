"""A page as the small browser sees it: its forms with their buttons, its links and its words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from html.parser import HTMLParser

CHECKABLE = frozenset({"checkbox", "radio"})
PRESSABLE = frozenset({"submit", "image"})
UNSENT = frozenset({"button", "reset", "file"})
UNSEEN = frozenset({"style", "script", "template", "title"})


@dataclass(slots=True)
class Button:
    """A button that sends its form; `label` is what stands on it, `spoken` its `aria-label`, if it has one."""

    name: str
    value: str
    label: str = ""
    spoken: str = ""


@dataclass(slots=True)
class Form:
    """A form with what its fields hold; `action` is as written, possibly empty or relative."""

    action: str
    method: str
    fields: dict[str, str] = field(default_factory=dict)
    buttons: list[Button] = field(default_factory=list)


@dataclass(slots=True)
class Page:
    """`status` is 0 when nothing was loaded. `links` maps words to addresses. `text` is what a person reads."""

    url: str
    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: str = ""
    title: str = ""
    text: str = ""
    forms: list[Form] = field(default_factory=list)
    links: dict[str, str] = field(default_factory=dict)

    def pressable(self, what: str) -> list[tuple[Form, Button]]:
        """The buttons that say `what`, else those of that value."""
        pairs = [(form, button) for form in self.forms for button in form.buttons]
        saying = [pair for pair in pairs if what in {pair[1].label, pair[1].spoken}]
        return saying or [pair for pair in pairs if pair[1].value == what]

    def choices(self) -> list[str]:
        """Everything that can be clicked, by its words."""
        return [button.label for form in self.forms for button in form.buttons] + list(self.links)


def read_page(url: str, status: int, headers: Mapping[str, str], body: str) -> Page:
    """Read an HTML answer; any other kind has a body and nothing to click."""
    page = Page(url=url, status=status, headers=headers, body=body)
    if headers.get("content-type", "").startswith("text/html"):
        reader = _Reader(page)
        reader.feed(body)
        reader.close()
        page.text = " ".join(" ".join(reader.words).split())
        page.title = " ".join(page.title.split())
    return page


class _Reader(HTMLParser):
    def __init__(self, page: Page) -> None:
        super().__init__(convert_charrefs=True)
        self.words: list[str] = []
        self._page = page
        self._form: Form | None = None
        self._button: Button | None = None
        self._link: tuple[str, list[str]] | None = None
        self._unseen: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        match tag:
            case "form":
                self._form = Form(given.get("action", ""), given.get("method", "get").upper())
                self._page.forms.append(self._form)
            case "input" if self._form is not None:
                self._read_input(self._form, given, checked="checked" in given)
            case "button" if self._form is not None and given.get("type", "submit") == "submit":
                self._button = Button(given.get("name", ""), given.get("value", ""), spoken=given.get("aria-label", ""))
                self._form.buttons.append(self._button)
            case "a" if "href" in given:
                self._link = (given["href"], [])
            case _ if tag in UNSEEN:
                self._unseen.append(tag)

    def handle_endtag(self, tag: str) -> None:
        match tag:
            case "form":
                self._form = None
            case "button" if self._button is not None:
                self._button.label = " ".join(self._button.label.split())
                self._button = None
            case "a" if self._link is not None:
                href, words = self._link
                self._page.links.setdefault(" ".join("".join(words).split()), href)
                self._link = None
            case _ if self._unseen and self._unseen[-1] == tag:
                self._unseen.pop()

    def handle_data(self, data: str) -> None:
        if self._unseen:
            self._page.title += data if self._unseen[-1] == "title" else ""
            return
        self.words.append(data)
        if self._button is not None:
            self._button.label += data
        if self._link is not None:
            self._link[1].append(data)

    def _read_input(self, form: Form, given: dict[str, str], *, checked: bool) -> None:
        kind, name = given.get("type", "text").lower(), given.get("name", "")
        if kind in PRESSABLE:
            form.buttons.append(Button(name, given.get("value", ""), given.get("value", "Submit")))
        elif kind in CHECKABLE:
            if checked and name:
                form.fields[name] = given.get("value", "on")
        elif name and kind not in UNSENT:
            form.fields[name] = given.get("value", "")
