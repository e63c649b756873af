"""A connection that comes to nothing: what the person, the app, the log and the event are told is what was so."""

from __future__ import annotations

import asyncio
import base64
import json
import re
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest
import pytest_asyncio

from tests.wire.blunt import CODE, GOOD, Blunt, Said, blunt_vault
from tests.wire.vault import App, Vault, go_on, query_of, ticket_url
from vaultd.sandbox.browser import Browser
from vaultd.sandbox.world import World

LINE = "a provider did not do what was asked"
DECLINED = "You did not allow the connection."
SETUP = "This service and the provider are not set up rightly for each other, so nothing was connected."
DOWN = "The provider cannot be reached right now. Try again later."
LATE = "This took too long, or it was finished before. Start again."
SENTENCES = {"declined": DECLINED, "setup": SETUP, "down": DOWN, "late": LATE}
WITH_NUMBER = frozenset({"setup", "late"})


@pytest.fixture(scope="module")
def blunt_world(world: World) -> Iterator[tuple[World, Blunt]]:
    with blunt_vault(world) as running:
        yield running


@pytest.fixture
def blunt(blunt_world: tuple[World, Blunt]) -> Iterator[Blunt]:
    yield blunt_world[1]
    blunt_world[1].reset()


@pytest_asyncio.fixture
async def ada(blunt_world: tuple[World, Blunt]) -> AsyncIterator[App]:
    async with App(blunt_world[0]) as app:
        yield app


@pytest_asyncio.fixture
async def log(blunt_world: tuple[World, Blunt]) -> AsyncIterator[Vault]:
    async with Vault(blunt_world[0], url=blunt_world[0].places.vault) as vault:
        yield vault


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """What the provider does, and what is to be made of it. `said` and `words` are the provider's own."""

    kind: str
    error: str
    reason: str | None = None
    step: str
    status: int | None = None
    said: str | None = None
    words: str | None = None
    redirect: Mapping[str, str] | None = None
    answers: Mapping[str, Said] = field(default_factory=dict)

    def play(self, blunt: Blunt) -> None:
        if self.redirect is not None:
            blunt.redirect = self.redirect
        for step, said in self.answers.items():
            setattr(blunt, step, said)


def back(kind: str, error: str, *, given: str | None = None, words: str | None = None) -> Case:
    """The browser comes back with an error."""
    given = given or error
    redirect = {"error": given, **({"error_description": words} if words else {})}
    return Case(kind=kind, error=error, step="authorize", said=given, words=words, redirect=redirect)


def at_token(kind: str, error: str, status: int, body: Any, **more: Any) -> Case:
    answers = {"token": Said(status, body, more.pop("headers", {}))}
    return Case(kind=kind, error=error, step="token", status=status or None, answers=answers, **more)


def at_userinfo(kind: str, error: str, status: int, body: Any, **more: Any) -> Case:
    answers = {"userinfo": Said(status, body)}
    return Case(kind=kind, error=error, step="userinfo", status=status or None, answers=answers, **more)


def oauth(error: str, words: str | None = None) -> dict[str, str]:
    return {"error": error, **({"error_description": words} if words else {})}


USELESS: dict[str, Any] = {"error": "server_error", "reason": "unusable_answer"}
CASES: Mapping[str, Case] = {
    "the person says no": back("declined", "access_denied", words="The user denied the request."),
    "the person says no in the provider's own word": back("declined", "access_denied", given="user_cancelled"),
    "the app may not do this": back("setup", "unauthorized_client"),
    "the request is wrong": back("setup", "invalid_request", words="redirect_uri is not registered"),
    "a scope that there is not": back("setup", "invalid_scope"),
    "a response type that there is not": back("setup", "unsupported_response_type"),
    "a word of the provider's own": back("setup", "application_suspended"),
    "no word at all": back("setup", "unknown_error", given="it did not work"),
    "a word of ours": back("setup", "unknown_error", given="account_limit"),
    "a grant that was never given": back("setup", "invalid_request", given="invalid_grant"),
    "neither a code nor an error": Case(
        kind="setup", error="invalid_request", step="authorize", said="invalid_request", redirect={}
    ),
    "the provider is busy": back("down", "temporarily_unavailable"),
    "the provider has a fault": back("down", "server_error"),
    "a wrong secret": at_token(
        "setup",
        "invalid_client",
        401,
        oauth("invalid_client", "Bad secret."),
        said="invalid_client",
        words="Bad secret.",
    ),
    "a wrong secret, under 200": at_token(
        "setup", "invalid_client", 200, oauth("invalid_client"), said="invalid_client"
    ),
    "a wrong secret, called a denial": at_token(
        "setup", "unauthorized_client", 403, oauth("access_denied"), said="access_denied"
    ),
    "a redirect URI that is not registered": at_token(
        "setup", "redirect_uri_mismatch", 400, oauth("redirect_uri_mismatch"), said="redirect_uri_mismatch"
    ),
    "an error that is nested": at_token(
        "setup",
        "OAuthException",
        400,
        {"error": {"type": "OAuthException", "message": "Wrong app."}},
        said="OAuthException",
        words="Wrong app.",
    ),
    "no such endpoint": at_token("setup", status=404, body="<p>Not found</p>", **USELESS),
    "a 4xx without an error": at_token(
        "setup", status=400, body={"message": "Bad Request"}, words="Bad Request", **USELESS
    ),
    "a redirect": at_token("setup", status=302, body="", headers={"location": "https://elsewhere.example"}, **USELESS),
    "a page": at_token("setup", status=200, body="<p>Welcome</p>", **USELESS),
    "no token": at_token("setup", status=200, body={"token_type": "bearer"}, **USELESS),
    "a token of a kind that is of no use": at_token(
        "setup", "unsupported_token_type", 200, {**GOOD, "token_type": "mac"}
    ),
    "a code that has ended": at_token(
        "late", "invalid_grant", 400, oauth("invalid_grant", "Expired."), said="invalid_grant", words="Expired."
    ),
    "503 at the token": at_token("down", "temporarily_unavailable", 503, "upstream connect error"),
    "500 with an error of ours": at_token(
        "down", "temporarily_unavailable", 500, oauth("invalid_client"), said="invalid_client"
    ),
    "429 at the token": at_token("down", "temporarily_unavailable", 429, {}),
    "busy, under 400": at_token(
        "down", "temporarily_unavailable", 400, oauth("temporarily_unavailable"), said="temporarily_unavailable"
    ),
    "nobody answers": at_token("down", "temporarily_unavailable", 0, None),
    "userinfo does not take the token": at_userinfo("setup", "invalid_token", 401, {}),
    "userinfo wants a scope": at_userinfo(
        "setup", "insufficient_scope", 403, oauth("insufficient_scope"), said="insufficient_scope"
    ),
    "userinfo refuses without a word": at_userinfo("setup", status=403, body="", **USELESS),
    "an account without an id": at_userinfo("setup", status=200, body={"email": "ada@example.com"}, **USELESS),
    "userinfo is down": at_userinfo("down", "temporarily_unavailable", 502, "Bad gateway"),
}


async def failed(ada: App) -> dict[str, str]:
    """Begin, and be sent to the provider and back to the app; gives what the app's page was called with."""
    begun = await ada.begin("slack", scopes=["channels:history"])
    async with ada.browser() as browser:
        page = await go_on(browser, ticket_url(begun))
    assert page.url.startswith(ada.redirect_uri), page.text
    return query_of(page.url)


async def event_of(log: Vault, ada: App) -> dict[str, Any]:
    """The newest of the user's."""
    page = await log.audit(subject_issuer=ada.world.places.issuer, subject=ada.user, limit=10)
    event: dict[str, Any] = page["events"][0]
    return event


def lines_in(text: str) -> list[dict[str, str]]:
    """The log's lines of this kind, by the names of their values."""
    plain = re.sub(r"\x1b\[[0-9;]*m", "", text)
    found = [line for line in plain.splitlines() if LINE in line]
    return [
        {name: quoted or bare for name, quoted, bare in re.findall(r"(\w+)=(?:'([^']*)'|(\S*))", line)}
        for line in found
    ]


@pytest.mark.parametrize("name", CASES)
async def test_a_failed_connection_is_told_as_it_was(
    blunt: Blunt, ada: App, log: Vault, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    case = CASES[name]
    case.play(blunt)
    capsys.readouterr()
    came_back = await failed(ada)
    (line,) = lines_in(capsys.readouterr().out)
    event = await event_of(log, ada)

    assert (event["type"], event["connection"], event["decision"]) == ("connection.refused", "slack", "refused")
    assert event["reason"] == line["reason"] == (case.reason or case.error)
    assert event["request_id"] == line["request_id"]
    assert (line["provider"], line["step"]) == ("slack", case.step)
    assert (line["status"], line["error"]) == (str(case.status), str(case.said))
    assert line["description"] == str(case.words)

    sentence = came_back.pop("error_description")
    assert came_back == {"error": case.error, "state": "app-state"}
    assert sentence.startswith(SENTENCES[case.kind])
    assert sentence.endswith(event["request_id"]) is (case.kind in WITH_NUMBER)
    # RFC 6749 §4.1.2.1
    assert re.fullmatch(r"[\x20-\x21\x23-\x5b\x5d-\x7e]+", sentence)
    assert (await ada.http.get("accounts")).json() == {"accounts": []}


PAGES: Mapping[str, Mapping[str, str]] = {
    "en": {
        "declined": "Slack was not connected. You did not allow it, so nothing was changed.",
        "setup": "Slack was not connected. This service and Slack are not set up rightly for each other. "
        "Whoever runs this service has to mend that. Tell whoever runs it this number: {id}",
        "down": "Slack was not connected. Slack cannot be reached right now. Try again in a few minutes.",
        "late": "Slack was not connected. This took too long, or it was finished before. Try again. "
        "If it fails again, tell whoever runs this service this number: {id}",
    },
    "de": {
        "declined": "Slack wurde nicht verbunden. Sie haben es nicht erlaubt, also hat sich nichts geändert.",
        "setup": "Slack wurde nicht verbunden. Dieser Dienst und Slack sind nicht richtig aufeinander eingestellt. "
        "Das muss beheben, wer diesen Dienst betreibt. Geben Sie dabei diese Nummer an: {id}",
        "down": "Slack wurde nicht verbunden. Slack ist gerade nicht zu erreichen. "
        "Versuchen Sie es in ein paar Minuten noch einmal.",
        "late": "Slack wurde nicht verbunden. Es hat zu lange gedauert oder war schon abgeschlossen. "
        "Versuchen Sie es noch einmal. "
        "Wenn es wieder nicht geht, nennen Sie dem Betreiber dieses Dienstes diese Nummer: {id}",
    },
}
ON_THE_PAGE = {
    "declined": "the person says no",
    "setup": "an account without an id",
    "down": "503 at the token",
    "late": "a code that has ended",
}


async def sign_in(browser: Browser, world: World) -> None:
    """At the vault beside it, which the issuer knows: database and host are one with ours, and so is the session."""
    await browser.open(f"{world.places.vault}/connections")
    await browser.click("Carol")


@pytest.mark.parametrize("language", PAGES)
@pytest.mark.parametrize("kind", ON_THE_PAGE)
async def test_a_person_reads_which_of_four_things_it_was(
    world: World, blunt: Blunt, log: Vault, kind: str, language: str
) -> None:
    CASES[ON_THE_PAGE[kind]].play(blunt)
    vault = str(log.http.base_url).rstrip("/")
    async with Browser() as browser:
        browser.http.headers["Accept-Language"] = language
        await sign_in(browser, world)
        page = await browser.open(f"{vault}/auth/connect/slack")
        page = await browser.click(next(name for name in page.links if "Slack" in name))
    number = (await log.audit(type="connection.refused", limit=1))["events"][0]["request_id"]
    assert PAGES[language][kind].format(id=number) in page.text


async def test_the_event_of_a_connection_at_the_door_names_its_request(world: World, blunt: Blunt, log: Vault) -> None:
    """By it the operator finds the log's lines, however the consent ends."""
    # Tokens of her own: others' are not ended while she has them.
    blunt.token = Said(200, {**GOOD, "access_token": "at-of-carol", "refresh_token": "rt-of-carol"})
    blunt.userinfo = Said(200, {"sub": "blunt-2", "email": "carol@example.com"})
    vault = str(log.http.base_url).rstrip("/")
    async with Browser() as browser:
        await sign_in(browser, world)
        await browser.open(f"{vault}/auth/connect/slack")
        await browser.click(next(link for link in browser.page.links if "Slack" in link))
    event = (await log.audit(connection="slack", limit=1))["events"][0]
    assert event["type"] in {"connection.connected", "connection.reconnected"}
    assert re.fullmatch("[0-9a-f]{32}", event["request_id"])


@pytest.mark.parametrize("number", ["", "0" * 31, "G" * 32, "call 0800 1234", "0" * 33, "A" * 32])
async def test_what_is_no_number_is_not_shown(world: World, number: str) -> None:
    vault = world.places.vault
    query = httpx.QueryParams(status="error", connection="slack", error="invalid_client", number=number)
    async with Browser() as browser:
        await sign_in(browser, world)
        page = await browser.open(f"{vault}/connections?{query}")
    assert "not set up rightly" in page.text
    assert "number" not in page.text
    assert not number or number not in page.text


@pytest.mark.parametrize("error", ["number", "number_again", "other", "{id}", "%7Bid%7D", ""])
async def test_any_word_in_a_link_makes_a_page(world: World, error: str) -> None:
    vault = world.places.vault
    async with Browser() as browser:
        await sign_in(browser, world)
        query = f"status=error&connection=slack&error={error}"
        for number in ("", f"&number={'0' * 32}"):
            page = await browser.open(f"{vault}/connections?{query}{number}")
            assert (page.status, "Slack was not connected." in page.text) == (200, True)


SECRETS = {
    "the app's secret": "{secret}",
    "the app's secret in Basic": "{basic}",
    "the code": CODE,
    "a JWT": "eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJhZGEifQ.c2lnbmF0dXJl",
    "a token of another's": "xoxb-" + "1234567890" * 3,
    "a bearer's header": "Bearer abcdefgh",
}


@pytest.mark.parametrize("name", SECRETS)
async def test_no_secret_that_a_provider_repeats_is_logged(
    blunt: Blunt, ada: App, log: Vault, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    basic = base64.b64encode(":".join(blunt.client).encode()).decode()
    repeated = SECRETS[name].format(secret=blunt.client[1], basic=basic)
    words = f"Refused {repeated} since\nit is wrong: \x1b[31m{repeated}"
    blunt.token = Said(400, {"error": "invalid_client", "error_description": words, "message": repeated})
    capsys.readouterr()
    came_back = await failed(ada)
    said = capsys.readouterr().out
    assert len(lines_in(said)) == 1
    event = await event_of(log, ada)
    for told in (said, json.dumps(event), json.dumps(came_back)):
        assert repeated.removeprefix("Bearer ") not in told
    assert "Refused" in said
    assert event["reason"] == "invalid_client"


FORGED = "\r\n2026-01-01 00:00:00 [info     ] forged"
STEERING = "\x1b]0;title\x07\x85\u2028\u2029\u202e\u2066\u200b\x00\ufeff"
HOSTILE = f"No.{FORGED}{STEERING}<script>alert(1)</script><img src=x onerror=alert(2)>'\"`${{7*7}}"
INJECTED: Mapping[str, Case] = {
    "in the redirect": Case(
        kind="setup", error="unknown_error", step="authorize", redirect={"error": HOSTILE, "error_description": HOSTILE}
    ),
    "beside a known error": back("setup", "invalid_scope", words=HOSTILE),
    "at the token": at_token("setup", "unknown_error", 400, oauth(HOSTILE, HOSTILE)),
    "at the token, as a message": at_token("setup", status=400, body={"message": HOSTILE}, **USELESS),
    "at the token, nested": at_token(
        "setup", "unknown_error", 400, {"error": {"type": HOSTILE, "message": HOSTILE, "code": HOSTILE}}
    ),
    "at the token, as its kind": at_token("setup", "unsupported_token_type", 200, {**GOOD, "token_type": HOSTILE}),
    "at userinfo": at_userinfo("setup", "unknown_error", 403, oauth(HOSTILE, HOSTILE)),
    "as a page": at_token("setup", status=402, body=HOSTILE.replace("\0", ""), **USELESS),
    "in the issuer's place": Case(kind="setup", error="invalid_issuer", step="authorize", redirect={"iss": HOSTILE}),
}


@pytest.mark.parametrize("name", INJECTED)
async def test_no_words_of_a_provider_steer_what_they_are_told_in(
    blunt: Blunt, ada: App, log: Vault, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    case = INJECTED[name]
    case.play(blunt)
    capsys.readouterr()
    came_back = await failed(ada)
    said = re.sub(r"\x1b\[[0-9;]*m", "", capsys.readouterr().out)
    event = await event_of(log, ada)
    assert came_back["error"] == case.error
    assert not [line for line in said.splitlines() if "forged" in line and LINE not in line]
    assert said.count(LINE) == 1
    for shown in (said.replace("\n", ""), came_back["error_description"], json.dumps(event, ensure_ascii=False)):
        assert shown.isprintable()
    assert "<" not in came_back["error_description"] + json.dumps(event)


async def test_a_code_as_the_error_itself_is_not_repeated(
    blunt: Blunt, ada: App, log: Vault, capsys: pytest.CaptureFixture[str]
) -> None:
    blunt.token = Said(400, {"error": CODE})
    blunt.redirect = {"code": CODE}
    capsys.readouterr()
    came_back = await failed(ada)
    assert came_back["error"] == "unknown_error"
    assert CODE not in capsys.readouterr().out
    assert (await event_of(log, ada))["reason"] == "unknown_error"


async def test_the_words_of_a_redirect_are_bounded_and_without_the_state(
    blunt: Blunt, ada: App, log: Vault, capsys: pytest.CaptureFixture[str]
) -> None:
    words = "The state {state} is not known. " + "word " * 600
    blunt.redirect = {"error": "invalid_request", "error_description": words}
    capsys.readouterr()
    await failed(ada)
    said = capsys.readouterr().out
    (line,) = lines_in(said)
    assert line["description"].startswith("The state … is not known. word")
    assert len(line["description"]) <= 200
    assert blunt.state not in said
    assert len(json.dumps(await event_of(log, ada))) < 1_000


async def test_long_words_at_the_token_are_cut_between_two(
    blunt: Blunt, ada: App, capsys: pytest.CaptureFixture[str]
) -> None:
    blunt.token = Said(400, oauth("invalid_client", "AADSTS7000215: Invalid client secret provided. " * 30))
    capsys.readouterr()
    await failed(ada)
    (line,) = lines_in(capsys.readouterr().out)
    assert line["description"].startswith("AADSTS7000215: Invalid client secret provided.")
    assert 100 < len(line["description"]) <= 200


@pytest.mark.parametrize("iss", [None, ""])
async def test_an_error_that_names_no_issuer_is_an_error(blunt: Blunt, ada: App, log: Vault, iss: str | None) -> None:
    """RFC 9207 §2: some name themselves beside a code only."""
    blunt.names_itself = False
    blunt.redirect = {"error": "access_denied", **({} if iss is None else {"iss": iss})}
    came_back = await failed(ada)
    assert (came_back["error"], came_back["error_description"]) == ("access_denied", DECLINED)
    assert (await event_of(log, ada))["reason"] == "access_denied"


@pytest.mark.parametrize(
    "redirect",
    [
        {"code": CODE},
        {"code": CODE, "iss": "https://evil.example"},
        {"error": "access_denied", "iss": "https://e.example"},
    ],
    ids=str,
)
async def test_a_code_without_the_issuer_and_anything_of_another_is_not_believed(
    blunt: Blunt, ada: App, log: Vault, capsys: pytest.CaptureFixture[str], redirect: Mapping[str, str]
) -> None:
    """RFC 9207 §2.4."""
    blunt.names_itself = False
    blunt.redirect = redirect
    capsys.readouterr()
    came_back = await failed(ada)
    (line,) = lines_in(capsys.readouterr().out)
    assert came_back["error"] == "invalid_issuer"
    assert came_back["error_description"] == "The answer did not come from the provider that was asked."
    event = await event_of(log, ada)
    assert (event["reason"], len(event["request_id"])) == ("invalid_issuer", 32)
    assert (line["step"], line["reason"], line["request_id"]) == ("authorize", event["reason"], event["request_id"])
    assert line["detail"].startswith("the answer is from " if "iss" in redirect else "the answer has no iss")


async def test_an_error_beside_a_code_without_an_issuer_redeems_nothing(blunt: Blunt, ada: App) -> None:
    blunt.names_itself = False
    for error, told in (("access_denied", "access_denied"), ("", "invalid_issuer")):
        blunt.redirect = {"code": CODE, "error": error}
        assert (await failed(ada))["error"] == told
    assert (await ada.http.get("accounts")).json() == {"accounts": []}


async def connected(ada: App) -> str:
    begun = await ada.begin("slack", scopes=["channels:history"])
    async with ada.browser() as browser:
        page = await go_on(browser, ticket_url(begun))
    made = await ada.complete(begun, query_of(page.url)["connect_code"])
    assert made.status_code == 201, made.text
    account: str = made.json()["id"]
    return account


async def test_a_refresh_and_a_revocation_that_fail_are_told_too(
    blunt: Blunt, ada: App, log: Vault, capsys: pytest.CaptureFixture[str]
) -> None:
    blunt.token = Said(200, {**GOOD, "expires_in": 1})
    account = await connected(ada)
    blunt.refresh = Said(401, oauth("invalid_client", "The secret of the app is wrong."))
    blunt.revoke = Said(403, oauth("invalid_client", "Not by you."))
    capsys.readouterr()
    answer = await log.exchange(ada.session_token, audience="slack")
    (line,) = lines_in(capsys.readouterr().out)
    assert (line["provider"], line["step"], line["status"], line["error"]) == (
        "slack",
        "refresh",
        "401",
        "invalid_client",
    )
    assert line["description"] == "The secret of the app is wrong."
    assert line["request_id"] == answer.headers["x-request-id"]
    assert (await ada.http.delete(f"accounts/{account}")).status_code == 204
    said = ""
    async with asyncio.timeout(15):
        while not lines_in(said):
            await asyncio.sleep(0.05)
            said += capsys.readouterr().out
    line = lines_in(said)[0]
    assert (line["provider"], line["step"], line["status"], line["error"]) == (
        "slack",
        "revoke",
        "403",
        "invalid_client",
    )
    assert line["description"] == "Not by you."


async def test_an_error_without_a_value_was_left_out(blunt: Blunt, ada: App) -> None:
    """RFC 6749 §3.1."""
    blunt.redirect = {"code": CODE, "error": ""}
    assert await connected(ada)
