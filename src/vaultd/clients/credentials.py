"""What a request says about who its client is, before any of it is believed."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias
from urllib.parse import unquote_plus

from vaultd.errors import InvalidClient, InvalidRequest
from vaultd.jose import JwtRefused, UnverifiedJwt, parse_jwt
from vaultd.terms import Secret

Method: TypeAlias = Literal["client_secret_basic", "client_secret_post", "private_key_jwt", "none"]

ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"

MAX_AUTHORIZATION = 4096
"""Characters of the header, which is base64: beside the longest client id, escaped to 765, 2,301 are left for a secret.

Those count as the secret is sent, with what is escaped in it.
"""

_CLIENT_ID = re.compile(r"[\x20-\x7e]{1,255}")  # RFC 6749 appendix A.1: visible ASCII


@dataclass(frozen=True, slots=True)
class PresentedCredentials:
    """A claimed client id, and the secret or the assertion that came with it by this method; nothing is checked yet."""

    method: Method
    client_id: str
    secret: Secret | None = None
    unverified_assertion: UnverifiedJwt | None = None


def from_request(authorization: str | None, params: Mapping[str, str]) -> PresentedCredentials | None:
    """Read the client's credentials from a token request; None when it names no client.

    Raises:
        InvalidRequest: two methods at once, a `client_id` that differs, or one half of what comes in pairs.
        InvalidClient: credentials that cannot be read, or a method that is not offered.
    """
    client_id = params.get("client_id") or None
    secret = params.get("client_secret") or None
    assertion = params.get("client_assertion") or params.get("client_assertion_type")
    if (authorization and (secret or assertion)) or (secret and assertion):
        # RFC 6749 §2.3
        raise InvalidRequest("Use one method of client authentication.", reason="two_authentication_methods")
    if assertion:
        return _from_assertion(params.get("client_assertion"), params.get("client_assertion_type"), client_id)
    if authorization:
        return _from_header(authorization, client_id)
    if client_id is None:
        if secret:
            raise InvalidRequest("client_secret came without client_id.", reason="missing_client_id")
        return None
    if secret:
        return PresentedCredentials("client_secret_post", _checked_id(client_id), Secret(secret))
    return PresentedCredentials("none", _checked_id(client_id))


def _from_header(authorization: str, client_id: str | None) -> PresentedCredentials:
    presented = _read_header(authorization)
    if client_id is not None and client_id != presented.client_id:
        raise InvalidRequest("client_id differs from the one in Authorization.", reason="client_id_mismatch")
    return presented


def _read_header(authorization: str) -> PresentedCredentials:
    # Read anew each time: what is kept before it is believed is a stranger's to fill, and holds secrets.
    if len(authorization) > MAX_AUTHORIZATION:
        raise InvalidClient(reason="malformed_credentials", detail="too long")
    scheme, _, encoded = authorization.partition(" ")
    if scheme.lower() != "basic":
        raise InvalidClient(reason="unsupported_method", detail="not Basic")
    name, secret = _basic(encoded.strip(" "))
    return PresentedCredentials("client_secret_basic", _checked_id(name), Secret(secret))


def _from_assertion(assertion: str | None, assertion_type: str | None, client_id: str | None) -> PresentedCredentials:
    # RFC 7521 §4.2: both are required; `client_id` is not, since the assertion's subject is the client.
    if not assertion or not assertion_type:
        raise InvalidRequest("client_assertion and client_assertion_type come together.", reason="missing_parameter")
    if assertion_type != ASSERTION_TYPE:
        raise InvalidClient(reason="unsupported_method", detail="client_assertion_type")
    try:
        unverified = parse_jwt(Secret(assertion))
    except JwtRefused as refused:
        raise InvalidClient(reason=refused.reason, detail=refused.detail) from None
    unverified_sub = unverified.unverified_claims.get("sub")
    if not isinstance(unverified_sub, str):
        # Without a name it is nobody's; with one from outside it is refused as that client's.
        unverified_sub = client_id or ""
    if client_id is not None and client_id != unverified_sub:
        raise InvalidRequest("client_id differs from the one in client_assertion.", reason="client_id_mismatch")
    return PresentedCredentials("private_key_jwt", _checked_id(unverified_sub), unverified_assertion=unverified)


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
