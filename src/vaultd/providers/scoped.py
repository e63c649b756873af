"""GitHub's "Create a scoped access token": of a user's token, one for some repositories and permissions.

https://docs.github.com/en/rest/apps/apps#create-a-scoped-access-token
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from vaultd.errors import OutboundFailed, ProviderRefused, ProviderUnavailable
from vaultd.outbound import Reply
from vaultd.providers.answers import LONGEST_LIFE, Grant
from vaultd.providers.config import ProviderConfig
from vaultd.providers.issued import Issued
from vaultd.providers.received import bounded_scopes, received_token, sendable_token
from vaultd.providers.replies import read_answer, unverified_members
from vaultd.providers.sender import Sender, merged
from vaultd.providers.templates import CLIENT_ID
from vaultd.providers.told import telling
from vaultd.providers.words import error_text
from vaultd.terms import Clock, Narrowing, Secret, Verdict

_REFUSALS = {401: "invalid_client", 403: "access_denied", 404: "invalid_token", 422: "invalid_scope"}
"""By status, as its answers carry no error's name. 404 is for a token that is none, or not of this app."""


class ScopedTokens:
    """Asks for them. Keeps nothing."""

    def __init__(self, *, sender: Sender, clock: Clock) -> None:
        self._sender = sender
        self._clock = clock

    async def get(
        self,
        config: ProviderConfig,
        *,
        access_token: Secret,
        narrowing: Narrowing,
        issued: Callable[[Issued], None],
    ) -> Grant:
        """A token that is good for no more than this. The one it is asked for with stays as it is.

        `issued` is told of it before anything else in the answer is looked at.

        Raises:
            ProviderUnavailable: no usable answer came.
            ProviderRefused: `invalid_token` for the token that it is asked for with, `invalid_scope` for what is asked
                for, or another of `_REFUSALS`; `unsupported` where the provider's table has no such way.
        """
        if config.narrowing_endpoint is None or config.client_secret is None:
            raise ProviderRefused("unsupported", detail="no narrowing_endpoint")
        reply = await self._sender.call(
            "POST",
            config.narrowing_endpoint.replace(f"{{{CLIENT_ID}}}", quote(config.client_id, safe="")),
            config,
            headers=merged({"accept": "application/vnd.github+json"}, config.token_headers),
            basic=(config.client_id, config.client_secret),
            json=_body(access_token, narrowing),
        )
        token = sendable_token(unverified_members(reply), "token")
        if token is not None:
            issued(Issued(token, None))
        sent = (access_token, config.client_secret)
        with telling(reply, config, sent):
            _check_refusal(reply, sent)
            return _read(read_answer(reply, config, sent=sent, now=self._clock()), self._clock())


def _body(access_token: Secret, narrowing: Narrowing) -> dict[str, Any]:
    body: dict[str, Any] = {"access_token": access_token.reveal(), "target": narrowing.target}
    if narrowing.repositories:
        body["repositories"] = list(narrowing.repositories)
    levels = (permission.partition(":") for permission in narrowing.permissions)
    return body | {"permissions": {name: level for name, _, level in levels}}


def _check_refusal(reply: Reply, sent: tuple[Secret, ...]) -> None:
    error = _REFUSALS.get(reply.status)
    # Rate limits are 403 as well, and say when to come again.
    if error is None or "retry-after" in reply.headers or reply.headers.get("x-ratelimit-remaining") == "0":
        return
    verdict = Verdict.APP if error == "invalid_client" else Verdict.UNKNOWN
    raise ProviderRefused(error, detail=f"status {reply.status} {_message(reply, sent)}".strip(), verdict=verdict)


def _message(reply: Reply, sent: tuple[Secret, ...]) -> str:
    try:
        answer = reply.json()
    except OutboundFailed:
        return ""
    return error_text(answer.get("message"), sent) if isinstance(answer, dict) else ""


def _read(members: Any, now: datetime) -> Grant:
    token, installation = received_token(members, "token"), members.get("installation")
    permissions = installation.get("permissions") if isinstance(installation, dict) else None
    if token is None:
        raise ProviderUnavailable(detail="the answer has no usable token", outage=False)
    # What it may do is why it was asked for: without a word about that it cannot be handed on (A7).
    if not isinstance(permissions, dict) or not all(isinstance(level, str) for level in permissions.values()):
        raise ProviderUnavailable(detail="the answer does not say what the token may do", outage=False)
    return Grant(
        access_token=token,
        refresh_token=None,
        expires_in=_life(members.get("expires_at"), now),
        scopes=bounded_scopes([f"{name}:{level}" for name, level in permissions.items()]),
    )


def _life(expires_at: object, now: datetime) -> int | None:
    """Seconds until a moment of RFC 3339; None where there is none, as of an app whose tokens do not end."""
    if expires_at is None:
        return None
    try:
        ends = datetime.fromisoformat(str(expires_at))
    except ValueError:
        raise ProviderUnavailable(detail="the answer's expires_at is not readable", outage=False) from None
    seconds = ((ends if ends.tzinfo else ends.replace(tzinfo=UTC)) - now).total_seconds()
    return min(max(int(seconds), 0), LONGEST_LIFE)
