"""Languages: the same keys and values in each, plurals, dates, and which of them a browser gets."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from markupsafe import Markup

import vaultd.web
from vaultd.web.show.texts import Entry, load_languages, read_texts

WEB = Path(vaultd.web.__file__).parent
FILES = sorted((WEB / "texts").glob("*.toml"))
LANGUAGES = load_languages()
EN, DE = LANGUAGES.all["en"], LANGUAGES.all["de"]
NOW = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)
_VALUE = re.compile(r"\{(\w*)\}")


def values_in(entry: Entry) -> set[str]:
    forms = [entry] if isinstance(entry, str) else list(entry.values())
    return {name for form in forms for name in _VALUE.findall(form)}


def test_there_are_two_languages_at_least() -> None:
    assert {"en", "de"} <= {path.stem for path in FILES}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_language_has_the_same_keys_and_values(path: Path) -> None:
    english, other = read_texts(WEB / "texts" / "en.toml"), read_texts(path)
    assert other.keys() == english.keys()
    for key, entry in english.items():
        assert isinstance(other[key], str) == isinstance(entry, str), key
        assert values_in(other[key]) == values_in(entry), key


def test_every_text_is_used() -> None:
    """A key that no page asks for is a sentence that nobody keeps true."""
    sources = [*WEB.rglob("*.py"), *WEB.rglob("*.html")]
    said = "\n".join(path.read_text(encoding="utf-8") for path in sources)
    by_name = {"broken", "failed", "event", "reason", "unconnected", "error"}
    unused = {
        key
        for key in read_texts(WEB / "texts" / "en.toml")
        if key.partition(".")[0] not in by_name and f'"{key}"' not in said
    }
    assert unused == set()


def test_values_are_escaped_and_so_are_texts() -> None:
    shown = EN("connections.connect", provider="<b>&\"'")
    assert shown == "Connect &lt;b&gt;&amp;&#34;&#39;"
    assert EN("connections.connect", provider=Markup("<bdi>x</bdi>")) == "Connect <bdi>x</bdi>"
    assert isinstance(EN.all_of(["<i>", "b"]), Markup)
    assert EN.all_of(["<i>", "b"]) == "&lt;i&gt; and b"


def test_a_value_cannot_ask_for_another() -> None:
    assert EN("connections.connect", provider="{provider.__class__}") == "Connect {provider.__class__}"


@pytest.mark.parametrize(
    ("count", "english", "german"),
    [
        (1, "1 use in the last 30 days", "1 Nutzung in den letzten 30 Tagen"),
        (2, "2 uses in the last 30 days", "2 Nutzungen in den letzten 30 Tagen"),
        (12345, "12,345 uses in the last 30 days", "12.345 Nutzungen in den letzten 30 Tagen"),
    ],
)
def test_plurals_and_numbers(count: int, english: str, german: str) -> None:
    assert EN.count("connections.uses", count) == english
    assert DE.count("connections.uses", count) == german


@pytest.mark.parametrize(
    ("ago", "english", "german"),
    [
        (timedelta(seconds=-5), "just now", "gerade eben"),
        (timedelta(seconds=59), "just now", "gerade eben"),
        (timedelta(minutes=5), "5 minutes ago", "vor 5 Minuten"),
        (timedelta(days=1), "1 day ago", "vor 1 Tag"),
        (timedelta(days=20), "November 5, 2026", "5. November 2026"),
    ],
    ids=str,
)
def test_moments(ago: timedelta, english: str, german: str) -> None:
    for texts, words in ((EN, english), (DE, german)):
        shown = texts.when(NOW - ago, NOW)
        assert shown.striptags() == words
        assert f'datetime="{(NOW - ago).isoformat(timespec="seconds")}"' in shown


@pytest.mark.parametrize(
    ("header", "code"),
    [
        ("", "en"),
        ("de", "de"),
        ("de-AT, en;q=0.9", "de"),
        ("en;q=0.3, de;q=0.8", "de"),
        ("fr, de;q=0.5, en;q=0.4", "de"),
        ("fr;q=0.9, *;q=0.1", "en"),
        ("de;q=0, en", "en"),
        ("de;q=x", "en"),
        ("\x00;;,,=", "en"),
        ("x" * 100_000, "en"),
        (", " * 100 + "de", "de"),
    ],
)
def test_the_browser_says_which_language(header: str, code: str) -> None:
    """RFC 9110 §12.5.4."""
    assert LANGUAGES.preferred(header).code == code


def test_an_unknown_name_is_the_section_s_other() -> None:
    said = "This service and X are not set up rightly for each other. Whoever runs this service has to mend that."
    assert EN.one_of("failed", "nonsense", provider="X") == said
    assert EN.one_of("failed", None, provider="X") == said
    assert EN.find("reason", "nonsense") is None
