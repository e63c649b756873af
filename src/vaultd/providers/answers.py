"""What providers answer, read warily (security C2): what is an error, what is a grant, who the account is."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qsl

from vaultd.errors import OutboundFailed, ProviderRefused, ProviderUnavailable
from vaultd.outbound import Reply
from vaultd.providers.config import ProviderConfig
from vaultd.providers.words import error_code, error_text, label_text, plain_text
from vaultd.terms import Scopes, Secret

_FOR_NOW = frozenset(
    {
        "fatal_error",
        "internal_error",
        "rate_limited",
        "ratelimited",
        "server_error",
        "service_unavailable",
        "slow_down",
        "temporarily_unavailable",
    }
)
"""Errors that say nothing about the grant; some providers send them with 200 or 400."""
_GONE_ALREADY = frozenset({"invalid_token", "token_expired", "token_revoked"})
_FOR_NOW_STATUS = frozenset(
    {HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_EARLY, HTTPStatus.TOO_MANY_REQUESTS},
)
_BESIDE_TOKEN = ("instance_url", "api_domain")
"""Sent beside the token by providers where each account's API has an address of its own."""
_LONGEST_LIFE = 10 * 365 * 86_400
_LONGEST_PAUSE = 86_400
_MOST_MEMBERS = 100

_VISIBLE = re.compile(r"[\x20-\x7e]+")  # RFC 6749 §A.12 and §A.17
_SCOPE = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]+")  # RFC 6749 §3.3
_WHOLE_NUMBER = re.compile(r"-?[0-9]{1,12}(\.[0-9]{1,12})?")


@dataclass(frozen=True, slots=True)
class Grant:
    """A provider's tokens for one account.

    `refresh_token` is None where none came; after a refresh that means: keep the old one (RFC 6749 §6).
    `expires_in` is in seconds, 0 for a token that is over already. It and `scopes` are None where the provider said
    nothing; silence about scopes means those that were asked for, or had before (RFC 6749 §5.1, §6).
    `metadata` is what an API call needs beside the token.
    """

    access_token: Secret
    refresh_token: Secret | None
    expires_in: int | None
    scopes: Scopes | None
    metadata: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Account:
    """Whose token it is at the provider: the immutable id there, and a name that its owner knows."""

    id: str
    label: str


def read_answer(reply: Reply, *, sent: Collection[Secret], now: datetime) -> Mapping[str, Any]:
    """The members of an answer that is no error. `sent` are the request's secrets, which no error may repeat.

    Raises:
        ProviderUnavailable: 5xx, 429 and their like, a redirect, or something that no OAuth server answers.
        ProviderRefused: an OAuth error, whatever its status: GitHub and Slack send theirs with 200.
    """
    _check_status(reply, now)
    members = _members(reply)
    if members is None:
        raise _no_answer(reply, now)
    _check_no_error(reply, members, sent, now)
    if reply.status >= HTTPStatus.BAD_REQUEST:
        raise _no_answer(reply, now)
    return members


def read_revocation(reply: Reply, *, sent: Collection[Secret], now: datetime) -> None:
    """Return when the token is gone, also if it was gone before (RFC 7009 §2.2). Raises as `read_answer` does."""
    _check_status(reply, now)
    members = _members(reply) or {}
    if members.get("error") in _GONE_ALREADY:
        return  # instead of the RFC's 200: Google and Slack
    _check_no_error(reply, members, sent, now)
    if reply.status >= HTTPStatus.BAD_REQUEST:
        raise _no_answer(reply, now)


def read_grant(members: Mapping[str, Any]) -> Grant:
    """The tokens in a token endpoint's answer (RFC 6749 §5.1).

    Raises:
        ProviderUnavailable: there is no usable token in it.
        ProviderRefused: `unsupported_token_type`: not a bearer token, so of no use to an agent.
    """
    holder = _token_holder(members)
    access_token = _token(holder, "access_token")
    if access_token is None:
        raise ProviderUnavailable(detail="the answer has no usable access_token")
    # Slack names the owner's kind where others write "bearer".
    bearer = {"bearer", "bot", "user"} if members.get("ok") is True else {"bearer"}
    if str(holder.get("token_type") or "bearer").lower() not in bearer:
        raise ProviderRefused("unsupported_token_type", detail="token_type is not bearer")  # RFC 6749 §7.1
    return Grant(
        access_token=access_token,
        refresh_token=_token(holder, "refresh_token"),
        expires_in=_life(holder.get("expires_in")),
        scopes=_scopes(holder.get("scope")),
        metadata={name: text for name in _BESIDE_TOKEN if (text := plain_text(members.get(name)))},
    )


def read_account(members: Mapping[str, Any], config: ProviderConfig) -> Account:
    """The account in a userinfo answer. A field's name may be a path, such as `user.id`.

    Raises:
        ProviderUnavailable: the answer lacks the field with the account's id.
    """
    account_id = plain_text(_at(members, config.account_id_field))
    if account_id is None:
        raise ProviderUnavailable(detail=f"userinfo has no usable {config.account_id_field}")
    labels = (label_text(_at(members, name)) for name in config.account_label_fields)
    return Account(id=account_id, label=next(filter(None, labels), account_id))


def _check_status(reply: Reply, now: datetime) -> None:
    if reply.status >= HTTPStatus.INTERNAL_SERVER_ERROR or reply.status in _FOR_NOW_STATUS:
        raise ProviderUnavailable(detail=f"status {reply.status}", retry_after=_retry_after(reply, now))
    if HTTPStatus.MULTIPLE_CHOICES <= reply.status < HTTPStatus.BAD_REQUEST:
        # Followed, it would carry the client secret to wherever it points.
        raise ProviderUnavailable(detail=f"status {reply.status}: a redirect is not followed")


def _no_answer(reply: Reply, now: datetime) -> ProviderUnavailable:
    return ProviderUnavailable(
        detail=f"status {reply.status} without an OAuth answer", retry_after=_retry_after(reply, now)
    )


def _check_no_error(reply: Reply, members: Mapping[str, Any], sent: Collection[Secret], now: datetime) -> None:
    # Slack's `ok: false` is an error even where no `error` stands beside it.
    given = members.get("error") or ("unknown_error" if members.get("ok") is False else None)
    if given is None:
        return
    error = error_code(given, sent)
    detail = error_text(members.get("error_description"), sent)
    if error in _FOR_NOW:
        raise ProviderUnavailable(detail=f"{error} {detail}".strip(), retry_after=_retry_after(reply, now))
    raise ProviderRefused(error, detail=detail)


def _members(reply: Reply) -> dict[str, Any] | None:
    """The answer's members: JSON whatever the content type says, or a form where it says so; else None."""
    try:
        parsed = reply.json()
    except OutboundFailed:
        return _form(reply)
    return parsed if isinstance(parsed, dict) else None


def _form(reply: Reply) -> dict[str, Any] | None:
    content_type = reply.headers.get("content-type", "").partition(";")[0].strip().lower()
    if content_type not in {"application/x-www-form-urlencoded", "text/plain"}:
        return None
    try:
        members = dict(parse_qsl(reply.body.decode(), keep_blank_values=True, max_num_fields=_MOST_MEMBERS))
    except ValueError:
        return None
    # Any text reads as a form somehow; this one must be about tokens.
    return members if members.keys() & {"access_token", "error"} else None


def _token_holder(members: Mapping[str, Any]) -> Mapping[str, Any]:
    """Slack nests a person's token in `authed_user`; what lies beside it is the bot's."""
    person = members.get("authed_user")
    return person if isinstance(person, dict) and person.get("access_token") else members


def _token(holder: Mapping[str, Any], name: str) -> Secret | None:
    value = holder.get(name)
    # A line break in a token would end the header in which it is sent.
    return Secret(value) if isinstance(value, str) and _VISIBLE.fullmatch(value) else None


def _life(value: object) -> int | None:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    # Through text, so that 3600, 3600.0, "3600" and "3600.0" are read alike and NaN and 1e999 not at all.
    text = str(value).strip()
    return min(max(int(float(text)), 0), _LONGEST_LIFE) if _WHOLE_NUMBER.fullmatch(text) else None


def _scopes(value: object) -> Scopes | None:
    if value is None:
        return None
    # Commas whatever was configured: GitHub is asked with spaces and answers with commas.
    pieces = re.split(r"[,\s]+", value) if isinstance(value, str) else value
    if not isinstance(pieces, list) or not all(isinstance(piece, str) for piece in pieces):
        raise ProviderUnavailable(detail="the answer's scope is not readable")
    scopes = Scopes(filter(None, pieces))
    if not all(_SCOPE.fullmatch(scope) for scope in scopes):
        raise ProviderUnavailable(detail="the answer's scope is not readable")
    return scopes


def _at(members: Mapping[str, Any], path: str) -> object:
    if path in members:
        return members[path]
    found: object = members
    for name in path.split("."):
        found = found.get(name) if isinstance(found, dict) else None
    return found


def _retry_after(reply: Reply, now: datetime) -> int | None:
    """RFC 9110 §10.2.3: seconds or a date; in seconds, at most a day."""
    text = reply.headers.get("retry-after", "").strip()
    if text.isascii() and text.isdigit():
        return min(int(text[:9]), _LONGEST_PAUSE)
    try:
        at = parsedate_to_datetime(text)
    except (ValueError, TypeError, OverflowError):
        return None
    seconds = (at if at.tzinfo else at.replace(tzinfo=UTC)) - now
    return min(max(round(seconds.total_seconds()), 0), _LONGEST_PAUSE)
