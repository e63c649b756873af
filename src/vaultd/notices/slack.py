"""Slack's event `tokens_revoked`.

https://api.slack.com/events/tokens_revoked and https://api.slack.com/authentication/verifying-requests-from-slack
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from vaultd.errors import NoticeRefused
from vaultd.notices.notice import Notice
from vaultd.notices.signature import check_hmac, read_object
from vaultd.terms import Secret

WINDOW = timedelta(minutes=5)
_SCHEME = "v0="
_LAST = 253_402_300_799  # the end of the year 9999


def read_slack(headers: Mapping[str, str], body: bytes, *, secret: Secret, now: datetime) -> Notice:
    """Raises `NoticeRefused`. Other events of the same subscription are believed and mean nothing here."""
    unverified, unverified_time = headers.get("x-slack-signature", ""), headers.get("x-slack-request-timestamp", "")
    if not unverified.startswith(_SCHEME):
        raise NoticeRefused(reason="no_signature")
    check_hmac(secret, b"v0:" + unverified_time.encode() + b":" + body, unverified.removeprefix(_SCHEME))
    # The time is signed with the body: what was heard long ago is somebody's replay.
    said = _moment(int(unverified_time)) if unverified_time.isascii() and unverified_time.isdigit() else None
    if said is None or abs(now - said) > WINDOW:
        raise NoticeRefused(reason="stale")
    document = read_object(body)
    if document.get("type") == "url_verification":
        challenge = document.get("challenge")
        return Notice(challenge=challenge if isinstance(challenge, str) else None)
    event = document.get("event")
    if not isinstance(event, dict) or event.get("type") != "tokens_revoked":
        return Notice()
    event_id, event_time = document.get("event_id"), document.get("event_time")
    happened = _moment(event_time) if isinstance(event_time, int) and not isinstance(event_time, bool) else None
    return Notice(
        accounts=_accounts(event.get("tokens"), document.get("team_id")),
        once=event_id if isinstance(event_id, str) else None,
        at=happened or said,
    )


def _accounts(tokens: Any, team_id: Any) -> tuple[str, ...]:
    """The ids of people (`oauth`) and of bots, alone and within their workspace, as a connection may have either.

    A bot's token is the workspace's, by which a connection with it may be known.
    """
    if not isinstance(tokens, dict):
        raise NoticeRefused(reason="malformed")
    lists = [tokens.get(kind) or [] for kind in ("oauth", "bot")]
    if not all(isinstance(ids, list) and all(isinstance(each, str) for each in ids) for ids in lists):
        raise NoticeRefused(reason="malformed")
    ids = [each for several in lists for each in several]
    if not isinstance(team_id, str):
        return tuple(ids)
    return (*ids, *(f"{team_id}:{each}" for each in ids), *([team_id] if lists[1] else []))


def _moment(seconds: int) -> datetime | None:
    return datetime.fromtimestamp(seconds, UTC) if 0 <= seconds <= _LAST else None
