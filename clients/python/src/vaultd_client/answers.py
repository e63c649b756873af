"""From the vault's answers to values and errors. Pure: nothing here sends or waits."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

import httpx

from vaultd_client.errors import Refusal, UnexpectedAnswer, VaultRefused, error_of
from vaultd_client.values import AccessToken, Account

_PROBLEM = "urn:vaultd:error:"
_BY_STATUS = {429: "slow_down", 503: "temporarily_unavailable"}
"""What a proxy before the vault means by these, in whatever words."""


def read_token(answer: httpx.Response, *, asked_at: datetime) -> AccessToken:
    """The token of an exchange. Raises `VaultRefused`, `UnexpectedAnswer`."""
    body = _body(answer, now=asked_at)
    token, seconds, connection = body.get("access_token"), body.get("expires_in"), body.get("connection")
    # RFC 6749 §7.1: a type that is not understood is not used.
    is_bearer = str(body.get("token_type", "")).lower() == "bearer"
    if not (isinstance(token, str) and token and is_bearer and isinstance(connection, str)):
        raise UnexpectedAnswer("The vault's answer holds no bearer token of a connection.")
    if not isinstance(seconds, int) or isinstance(seconds, bool) or seconds < 0:
        raise UnexpectedAnswer("The vault's answer does not say how long the token is good.")
    metadata = body.get("connection_metadata")
    return AccessToken(
        access_token=token,
        # From when it was asked for: the time on the way is not the token's.
        expires_at=asked_at + timedelta(seconds=seconds),
        scope=str(body.get("scope", "")),
        connection=connection,
        account=_text(body, "account"),
        connection_metadata=metadata if isinstance(metadata, dict) else {},
    )


def read_accounts(answer: httpx.Response, *, now: datetime) -> tuple[list[Account], str | None]:
    """A page of accounts, and what the next one is asked with. Raises `VaultRefused`, `UnexpectedAnswer`."""
    body = _body(answer, now=now)
    try:
        accounts = [_account(each) for each in body["accounts"]]
    except (KeyError, TypeError, ValueError) as error:
        raise UnexpectedAnswer(f"The vault's list of accounts cannot be read: {type(error).__name__}.") from None
    return accounts, _text(body, "next")


def retry_after(answer: httpx.Response, *, now: datetime) -> float | None:
    """The seconds that an answer asks to wait (RFC 9110 §10.2.3): a number, or a date."""
    value = answer.headers.get("retry-after", "").strip()
    if value.isascii() and value.isdigit():
        return float(value)
    try:
        moment = parsedate_to_datetime(value)
    except ValueError:
        return None
    return max((moment.replace(tzinfo=moment.tzinfo or UTC) - now).total_seconds(), 0.0)


def _account(view: Mapping[str, Any]) -> Account:
    ends, used = view.get("expires_at"), view.get("last_used_at")
    return Account(
        id=view["id"],
        connection=view["connection"],
        status=view["status"],
        account=view["account"],
        scopes=tuple(view["scopes"]),
        created_at=datetime.fromisoformat(view["created_at"]),
        expires_at=datetime.fromisoformat(ends) if ends else None,
        last_used_at=datetime.fromisoformat(used) if used else None,
    )


def _body(answer: httpx.Response, *, now: datetime) -> Mapping[str, Any]:
    """The JSON object of a good answer. Raises for every other."""
    try:
        body = answer.json()
    except ValueError:  # not JSON, or not in its declared encoding
        body = None
    if answer.status_code == httpx.codes.OK and isinstance(body, dict):
        return body
    if answer.is_redirect:
        raise UnexpectedAnswer("The vault's address answers with a redirect, which is not followed.")
    raise _refused(answer, body if isinstance(body, dict) else {}, now=now)


def _refused(answer: httpx.Response, body: Mapping[str, Any], *, now: datetime) -> VaultRefused | UnexpectedAnswer:
    error, description = _text(body, "error"), _text(body, "error_description")
    kind = _text(body, "type") or ""
    if error is None and kind.startswith(_PROBLEM):
        # The accounts API answers with problem objects.
        error, description = kind.removeprefix(_PROBLEM), _text(body, "detail")
    error = error or _BY_STATUS.get(answer.status_code)
    if error is None or not answer.is_error:
        return UnexpectedAnswer(f"The vault's address answers with status {answer.status_code} and no error of ours.")
    accounts = body.get("accounts")
    return error_of(
        Refusal(
            error=error,
            description=description or "",
            status=answer.status_code,
            request_id=answer.headers.get("x-request-id"),
            retry_after=retry_after(answer, now=now),
            reason=_text(body, "reason") or "",
            connection=_text(body, "connection") or "",
            connect_uri=_link(_text(body, "connect_uri")),
            accounts=tuple(map(str, accounts)) if isinstance(accounts, list) else (),
        )
    )


def _link(text: str | None) -> str:
    # It is put where people click: no `javascript:` gets there, whoever stands in for the vault.
    return text if text and text.startswith(("https://", "http://")) else ""


def _text(body: Mapping[str, Any], name: str) -> str | None:
    value = body.get(name)
    return value if isinstance(value, str) and value else None
