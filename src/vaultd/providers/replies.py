"""What providers answer, read warily (security C2): what is an error, and what is none."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qsl

from vaultd.errors import OutboundFailed, ProviderRefused, ProviderUnavailable
from vaultd.outbound import Reply
from vaultd.providers.config import ProviderConfig
from vaultd.providers.paths import at
from vaultd.providers.verdict import FOR_NOW, by_entry, by_standard
from vaultd.providers.words import error_code, error_text, plain_text
from vaultd.terms import Secret, Verdict

TOKEN_GONE = frozenset({"invalid_token", "token_expired", "token_revoked"})
"""Words about the token that was shown, whatever their status: RFC 6750 §3.1's, and Slack's and others' under 200."""
_OBJECT = json.JSONDecoder()
_LONGEST_PAUSE = 86_400
_A_MOMENT = 10**9
"""From here on a number of seconds is one since 1970: 32 years are no pause."""
_MOST_DIGITS = 18
_MOST_MEMBERS = 100
_WORDS = ("error_description", "message", "reason")
"""Where a sentence about an error stands: OAuth's, most APIs', and Zoom's."""


def read_answer(reply: Reply, config: ProviderConfig, *, sent: Collection[Secret], now: datetime) -> Mapping[str, Any]:
    """The members of an answer that is no error. `sent` are the request's secrets, which no error may repeat.

    Raises:
        ProviderUnavailable: 5xx, 429 and their like, a redirect, or something that no OAuth server answers.
        ProviderRefused: an OAuth error, whatever its status: GitHub and Slack send theirs with 200; or what the
            provider's entry knows for a refusal.
    """
    members = _members(reply)
    _check_no_error(reply, config, members or {}, sent, now)
    if members is None:
        raise _no_answer(reply, now)
    return members


def unverified_members(reply: Reply) -> Mapping[str, Any]:
    """What stands in an answer, whatever kind of answer it is, as far as anybody could read it.

    Tokens in an answer of no use are alive all the same, and words in one may say why.
    """
    members = _members(reply)
    return members if members is not None else _somehow(reply)


def read_list(reply: Reply, path: str, *, now: datetime) -> list[Any]:
    """A list, the whole answer or at a path in it.

    Raises:
        ProviderUnavailable: there is none.
        ProviderRefused: `invalid_token`, or `access_denied` for another refusal.
    """
    _check_status(reply, now)
    if reply.status >= HTTPStatus.BAD_REQUEST:
        gone = reply.status == HTTPStatus.UNAUTHORIZED  # RFC 6750 §3.1
        raise ProviderRefused("invalid_token" if gone else "access_denied", detail=f"status {reply.status}")
    try:
        found = at(reply.json(), path)
    except OutboundFailed:
        found = None
    if not isinstance(found, list):
        raise _no_answer(reply, now)
    return found


def read_revocation(
    reply: Reply, config: ProviderConfig, *, sent: Collection[Secret], now: datetime, gone: Collection[int] = ()
) -> None:
    """Return when the token is gone, also if it was gone before (RFC 7009 §2.2). Raises as `read_answer` does.

    `gone` are statuses by which this way of revoking says so.
    """
    members = _members(reply) or {}
    if reply.status in gone:
        return
    try:
        _check_no_error(reply, config, members, sent, now)
    except ProviderRefused as error:
        # Instead of the RFC's 200: Google and Slack.
        if error.error in TOKEN_GONE or error.verdict is Verdict.DEAD:
            return
        raise


def _check_status(reply: Reply, now: datetime) -> None:
    if reply.status >= HTTPStatus.INTERNAL_SERVER_ERROR or reply.status in FOR_NOW:
        raise ProviderUnavailable(detail=f"status {reply.status}", retry_after=_retry_after(reply, now))
    if HTTPStatus.MULTIPLE_CHOICES <= reply.status < HTTPStatus.BAD_REQUEST:
        # Followed, it would carry the client secret to wherever it points.
        raise ProviderUnavailable(detail=f"status {reply.status}: a redirect is not followed", outage=False)


def _no_answer(reply: Reply, now: datetime) -> ProviderUnavailable:
    retry_after = _retry_after(reply, now)
    # A 4xx that says when to come again is a rate limit by another status, such as GitHub's 403.
    refused = reply.status >= HTTPStatus.BAD_REQUEST and not retry_after
    return ProviderUnavailable(
        detail=f"status {reply.status} without an OAuth answer",
        retry_after=retry_after,
        outage=False,
        word=f"http_{reply.status}" if refused else None,
    )


def _check_no_error(
    reply: Reply, config: ProviderConfig, members: Mapping[str, Any], sent: Collection[Secret], now: datetime
) -> None:
    given = _error_of(reply, config, members)
    refused = given is not None or reply.status >= HTTPStatus.BAD_REQUEST
    verdict = by_entry(config, reply.status, members, refused=refused)
    if verdict is None:
        _check_status(reply, now)
        if given is None:
            if refused:
                raise _no_answer(reply, now)
            return
    error = error_code(given, sent) if given is not None else f"http_{reply.status}"
    detail = error_text(next(filter(None, map(members.get, _WORDS)), None), sent)
    verdict = verdict or by_standard(error, detail)
    retry_after = _retry_after(reply, now)
    if verdict is Verdict.DOWN or (verdict is Verdict.UNKNOWN and retry_after):
        # Whoever says when to come again has not said no.
        outage = verdict is Verdict.DOWN
        raise ProviderUnavailable(detail=f"{error} {detail}".strip(), retry_after=retry_after, outage=outage)
    raise ProviderRefused(error, detail=detail, verdict=verdict)


def _error_of(reply: Reply, config: ProviderConfig, members: Mapping[str, Any]) -> object:
    # What stands at a path of its own may be part of a good answer too; `error` never is.
    own = at(members, config.error_path) if reply.status >= HTTPStatus.BAD_REQUEST else None
    error = members.get("error")
    for given in (own, error, error_code(error, ())):
        if (translated := config.error_codes.get(plain_text(given) or "")) is not None:
            return translated
    # Slack's `ok: false` is an error even where no `error` stands beside it.
    return error or own or ("unknown_error" if members.get("ok") is False else None)


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
        return _form_in(reply.body.decode())
    except UnicodeDecodeError:
        return None


def _form_in(text: str) -> dict[str, Any] | None:
    try:
        members = dict(parse_qsl(text, keep_blank_values=True, max_num_fields=_MOST_MEMBERS))
    except ValueError:
        return None
    # Any text reads as a form somehow; this one must be about tokens.
    return members if members.keys() & {"access_token", "error"} else None


def _somehow(reply: Reply) -> Mapping[str, Any]:
    """The first object in a text that is no JSON as a whole, in whatever encoding; else a form by any other name."""
    text = reply.body.decode(errors="replace")
    try:
        found, _ = _OBJECT.raw_decode(text, text.index("{"))
    except (ValueError, RecursionError):
        return _form_in(text.strip()) or {}
    return found if isinstance(found, dict) else {}


def _retry_after(reply: Reply, now: datetime) -> int | None:
    """RFC 9110 §10.2.3: seconds or a date; in seconds, at most a day."""
    text = reply.headers.get("retry-after", "").strip()
    if text.isascii() and text.isdigit():
        seconds = int(text[:_MOST_DIGITS])
        # So many seconds are no pause: some write the date as other APIs' rate limits do.
        seconds = seconds if seconds < _A_MOMENT else seconds - int(now.timestamp())
        return min(max(seconds, 0), _LONGEST_PAUSE)
    try:
        at = parsedate_to_datetime(text)
    except (ValueError, TypeError, OverflowError):
        return None
    pause = (at if at.tzinfo else at.replace(tzinfo=UTC)) - now
    return min(max(round(pause.total_seconds()), 0), _LONGEST_PAUSE)
