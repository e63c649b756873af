"""What a request says about who its client is, before any of it is believed."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias
from urllib.parse import unquote_plus

from vaultd.errors import InvalidClient, InvalidRequest
from vaultd.terms import Secret

Method: TypeAlias = Literal["client_secret_basic", "client_secret_post", "none"]

_CLIENT_ID = re.compile(r"[\x20-\x7e]{1,255}")  # RFC 6749 appendix A.1: visible ASCII


@dataclass(frozen=True, slots=True)
class PresentedCredentials:
    """A claimed client id, and the secret that came with it by this method; nothing is checked yet."""

    method: Method
    client_id: str
    secret: Secret | None


def from_request(authorization: str | None, params: Mapping[str, str]) -> PresentedCredentials | None:
    """Read the client's credentials from a token request; None when it names no client.

    Raises:
        InvalidRequest: two methods at once, a `client_id` that differs, or a secret without a client.
        InvalidClient: credentials that cannot be read, or a method that is not offered.
    """
    client_id = params.get("client_id") or None
    secret = params.get("client_secret") or None
    assertion = params.get("client_assertion") or params.get("client_assertion_type")
    if sum(bool(method) for method in (authorization, secret, assertion)) > 1:
        # RFC 6749 §2.3
        raise InvalidRequest("Use one method of client authentication.", reason="two_authentication_methods")
    if assertion:
        raise InvalidClient(reason="unsupported_method", detail="client_assertion")
    if authorization:
        return _from_header(authorization, client_id)
    if client_id is None:
        if secret:
            raise InvalidRequest("client_secret came without client_id.", reason="missing_client_id")
        return None
    if secret:
        return PresentedCredentials("client_secret_post", _checked_id(client_id), Secret(secret))
    return PresentedCredentials("none", _checked_id(client_id), None)


def _from_header(authorization: str, client_id: str | None) -> PresentedCredentials:
    scheme, _, encoded = authorization.partition(" ")
    if scheme.lower() != "basic":
        raise InvalidClient(reason="unsupported_method", detail="not Basic")
    name, secret = _basic(encoded.strip(" "))
    if client_id is not None and client_id != name:
        raise InvalidRequest("client_id differs from the one in Authorization.", reason="client_id_mismatch")
    return PresentedCredentials("client_secret_basic", _checked_id(name), Secret(secret))


def _basic(encoded: str) -> tuple[str, str]:
    """Both halves form-decoded (RFC 6749 §2.3.1), so that either may hold a colon."""
    try:
        decoded = base64.b64decode(encoded, validate=True).decode("utf-8")
        name, colon, secret = decoded.partition(":")
        halves = unquote_plus(name, errors="strict"), unquote_plus(secret, errors="strict")
    except ValueError:  # the errors of base64 and of UTF-8 are both of this kind
        raise InvalidClient(reason="malformed_credentials") from None
    if not colon:
        raise InvalidClient(reason="malformed_credentials")
    return halves


def _checked_id(client_id: str) -> str:
    if not _CLIENT_ID.fullmatch(client_id):
        raise InvalidClient(reason="malformed_credentials")
    return client_id
