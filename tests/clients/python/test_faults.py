"""Answers that no vault gives but something before it may: nothing of them is believed, followed or repeated at will.

No real server can be made to answer so; the answers are made up.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from email.utils import format_datetime

import httpx
import pytest

from tests.clients.python.conftest import Open
from tests.clients.python.speaking import again
from tests.support.clock import HandClock
from vaultd_client import (
    InteractionRequired,
    RateLimited,
    Retry,
    TemporarilyUnavailable,
    UnexpectedAnswer,
    VaultRefused,
    VaultUnreachable,
)

GOOD = {"access_token": "t", "token_type": "Bearer", "expires_in": 60, "scope": "", "connection": "github"}
NEEDED = {"error": "interaction_required", "error_description": "Act.", "reason": "new", "connection": "github"}


def answering(*answers: httpx.Response) -> tuple[httpx.MockTransport, list[httpx.Request]]:
    """One answer after the other, the last one for ever."""
    asked: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        return again(answers[min(len(asked), len(answers)) - 1])

    return httpx.MockTransport(answer), asked


NO_VAULT: Mapping[str, httpx.Response] = {
    "a page": httpx.Response(200, html="<h1>Welcome</h1>"),
    "a page that says no": httpx.Response(502, html="<h1>Bad gateway</h1>"),
    "a list": httpx.Response(200, json=["t"]),
    "no token": httpx.Response(200, json=GOOD | {"access_token": ""}),
    "a token of another kind": httpx.Response(200, json=GOOD | {"token_type": "DPoP"}),
    "no time": httpx.Response(200, json={name: value for name, value in GOOD.items() if name != "expires_in"}),
    "true as a time": httpx.Response(200, json=GOOD | {"expires_in": True}),
    "no connection": httpx.Response(200, json=GOOD | {"connection": None}),
    "an error under 200": httpx.Response(200, json={"error": "invalid_request"}),
    "a redirect": httpx.Response(307, headers={"Location": "https://elsewhere.example/oauth/token"}),
    "bytes in a wrong encoding": httpx.Response(
        200, content=b"\xff\xfe{", headers={"Content-Type": "application/json; charset=utf-8"}
    ),
}


@pytest.mark.parametrize("case", NO_VAULT)
async def test_an_answer_that_is_no_vaults(opened: Open, case: str) -> None:
    transport, asked = answering(NO_VAULT[case])
    with pytest.raises(UnexpectedAnswer) as failed:
        await opened(transport=transport).get(subject_token="a-session-token")
    assert len(asked) == 1
    assert "a-session-token" not in str(failed.value)


@pytest.mark.parametrize("failure", [httpx.ReadTimeout, httpx.ConnectError, httpx.RemoteProtocolError])
async def test_a_lost_answer_is_not_asked_for_again(opened: Open, failure: type[httpx.TransportError]) -> None:
    asked: list[httpx.Request] = []

    def fail(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        raise failure("lost", request=request)

    with pytest.raises(VaultUnreachable, match=f"{failure.__name__}: lost"):
        await opened(transport=httpx.MockTransport(fail)).get(subject_token="s")
    assert len(asked) == 1


@pytest.mark.parametrize(
    ("answer", "expected", "tries"),
    [
        # A proxy's own, without a word of OAuth.
        (httpx.Response(503, text="upstream", headers={"Retry-After": "1"}), TemporarilyUnavailable, 3),
        (httpx.Response(429, text="", headers={"Retry-After": "1"}), RateLimited, 3),
        (httpx.Response(503, text="upstream"), TemporarilyUnavailable, 1),
        (httpx.Response(429, headers={"Retry-After": "soon"}), RateLimited, 1),
        (httpx.Response(429, headers={"Retry-After": "-1"}), RateLimited, 1),
        (httpx.Response(429, headers=[(b"Retry-After", b"\xb2")]), RateLimited, 1),
        (httpx.Response(500, json={"error": "server_error"}, headers={"Retry-After": "1"}), VaultRefused, 1),
    ],
)
async def test_only_later_is_tried_again(
    opened: Open, answer: httpx.Response, expected: type[Exception], tries: int
) -> None:
    transport, asked = answering(answer)
    slept: list[float] = []
    with pytest.raises(expected) as refused:
        await opened(transport=transport, sleep=slept.append).get(subject_token="s")
    assert (type(refused.value), len(asked), slept) == (expected, tries, [1.0] * (tries - 1))


async def test_all_waiting_together_is_bounded(opened: Open) -> None:
    transport, asked = answering(httpx.Response(429, headers={"Retry-After": "4"}))
    slept: list[float] = []
    with pytest.raises(RateLimited):
        await opened(transport=transport, sleep=slept.append, retry=Retry(times=9, longest=10)).get(subject_token="s")
    assert (len(asked), slept) == (3, [4.0, 4.0])


async def test_a_date_is_as_good_as_a_number(opened: Open) -> None:
    """RFC 9110 §10.2.3."""
    clock, slept = HandClock(), list[float]()
    clock.now = clock.now.replace(microsecond=0)
    later = format_datetime(clock.now + timedelta(seconds=7), usegmt=True)
    transport, _ = answering(httpx.Response(503, headers={"Retry-After": later}), httpx.Response(200, json=GOOD))
    speaker = opened(transport=transport, clock=clock, sleep=slept.append)
    assert (await speaker.get(subject_token="s")).access_token == "t"
    assert slept == [7.0]


async def test_a_reason_of_a_later_version_is_still_a_user_who_must_act(opened: Open) -> None:
    transport, _ = answering(httpx.Response(400, json=NEEDED | {"connect_uri": "javascript:alert(1)"}))
    with pytest.raises(InteractionRequired) as needed:
        await opened(transport=transport).get(subject_token="s")
    assert (type(needed.value), needed.value.reason) == (InteractionRequired, "new")
    # What is no link of the web is not handed on to be clicked.
    assert needed.value.connect_uri == ""
