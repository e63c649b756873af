"""The browser's own door: sign-in, connect, the hosted page, sign-out (api.md §3, security B4, B7, B8)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from urllib.parse import quote, urlencode

import httpx
import pytest
import pytest_asyncio

from tests.wire.vault import Vault, query_of
from vaultd.sandbox.browser import Browser
from vaultd.sandbox.dev_config import SAMPLE_AGENT
from vaultd.sandbox.loopback import loopback_http
from vaultd.sandbox.world import World


@pytest.fixture
def back(world: World) -> str:
    return f"{world.places.agent}/connected"


@pytest_asyncio.fixture
async def browser(back: str) -> AsyncIterator[Browser]:
    async with Browser(stop_at=(back,)) as opened:
        yield opened


@pytest_asyncio.fixture
async def signed_in(world: World, browser: Browser) -> Browser:
    await browser.open(f"{world.places.vault}/connections")
    page = await browser.click("Carol")
    assert page.url == f"{world.places.vault}/connections"
    assert page.status == 200
    return browser


def _door(world: World, provider: str = "github", **query: str) -> str:
    return f"{world.places.vault}/auth/connect/{provider}?{urlencode(query)}"


async def test_the_door_signs_in_connects_and_goes_back(world: World, browser: Browser, back: str) -> None:
    url = _door(world, client_id=SAMPLE_AGENT, return_to=back, scope="repo", login_hint="bob@example.com")
    page = await browser.open(url)
    assert page.url.startswith(world.places.issuer)
    page = await browser.click("Bob")
    assert page.url == url
    assert "Let sample-agent use your GitHub account?" in page.text
    page = await browser.click("Continue to GitHub")
    assert page.url.startswith(world.places.providers["github"]), page.text
    await browser.click("Bob")
    page = await browser.click("Allow")
    assert page.url.startswith(back + "?"), page.text
    assert query_of(page.url) == {"connection": "github", "status": "connected"}


async def test_the_sign_in_is_code_with_pkce_state_and_nonce(vault: Vault) -> None:
    answer = await vault.http.get("/auth/login")
    query = query_of(answer.headers["location"])
    assert answer.status_code == 303
    assert query["response_type"] == "code"
    assert query["code_challenge_method"] == "S256"
    assert min(len(query[name]) for name in ("state", "nonce", "code_challenge")) >= 22


async def test_a_refusal_goes_back_as_an_error(world: World, signed_in: Browser, back: str) -> None:
    await signed_in.open(_door(world, "slack", return_to=back))
    await signed_in.click("Continue to Slack")
    await signed_in.click("Carol")
    query = query_of((await signed_in.click("Deny")).url)
    assert query.pop("error_description")
    assert query == {"connection": "slack", "status": "error", "error": "access_denied"}


async def test_the_page_shows_connects_and_disconnects(world: World, signed_in: Browser) -> None:
    await signed_in.click("Connect Google Calendar")
    await signed_in.click("Continue to Google Calendar")
    await signed_in.click("Carol")
    page = await signed_in.click("Allow")
    assert page.url.startswith(f"{world.places.vault}/connections?")
    assert "Google Calendar is connected." in page.text
    page = await signed_in.click("Disconnect Google Calendar (carol@example.com)")
    assert "carol@example.com at Google Calendar will not be connected any more." in page.text
    page = await signed_in.click("Disconnect Google Calendar")
    assert page.url == f"{world.places.vault}/connections?status=disconnected&connection=google"
    assert "Google Calendar is disconnected. No agent can use that account any more." in page.text
    assert "Connect Google Calendar" in page.links
    family = world.providers["google"].grants.families[-1]
    assert family.person.login == "carol"


def _disguised(back: str) -> list[str]:
    port = str(httpx.URL(back).port)
    return [
        "https://evil.example/",
        "//evil.example/",
        "///evil.example/",
        "/\\evil.example",
        "\\\\evil.example",
        "javascript:alert(1)",
        "data:text/html,x",
        "/connections/../auth/logout",
        "//evil.example/connections",
        "/connections@evil.example",
        "https:/connections",
        back.replace("http://", "http://evil.example@"),
        back.replace("127.0.0.1", "127.0.0.1.evil.example"),
        back.replace(port, "1"),
        back.replace("http", "HTTP"),
        back.replace("http", "https"),
        back.replace("connected", "Connected"),
        back.replace("connected", "%63onnected"),
        back + "/",
        back + "?next=https://evil.example",
        back + "#x",
        back + "\r\nSet-Cookie: a=b",
        back + "\x00",
        " " + back,
        back + " ",
    ]


async def test_b4_no_return_to_but_the_listed_ones(world: World, signed_in: Browser, back: str) -> None:
    for client in (signed_in.http, loopback_http()):
        for other in (*_disguised(back), ""):
            answer = await client.get(f"{world.places.vault}/auth/connect/github?return_to={quote(other, safe='')}")
            assert answer.status_code == 400, other
            assert "location" not in answer.headers
        await client.aclose()


async def test_b4_sign_in_continues_only_here(world: World, back: str) -> None:
    for other in (
        *_disguised(back),
        "/auth/connect/../login",
        "/auth/connect/%2e%2e/login",
        "/auth/connect\\evil",
        "/auth/login",
        "/v1/audit/events",
    ):
        async with Browser(stop_at=(back,)) as browser:
            await browser.open(f"{world.places.vault}/auth/login?continue={quote(other, safe='')}")
            page = await browser.click("Carol")
            assert page.url.startswith(f"{world.places.vault}/connections"), other


@pytest.mark.parametrize(
    "path",
    ["nowhere", "github%00", "%00", "github?client_id=nobody", "github?client_id=%00", "github?scope=admin%3Aorg"],
)
async def test_a_door_that_leads_nowhere_is_400(world: World, signed_in: Browser, path: str) -> None:
    answer = await signed_in.http.get(f"{world.places.vault}/auth/connect/{path}")
    assert answer.status_code in {400, 404}, answer.text
    assert "location" not in answer.headers


async def test_b1_a_doors_callback_needs_the_session_that_began(world: World, back: str) -> None:
    stop = f"{world.places.vault}/auth/callback/"
    async with Browser(stop_at=(stop,)) as browser:
        await browser.open(_door(world, return_to=back))
        await browser.click("Carol")  # at the issuer
        await browser.click("Continue to GitHub")
        await browser.click("Carol")  # at the provider
        page = await browser.click("Allow")
        assert page.url.startswith(stop)
        before = world.providers["github"].calls["redeem"]
        session = browser.http.cookies.pop("vaultd_session")
        assert session
        answer = await browser.http.get(page.url)
        assert answer.status_code == 403
        assert world.providers["github"].calls["redeem"] == before


async def test_b7_signing_out_ends_the_session_on_the_server(world: World, signed_in: Browser) -> None:
    page = f"{world.places.vault}/connections"
    kept = {"Cookie": f"vaultd_session={signed_in.http.cookies['vaultd_session']}"}
    async with loopback_http() as thief:
        assert (await thief.get(page, headers=kept)).status_code == 200
        left = await signed_in.click("Sign out")
        # Not at the issuer, which would sign them in again; the way there is a link.
        assert left.url == f"{world.places.vault}/auth/signed-out"
        assert f"{world.places.issuer}/end_session?client_id=vaultd" in left.links.values()
        assert "vaultd_session" not in signed_in.http.cookies
        assert (await thief.get(page, headers=kept)).status_code == 303


async def test_b7_the_session_changes_at_sign_in(world: World, signed_in: Browser) -> None:
    first = signed_in.http.cookies["vaultd_session"]
    await signed_in.open(f"{world.places.vault}/auth/login")
    await signed_in.click("Carol")
    assert signed_in.http.cookies["vaultd_session"] != first
    async with loopback_http() as thief:
        old = await thief.get(f"{world.places.vault}/connections", headers={"Cookie": f"vaultd_session={first}"})
    assert old.status_code == 303


@pytest.mark.parametrize("form", [{}, {"csrf": ""}, {"csrf": "x"}, {"csrf": "é"}, {"other": "x"}], ids=str)
async def test_b7_a_form_without_its_token_is_refused(world: World, signed_in: Browser, form: dict[str, str]) -> None:
    vault = world.places.vault
    for path in ("/auth/logout", "/connections/00000000-0000-4000-8000-000000000000/disconnect"):
        assert (await signed_in.http.post(vault + path, data=form)).status_code in {400, 403}
    assert (await signed_in.http.get(f"{vault}/connections")).status_code == 200


async def test_b7_another_sessions_token_is_refused(world: World, signed_in: Browser) -> None:
    async with Browser() as other:
        await other.open(f"{world.places.vault}/connections")
        page = await other.click("Bob")
    csrf = page.forms[0].fields["csrf"]
    answer = await signed_in.http.post(f"{world.places.vault}/auth/logout", data={"csrf": csrf})
    assert answer.status_code in {400, 403}


async def test_b7_cookies_and_headers(world: World, vault: Vault) -> None:
    answer = await vault.http.get("/auth/login")
    (cookie,) = answer.headers.get_list("set-cookie")
    assert {"HttpOnly", "Path=/", "SameSite=lax"} <= {part.strip() for part in cookie.split(";")}
    policy = answer.headers["content-security-policy"]
    assert "unsafe-inline" not in policy
    assert "frame-ancestors 'none'" in policy
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] == "no-referrer"


@pytest.mark.parametrize(
    "query", ["", "?state=x&code=y", "?error=access_denied", "?state=%00&code=%00", "?state=%ff&code=%ff"]
)
async def test_b8_a_sign_in_that_nobody_began_is_refused(vault: Vault, query: str) -> None:
    answer = await vault.http.get(f"/auth/login/callback{query}")
    assert answer.status_code == 400
    assert "vaultd_session" not in str(answer.headers.get_list("set-cookie"))
