"""What providers answer, read warily (security C2): what is an error, what is a grant, who the account is.

Nothing a provider wrote reaches a log or an exception before `_told` has taken out whatever may be a token.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import parse_qsl, quote, quote_plus

from vaultd.errors import OutboundFailed, ProviderRefused, ProviderUnavailable
from vaultd.outbound import Reply
from vaultd.providers.config import ProviderConfig
from vaultd.terms import Scopes, Secret

GRANT_IS_GONE = frozenset({"invalid_grant", "bad_refresh_token", "invalid_refresh_token", "token_revoked"})
"""The `error` values that mean, after a refresh, that the user must connect again; not all providers say it alike."""

_FOR_NOW = frozenset(
    {"temporarily_unavailable", "server_error", "slow_down", "ratelimited", "rate_limited", "internal_error"}
    | {"service_unavailable", "fatal_error"}
)
_FOR_NOW_STATUS = frozenset({408, 425, 429})
_SERVER_ERROR = 500
_CLIENT_ERROR = 400
_REDIRECT = 300
_SUCCESS = 200
_UNAUTHORIZED = 401
_LONGEST_LIFETIME = 10 * 365 * 86_400
_LONGEST_PAUSE = 86_400
_MOST_FIELDS = 100

_ERROR = re.compile(r"[A-Za-z][A-Za-z0-9_.:/-]{0,63}")
_VISIBLE = re.compile(r"[\x20-\x7e]+")  # RFC 6749 §A.12 and §A.17
_SCOPE = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]+")  # RFC 6749 §3.3
_UNPRINTABLE = re.compile(r"[^\x20-\x7e]+")
# A long run with a digit in it, or an overlong one of anything: words and error codes are neither.
_TOKEN_LIKE = re.compile(r"(?=[^\s'\"<>]{0,200}\d)[^\s'\"<>]{16,}|[^\s'\"<>]{40,}")
_BESIDE_TOKEN = ("instance_url", "api_domain")
"""What some providers send beside the token because each account's API has an address of its own."""


@dataclass(frozen=True, slots=True)
class Grant:
    """A provider's tokens for one account.

    `expires_in` is in seconds; it and `scopes` are None where the provider said nothing (for scopes, RFC 6749 §5.1
    and §6: as asked for, or as before). `metadata` is what an API call needs beside the token.
    """

    access_token: Secret
    refresh_token: Secret | None
    expires_in: int | None
    scopes: Scopes | None
    metadata: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Account:
    """Who the token acts as at the provider: the immutable id there, and a name that its owner knows."""

    id: str
    label: str


def read_answer(reply: Reply, *, sent: Iterable[Secret | None], now: datetime) -> dict[str, Any]:
    """The members of an answer that is no error. `sent` are the secrets of the request, never to be repeated.

    Raises:
        ProviderUnavailable: 5xx, 429 and their like, a redirect, or something that is no answer of an OAuth server.
        ProviderRefused: an OAuth error, whatever the status (GitHub and Slack send theirs with 200).
    """
    _check_available(reply, now)
    members = _members(reply)
    _check_no_error(reply, members, sent, now)
    if members is None or reply.status >= _CLIENT_ERROR:
        raise ProviderUnavailable(
            detail=f"status {reply.status} and no OAuth answer", retry_after=_retry_after(reply, now)
        )
    return members


def read_revocation(reply: Reply, *, sent: Iterable[Secret | None], now: datetime) -> None:
    """Return when the token is gone. Raises as `read_answer` does."""
    _check_available(reply, now)
    members = _members(reply)
    if members is not None and members.get("error") in {"invalid_token", "token_revoked", "token_expired"}:
        return  # RFC 7009 §2.2 wants 200 for a token that is gone already; Google and Slack send these
    _check_no_error(reply, members, sent, now)
    if reply.status >= _CLIENT_ERROR:
        raise ProviderUnavailable(
            detail=f"status {reply.status} and no OAuth answer", retry_after=_retry_after(reply, now)
        )


def read_grant(members: Mapping[str, Any]) -> Grant:
    """The tokens in a token endpoint's answer (RFC 6749 §5.1).

    Raises:
        ProviderUnavailable: there is no usable token in it.
        ProviderRefused: `unsupported_token_type`, a token that is not used as a bearer token.
    """
    source = _person(members)
    access_token = _token(source, "access_token")
    if access_token is None:
        raise ProviderUnavailable(detail="the answer has no usable access_token")
    token_type = source.get("token_type") or "bearer"
    # Slack names the kind of its bearer tokens.
    accepted = {"bearer", "bot", "user"} if members.get("ok") is True else {"bearer"}
    if not isinstance(token_type, str) or token_type.lower() not in accepted:
        raise ProviderRefused("unsupported_token_type", detail="the token_type is not bearer")  # RFC 6749 §7.1
    return Grant(
        access_token=access_token,
        refresh_token=_token(source, "refresh_token"),
        expires_in=_lifetime(source.get("expires_in")),
        scopes=_scopes(source.get("scope")),
        metadata={name: value for name in _BESIDE_TOKEN if (value := _text(members.get(name)))},
    )


def read_account(members: Mapping[str, Any], config: ProviderConfig) -> Account:
    """The account in a userinfo answer; a field name may be a path such as `user.id`.

    Raises:
        ProviderUnavailable: the field that holds the account's id is not in the answer.
    """
    account_id = _text(_at(members, config.account_id_field))
    if account_id is None:
        raise ProviderUnavailable(detail=f"userinfo has no {config.account_id_field}")
    labels = (_text(_at(members, name)) for name in config.account_label_fields)
    return Account(id=account_id, label=next((label for label in labels if label), account_id))


def _check_available(reply: Reply, now: datetime) -> None:
    status = reply.status
    if status >= _SERVER_ERROR or status in _FOR_NOW_STATUS:
        raise ProviderUnavailable(detail=f"status {status}", retry_after=_retry_after(reply, now))
    if not _SUCCESS <= status < _REDIRECT and status < _CLIENT_ERROR:
        # Followed, it would hand the client secret to wherever it points.
        raise ProviderUnavailable(detail=f"status {status}, a redirect, is not followed")


def _check_no_error(
    reply: Reply, members: Mapping[str, Any] | None, sent: Iterable[Secret | None], now: datetime
) -> None:
    error = _error(members or {}, sent)
    if error is None and reply.status == _UNAUTHORIZED:
        error = "invalid_token" if members is None else _error({"error": "invalid_token"}, ())
    if error is None:
        return
    detail = _told((members or {}).get("error_description"), sent)
    if error in _FOR_NOW:
        raise ProviderUnavailable(detail=f"{error} {detail}".strip(), retry_after=_retry_after(reply, now))
    raise ProviderRefused(error, detail=detail)
