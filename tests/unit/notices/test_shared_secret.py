"""GitHub's and Slack's notices: believed by their signature alone (issue 5, item 6)."""

from __future__ import annotations

import hashlib
import hmac
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from vaultd.errors import NoticeRefused
from vaultd.notices import Notice
from vaultd.notices.github import read_github
from vaultd.notices.slack import read_slack
from vaultd.terms import Secret

SECRET = Secret("a secret of the webhook's own")
NOW = datetime(2026, 11, 1, 12, tzinfo=UTC)


def signed(data: bytes, secret: Secret = SECRET) -> str:
    return hmac.new(secret.reveal().encode(), data, hashlib.sha256).hexdigest()


def github(body: bytes, **changes: str) -> dict[str, str]:
    return {
        "x-hub-signature-256": f"sha256={signed(body)}",
        "x-github-event": "github_app_authorization",
        "x-github-delivery": "72d3162e-cc78-11e3-81ab-4c9367dc0958",
    } | changes


NUMBERLESS = b'{"action": "revoked", "sender": {"id": true}}'
# From the payload that GitHub published on 2018-07-25 (developer.github.com/changes), shortened.
REVOKED = b'{"action": "revoked", "sender": {"login": "octocat", "id": 1, "type": "User", "site_admin": false}}'


def test_githubs_documented_example_is_read() -> None:
    # docs.github.com, "Validating webhook deliveries": secret, payload and signature as printed there.
    secret, body = Secret("It's a Secret to Everybody"), b"Hello, World!"
    signature = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"
    assert read_github({"x-hub-signature-256": signature, "x-github-event": "ping"}, body, secret=secret) == Notice()


def test_githubs_revocation_names_the_account() -> None:
    notice = read_github(github(REVOKED), REVOKED, secret=SECRET)
    assert (notice.accounts, notice.once) == (("1",), "72d3162e-cc78-11e3-81ab-4c9367dc0958")
    # Nothing that is signed tells one from its recording, so that all of it is known again.
    assert (notice.at, notice.wording) == (None, hashlib.sha256(REVOKED).hexdigest())


@pytest.mark.parametrize(
    ("headers", "body", "reason"),
    [
        ({}, REVOKED, "no_signature"),
        ({"x-hub-signature-256": "sha1=" + "0" * 40}, REVOKED, "no_signature"),
        (github(REVOKED, **{"x-hub-signature-256": "sha256=" + "0" * 64}), REVOKED, "bad_signature"),
        (github(REVOKED, **{"x-hub-signature-256": "sha256=ü"}), REVOKED, "bad_signature"),
        (github(REVOKED), REVOKED + b" ", "bad_signature"),
        (github(REVOKED), REVOKED.replace(b'"id": 1', b'"id": 2'), "bad_signature"),
        (github(b"[]"), b"[]", "malformed"),
        (github(b"{"), b"{", "malformed"),
        (github(b"[" * 60_000), b"[" * 60_000, "malformed"),
        (github(b'{"action": "revoked"}'), b'{"action": "revoked"}', "malformed"),
        (github(NUMBERLESS), NUMBERLESS, "malformed"),
    ],
)
def test_what_github_did_not_sign_is_refused(headers: dict[str, str], body: bytes, reason: str) -> None:
    with pytest.raises(NoticeRefused) as refused:
        read_github(headers, body, secret=SECRET)
    assert refused.value.reason == reason


def test_another_event_of_githubs_means_nothing() -> None:
    assert read_github(github(REVOKED, **{"x-github-event": "push"}), REVOKED, secret=SECRET) == Notice()
    other = REVOKED.replace(b"revoked", b"granted")
    assert read_github(github(other), other, secret=SECRET) == Notice()


def slack_body(**changes: Any) -> bytes:
    # The payload of api.slack.com/events/tokens_revoked.
    return json.dumps(
        {
            "token": "XXYYZZ",
            "team_id": "TXXXXXXXX",
            "api_app_id": "AXXXXXXXXX",
            "event": {"type": "tokens_revoked", "tokens": {"oauth": ["U1"], "bot": ["U2"]}},
            "type": "event_callback",
            "event_id": "EvXXXXXXXX",
            "event_time": int(NOW.timestamp()) - 2,
        }
        | changes
    ).encode()


def slack(body: bytes, at: datetime | str = NOW, secret: Secret = SECRET) -> dict[str, str]:
    moment = at if isinstance(at, str) else str(int(at.timestamp()))
    return {
        "x-slack-request-timestamp": moment,
        "x-slack-signature": "v0=" + signed(f"v0:{moment}:".encode() + body, secret),
    }


def test_slacks_documented_example_is_read() -> None:
    # api.slack.com, "Verifying requests from Slack": secret, time, body and signature as printed there.
    body = (
        b"token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V"
        b"&channel_name=foobar&user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text="
        b"&response_url=https%3A%2F%2Fhooks.slack.com%2Fcommands%2FT1DC2JH3J%2F397700885554"
        b"%2F96rGlfmibIGlgcZRskXaIFfN&trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c"
    )
    headers = {
        "x-slack-request-timestamp": "1531420618",
        "x-slack-signature": "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503",
    }
    secret = Secret("8f742231b10e8888abcd99yyyzzz85a5")
    now = datetime.fromtimestamp(1531420618, UTC)
    with pytest.raises(NoticeRefused) as refused:
        read_slack(headers, body, secret=secret, now=now)
    # The signature is good; that it is a slash command and no event is found behind it.
    assert refused.value.reason == "malformed"
    with pytest.raises(NoticeRefused) as refused:
        read_slack(headers, body + b"&", secret=secret, now=now)
    assert refused.value.reason == "bad_signature"


def test_slacks_revocation_names_people_and_bots() -> None:
    body = slack_body()
    notice = read_slack(slack(body), body, secret=SECRET, now=NOW)
    assert notice.accounts == ("U1", "U2", "TXXXXXXXX:U1", "TXXXXXXXX:U2", "TXXXXXXXX")
    assert (notice.once, notice.at) == ("EvXXXXXXXX", NOW - timedelta(seconds=2))


def test_slacks_revocation_of_a_person_leaves_the_workspaces_bot_alone() -> None:
    body = slack_body(event={"type": "tokens_revoked", "tokens": {"oauth": ["U1"], "bot": []}})
    assert read_slack(slack(body), body, secret=SECRET, now=NOW).accounts == ("U1", "TXXXXXXXX:U1")


def test_slack_is_given_its_challenge_back() -> None:
    body = json.dumps({"type": "url_verification", "challenge": "3eZbrw1aB", "token": "x"}).encode()
    assert read_slack(slack(body), body, secret=SECRET, now=NOW).challenge == "3eZbrw1aB"


@pytest.mark.parametrize("apart", [-301, 301, -86_400])
def test_a_slack_notice_of_another_time_is_refused(apart: int) -> None:
    body = slack_body()
    with pytest.raises(NoticeRefused) as refused:
        read_slack(slack(body, NOW + timedelta(seconds=apart)), body, secret=SECRET, now=NOW)
    assert refused.value.reason == "stale"


@pytest.mark.parametrize("moment", ["", "soon", "9" * 30, "-1", "٣"])
def test_a_slack_notice_without_a_time_is_refused(moment: str) -> None:
    body = slack_body()
    with pytest.raises(NoticeRefused) as refused:
        read_slack(slack(body, moment), body, secret=SECRET, now=NOW)
    assert refused.value.reason == "stale"


@pytest.mark.parametrize(
    ("body", "changes", "reason"),
    [
        (slack_body(), {"x-slack-signature": ""}, "no_signature"),
        (slack_body(), {"x-slack-signature": "v0="}, "bad_signature"),
        (slack_body(), {"x-slack-request-timestamp": "1"}, "bad_signature"),
        (b"null", {}, "malformed"),
        (slack_body(event={"type": "tokens_revoked", "tokens": ["U1"]}), {}, "malformed"),
        (slack_body(event={"type": "tokens_revoked", "tokens": {"oauth": [1]}}), {}, "malformed"),
        (slack_body(event={"type": "tokens_revoked", "tokens": {"oauth": "U1"}}), {}, "malformed"),
    ],
)
def test_what_slack_did_not_sign_is_refused(body: bytes, changes: dict[str, str], reason: str) -> None:
    with pytest.raises(NoticeRefused) as refused:
        read_slack(slack(body) | changes, body, secret=SECRET, now=NOW)
    assert refused.value.reason == reason


def test_another_secret_does_not_do() -> None:
    body = slack_body()
    with pytest.raises(NoticeRefused):
        read_slack(slack(body, secret=Secret("somebody else's secret")), body, secret=SECRET, now=NOW)


def test_another_event_of_slacks_means_nothing() -> None:
    body = slack_body(event={"type": "app_uninstalled"})
    assert read_slack(slack(body), body, secret=SECRET, now=NOW) == Notice()
