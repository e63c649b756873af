"""What `connect` lets through to a provider, and what `complete` takes for an answer (api.md §2)."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from tests.doubles.acting import ENTRIES
from tests.doubles.stage import Stage
from tests.wire.vault import App, query_of, ticket_url
from vaultd.providers.config_requests import OWN_PARAMS
from vaultd.sandbox.loopback import loopback_http

USUAL = ("prompt", "login_hint")
"""What is allowed where an entry says nothing."""


def pointers(answer: httpx.Response) -> list[str]:
    return [error["pointer"] for error in answer.json()["validation_errors"]]


@pytest.mark.parametrize("name", sorted(ENTRIES))
async def test_api_2_authorization_params_are_those_of_the_catalogue(stage: Stage, name: str) -> None:
    entry = ENTRIES[name]
    allowed = tuple(entry.get("allowed_authorization_params", USUAL))
    wanted = {parameter: f"made up & for {parameter}=" for parameter in allowed}
    async with stage.app() as app, loopback_http() as browser:
        plain = await app.begin(name)
        begun = await app.begin(name, authorization_params=wanted)
        assert (plain.status_code, begun.status_code) == (201, 201), begun.text
        without, with_them = [
            query_of((await browser.get(ticket_url(each))).headers["location"]) for each in (plain, begun)
        ]
        # They are there as they were given, and nothing else is other than without them.
        assert with_them.items() >= wanted.items()
        once = {"state", "code_challenge", "nonce"}
        assert {each for each in with_them if with_them[each] != without.get(each)} - once == set(wanted)
        settings = entry.get("connection_settings", {})
        others = sorted({*OWN_PARAMS, *USUAL, "audience", "claims", "made_up", "dpop_jkt"} - {*allowed, *settings})
        refused = await app.begin(name, authorization_params=dict.fromkeys(others, "x") | wanted)
        assert refused.status_code == 400
        assert pointers(refused) == [f"/authorization_params/{each}" for each in others]
        assert "made_up" in refused.json()["detail"]


@pytest.mark.parametrize(
    ("changes", "pointer"),
    [
        ({"authorization_params": {"prompt": 1}}, "/authorization_params/prompt"),
        ({"authorization_params": {"prompt": ["consent"]}}, "/authorization_params/prompt"),
        ({"authorization_params": {"prompt": None}}, "/authorization_params/prompt"),
        ({"authorization_params": {"prompt": ""}}, "/authorization_params/prompt"),
        ({"authorization_params": {"prompt": "x" * 2049}}, "/authorization_params/prompt"),
        ({"authorization_params": [["prompt", "x"]]}, "/authorization_params"),
        ({"authorization_params": "prompt=x"}, "/authorization_params"),
        ({"authorization_params": {"": "x"}}, "/authorization_params/"),
        ({"authorization_params": {"<script>": "x"}}, "/authorization_params/<script>"),
        ({"authorization_params": {"k" * 30_000: "x"}}, "/authorization_params/" + "k" * 64),
    ],
    ids=lambda value: str(value)[:60],
)
async def test_api_2_authorization_params_of_no_use_are_400(app: App, changes: dict[str, Any], pointer: str) -> None:
    refused = await app.begin(**changes)
    assert refused.status_code == 400
    assert pointers(refused) == [pointer]
    assert len(refused.content) < 1024
    assert "<script>" not in refused.json()["detail"]


BAD: list[tuple[dict[str, Any], list[str]]] = [
    *[({name: None}, [f"/{name}"]) for name in ("auth_session", "connect_code", "redirect_uri")],
    *[({name: ""}, [f"/{name}"]) for name in ("auth_session", "connect_code", "redirect_uri", "code_verifier")],
    *[({name: 7}, [f"/{name}"]) for name in ("auth_session", "connect_code", "redirect_uri", "code_verifier")],
    *[({name: ["x"]}, [f"/{name}"]) for name in ("auth_session", "connect_code", "redirect_uri")],
    *[({name: {"x": "y"}}, [f"/{name}"]) for name in ("auth_session", "connect_code", "redirect_uri")],
    *[({name: True}, [f"/{name}"]) for name in ("auth_session", "connect_code", "redirect_uri")],
    *[({name: "x" * 2049}, [f"/{name}"]) for name in ("auth_session", "connect_code", "redirect_uri")],
    ({"code_verifier": "x" * 42}, ["/code_verifier"]),
    ({"code_verifier": "x" * 43 + "\n"}, ["/code_verifier"]),
    ({"auth_session": 1, "connect_code": 2, "redirect_uri": 3}, ["/auth_session", "/connect_code", "/redirect_uri"]),
]


@pytest.mark.parametrize(("changes", "wrong"), BAD, ids=lambda value: str(value)[:60])
async def test_api_2_complete_says_which_member_is_none(app: App, changes: dict[str, Any], wrong: list[str]) -> None:
    completion = {"auth_session": "x", "connect_code": "x", "redirect_uri": app.redirect_uri}
    body = {name: value for name, value in {**completion, **changes}.items() if value is not None}
    refused = await app.http.post("complete", json=body)
    assert refused.status_code == 400
    assert pointers(refused) == wrong


async def test_api_2_a_code_is_none_until_it_is_the_one_that_came(app: App, other_app: App) -> None:
    """What looks like a code and is none uses nothing up; members that are not known are nothing to us."""
    begun = await app.begin()
    code = (await app.returned(begun))["connect_code"]
    ticket = begun.json()["connect_params"]["ticket"]
    for wrong in (
        code[:-1],
        code + "x",
        f" {code}",
        code.swapcase(),
        ticket,
        begun.json()["auth_session"],
        "\x00",
        "é",
    ):
        refused = await app.complete(begun, wrong)
        assert (refused.status_code, refused.json()["type"]) == (400, "urn:vaultd:error:consent_refused")
        assert refused.json()["detail"] == "This link is no longer valid. Start again from your app."
    assert (await app.complete(begun, code, status="connected", colour=["red"])).status_code == 201
    again = await app.complete(begun, code)
    # To others the same as for a code that never was.
    assert again.content == (await other_app.complete(begun, code)).content


async def test_api_2_another_consent_of_the_same_user_does_not_lend_its_session(app: App) -> None:
    one, other = await app.begin(), await app.begin("slack")
    code = (await app.returned(one))["connect_code"]
    refused = await app.complete(other, code)
    assert (refused.status_code, refused.json()["type"]) == (400, "urn:vaultd:error:consent_refused")
    assert (await app.complete(one, code)).status_code == 400
    assert (await app.http.get("accounts")).json() == {"accounts": []}


async def test_api_2_connect_without_a_browser_that_came_back_has_no_code(app: App) -> None:
    begun = await app.begin()
    for guess in (begun.json()["connect_params"]["ticket"], "x"):
        assert (await app.complete(begun, guess)).status_code == 400
    # Nothing of that keeps the browser from going on.
    assert (await app.complete(begun, (await app.returned(begun))["connect_code"])).status_code == 201
