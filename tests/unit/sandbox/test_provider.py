"""The sandbox provider: its pages, its token endpoint, revocation."""

from __future__ import annotations

import pytest

from tests.unit.sandbox.conftest import (
    BASE,
    CALLBACK,
    CLIENT,
    CLIENT_SECRET,
    HandClock,
    ProviderClient,
    make_provider,
)
from vaultd.sandbox.provider import SandboxProvider
from vaultd.terms import Scopes


async def tokens(client: ProviderClient) -> dict[str, str]:
    back = await client.consent("Alice", "Allow")
    body: dict[str, str] = (await client.redeem(back["code"])).json()
    return body


async def test_a_person_allows_and_the_client_gets_tokens(client: ProviderClient, provider: SandboxProvider) -> None:
    back = await client.consent("Alice", "Allow")
    assert back["state"] == "a state & more"
    assert back["iss"] == BASE
    answer = await client.redeem(back["code"])
    body = answer.json()
    assert answer.headers["cache-control"] == "no-store"
    assert (body["token_type"], body["expires_in"], body["scope"]) == ("Bearer", 60, "read:user repo")
    who = (await client.call("/userinfo", body["access_token"])).json()
    assert (who["sub"], who["email"]) == ("github-1001", "alice@example.com")
    assert provider.calls == {"authorize": 1, "redeem": 1, "userinfo": 1}


async def test_the_pages_list_people_and_scopes(client: ProviderClient) -> None:
    page = await client.browser.open(client.authorize_url())
    assert page.title == "Sign in · GitHub"
    assert page.choices() == ["Alice", "Bob", "Carol", "Cancel"]
    page = await client.browser.click("Bob")
    assert "You are signed in as Bob (bob@example.com)." in page.text
    assert "See your profile read:user" in page.text
    assert page.choices() == ["Allow", "Deny"]


@pytest.mark.parametrize("hint", ["carol", "Carol@example.com"])
async def test_login_hint_puts_the_person_first(client: ProviderClient, hint: str) -> None:
    page = await client.browser.open(client.authorize_url(login_hint=hint))
    assert page.choices()[0] == "Carol"
    assert page.body.count("autofocus") == 1


async def test_everything_on_a_page_is_escaped(client: ProviderClient) -> None:
    await client.browser.open(client.authorize_url(scope='<script>alert(1)</script> "><b>'))
    page = await client.browser.click("Alice")
    assert "<script>" not in page.body
    assert "<b>" not in page.body
    assert "<script>alert(1)</script>" in page.text


@pytest.mark.parametrize("clicks", [("Cancel",), ("Alice", "Deny")])
async def test_no_comes_back_as_access_denied(client: ProviderClient, clicks: tuple[str, ...]) -> None:
    back = await client.consent(*clicks)
    assert (back["error"], back["state"], back["iss"]) == ("access_denied", "a state & more", BASE)


async def test_withheld_scopes_are_not_granted(client: ProviderClient, provider: SandboxProvider) -> None:
    provider.withheld = Scopes(["repo"])
    body = await tokens(client)
    assert body["scope"] == "read:user"


@pytest.mark.parametrize(
    "changes", [{"client_id": "stranger"}, {"redirect_uri": CALLBACK + "/x"}, {"redirect_uri": "javascript:alert(1)"}]
)
async def test_an_unknown_app_is_told_to_the_person_only(client: ProviderClient, changes: dict[str, str]) -> None:
    page = await client.browser.open(client.authorize_url(**changes))
    assert page.status == 400
    assert page.url.startswith(BASE)


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"response_type": "token"}, "unsupported_response_type"),
        ({"code_challenge": None}, "invalid_request"),
        ({"code_challenge_method": "plain"}, "invalid_request"),
    ],
)
async def test_a_bad_request_goes_back_to_the_app(
    client: ProviderClient, changes: dict[str, str | None], error: str
) -> None:
    assert (await client.consent(**changes))["error"] == error


async def test_pages_cannot_be_skipped_or_used_twice(client: ProviderClient) -> None:
    page = await client.browser.open(client.authorize_url())
    ticket = page.forms[0].fields["ticket"]
    assert (await client.http.post("/consent", data={"ticket": ticket, "decision": "allow"})).status_code == 400
    assert (await client.http.get("/consent", params={"ticket": ticket})).status_code == 400
    assert (await client.http.post("/login", data={"ticket": ticket, "user": "mallory"})).status_code == 400
    await client.browser.click("Alice")
    await client.browser.click("Allow")
    assert (await client.http.post("/consent", data={"ticket": ticket, "decision": "allow"})).status_code == 400


@pytest.mark.parametrize(
    "changes", [{"code_verifier": "w" * 64}, {"code_verifier": ""}, {"redirect_uri": CALLBACK + "/"}, {"code": "x"}]
)
async def test_a_code_is_bound_to_its_request(client: ProviderClient, changes: dict[str, str]) -> None:
    back = await client.consent("Alice", "Allow")
    answer = await client.redeem(back["code"], **changes)
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_grant")


async def test_a_code_expires(client: ProviderClient, clock: HandClock) -> None:
    back = await client.consent("Alice", "Allow")
    clock.forward(60)
    assert (await client.redeem(back["code"])).json()["error"] == "invalid_grant"


async def test_a_code_used_twice_costs_its_tokens(client: ProviderClient) -> None:
    back = await client.consent("Alice", "Allow")
    body = (await client.redeem(back["code"])).json()
    assert (await client.redeem(back["code"])).status_code == 400
    assert (await client.call("/userinfo", body["access_token"])).status_code == 401
    assert (await client.refresh(body["refresh_token"])).status_code == 400


async def test_access_tokens_expire_and_are_refreshed(client: ProviderClient, clock: HandClock) -> None:
    first = await tokens(client)
    clock.forward(60)
    assert (await client.call("/user", first["access_token"])).status_code == 401
    second = (await client.refresh(first["refresh_token"])).json()
    assert second["refresh_token"] != first["refresh_token"]
    assert (await client.call("/user", second["access_token"])).json()["login"] == "alice"


async def test_reuse_of_a_refresh_token_voids_the_grant(client: ProviderClient, provider: SandboxProvider) -> None:
    first = await tokens(client)
    second = (await client.refresh(first["refresh_token"])).json()
    again = await client.refresh(first["refresh_token"])
    assert (again.status_code, again.json()["error"]) == (400, "invalid_grant")
    assert (await client.call("/user", second["access_token"])).status_code == 401
    assert (await client.refresh(second["refresh_token"])).json()["error"] == "invalid_grant"
    assert provider.grants.families[0].reuse_detected
    assert provider.calls["refresh"] == 3


async def test_a_grace_forgives_reuse_for_a_while(clock: HandClock) -> None:
    provider = make_provider(clock=clock, reuse_grace=10)
    client = ProviderClient(provider)
    refresh_token = provider.issue(user="alice", client_id=CLIENT, scopes=["repo"])["refresh_token"]
    assert (await client.refresh(refresh_token)).status_code == 200
    clock.forward(10)
    assert (await client.refresh(refresh_token)).status_code == 200
    clock.forward(1)
    assert (await client.refresh(refresh_token)).status_code == 400


async def test_without_rotation_the_refresh_token_stays(clock: HandClock) -> None:
    provider = make_provider(clock=clock, rotate=False)
    client = ProviderClient(provider)
    issued = provider.issue(user="alice", client_id=CLIENT, scopes=["repo"])
    for _ in range(3):
        assert "refresh_token" not in (await client.refresh(issued["refresh_token"])).json()


async def test_scopes_narrow_but_never_widen(client: ProviderClient) -> None:
    first = await tokens(client)
    narrow = (await client.refresh(first["refresh_token"], scope="read:user")).json()
    assert narrow["scope"] == "read:user"
    assert (await client.call("/search/issues?q=is:pr", narrow["access_token"])).status_code == 403
    wide = await client.refresh(narrow["refresh_token"], scope="read:user admin")
    assert wide.json()["error"] == "invalid_scope"
    assert (await client.refresh(narrow["refresh_token"])).json()["scope"] == "read:user repo"


async def test_client_authentication(provider: SandboxProvider, client: ProviderClient) -> None:
    token = provider.issue(user="bob", client_id=CLIENT, scopes=["repo"])["refresh_token"]
    form = {"grant_type": "refresh_token", "refresh_token": token}
    wrong = await client.http.post("/token", data=form, auth=(CLIENT, "guess"))
    assert (wrong.status_code, wrong.json()["error"]) == (401, "invalid_client")
    assert wrong.headers["www-authenticate"].startswith("Basic")
    both = await client.http.post("/token", data=form | {"client_secret": CLIENT_SECRET})
    assert both.json()["error"] == "invalid_request"
    posted = form | {"client_id": CLIENT, "client_secret": CLIENT_SECRET}
    request = client.http.build_request("POST", "/token", data=posted)
    assert (await client.http.send(request, auth=None)).status_code == 200


@pytest.mark.parametrize("kind", ["text/plain", "application/json"])
async def test_only_forms_are_read(client: ProviderClient, kind: str) -> None:
    answer = await client.http.post("/token", content=b"grant_type=refresh_token", headers={"Content-Type": kind})
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")


async def test_unknown_grants_and_repeated_parameters(client: ProviderClient) -> None:
    unknown = await client.http.post("/token", data={"grant_type": "password"})
    assert unknown.json()["error"] == "unsupported_grant_type"
    twice = await client.http.post("/token", data={"grant_type": ["refresh_token", "refresh_token"]})
    assert twice.json()["error"] == "invalid_request"


async def test_revocation(provider: SandboxProvider, client: ProviderClient) -> None:
    kept = provider.issue(user="alice", client_id=CLIENT, scopes=["repo"])
    ended = provider.issue(user="alice", client_id=CLIENT, scopes=["repo"])
    for token in (ended["refresh_token"], "never seen"):
        assert (await client.http.post("/revoke", data={"token": token})).status_code == 200
    assert (await client.call("/user", ended["access_token"])).status_code == 401
    assert (await client.call("/user", kept["access_token"])).status_code == 200
    await client.http.post("/revoke", data={"token": kept["access_token"]})
    assert (await client.call("/user", kept["access_token"])).status_code == 401
    assert (await client.refresh(kept["refresh_token"])).status_code == 200
    foreign = provider.issue(user="alice", client_id="another", scopes=["repo"])
    assert (await client.http.post("/revoke", data={"token": foreign["refresh_token"]})).status_code == 400
    assert provider.calls["revoke"] == 4


async def test_a_person_withdraws_in_their_settings(provider: SandboxProvider, client: ProviderClient) -> None:
    hers = provider.issue(user="alice", client_id=CLIENT, scopes=["repo"])
    his = provider.issue(user="bob", client_id=CLIENT, scopes=["repo"])
    provider.withdraw("alice")
    assert (await client.refresh(hers["refresh_token"])).status_code == 400
    assert (await client.refresh(his["refresh_token"])).status_code == 200
