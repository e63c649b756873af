"""Claims by which a JWT shows what it is, whatever its `typ` says or leaves out. Pure.

Only what belongs to one kind of JWT alone is here. `exp`, `sid`, `acr`, `auth_time` and their like are found in several
and tell nothing apart.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Mark:
    """A JWT that has all of `present` and none of `absent` is a JWT of this kind."""

    kind: str
    present: tuple[str, ...]
    absent: tuple[str, ...] = ()

    def is_in(self, claims: Collection[str]) -> bool:
        """Whether these claims have the mark."""
        return all(name in claims for name in self.present) and not any(name in claims for name in self.absent)

    def __str__(self) -> str:
        with_all = " with ".join(f"`{name}`" for name in self.present)
        return with_all + (" without " + " or ".join(f"`{name}`" for name in self.absent) if self.absent else "")


def _each(kind: str, *names: str, absent: tuple[str, ...] = ()) -> tuple[Mark, ...]:
    return tuple(Mark(kind, (name,), absent) for name in names)


_HASHES = ("at_hash", "c_hash", "s_hash")  # OpenID Connect Core §3.1.3.6, §3.3.2.11; FAPI 1.0 §5.1
_SCOPES = ("scope", "scp")

# Older Keycloaks write `nonce` into access tokens as well; those have scopes beside it.
ID_TOKEN = (*_each("an ID token", "nonce", absent=_SCOPES), *_each("an ID token", *_HASHES))
NONCE = _each("an answer to a nonce", "nonce")  # OpenID Connect Back-Channel Logout §2.4
# RFC 9068 §2.2. Some issuers name the client in ID tokens by `client_id`, and copy scopes into them.
ACCESS_TOKEN = _each("an access token", *_SCOPES, "client_id", "cid", "appid", absent=("nonce", *_HASHES))
EVENTS = _each("a logout token or security event", "events", "toe")  # RFC 8417 §2.2
PROOF = _each("a DPoP proof", "htm", "htu", "ath")  # RFC 9449 §4.2
NAMED_SUBJECT = _each("a subject assertion or security event", "sub_id")  # RFC 9493 §4.1

_AUTHORIZATION_RESPONSE = tuple(  # JARM §2.1: `state` comes with one of these
    Mark("an authorization response", (name, "state")) for name in ("code", "error", "access_token", "id_token")
)
# RFC 9101 §4, and CIBA Core §7.1.1. `client_id` and `scope` are those of tokens too.
_REQUEST = _each(
    "an authorization request or code",
    *("response_type", "redirect_uri", "code_challenge", "request", "request_uri"),
    *("client_notification_token", "binding_message"),
)
_INTROSPECTION = _each("an introspection response", "token_introspection")  # RFC 9701 §5
_METADATA = _each("a software statement", "redirect_uris")  # RFC 7591 §2.3
_FEDERATION = _each(  # OpenID Federation 1.0 §3, §7, §8.3
    "an entity statement", "jwks", "authority_hints", "metadata_policy", "trust_marks", "trust_chain", "trust_mark_type"
)
# W3C VC Data Model 1.1 §6.3.1; RFC 9901 §4.2, §4.3; SD-JWT VC §3.2.2; OpenID4VP 1.0 §8.1
_CREDENTIAL = _each(
    "a verifiable credential", "vc", "vp", "vct", "vp_token", "credentialSubject", "_sd", "_sd_alg", "sd_hash"
)
_SELF_ISSUED = _each("a self-issued ID token", "sub_jwk")  # SIOPv2 §9
_STATUS = _each("a status list", "status_list")  # draft-ietf-oauth-status-list §5.1
_TRANSACTION = _each("a transaction token", "req_wl", "tctx", "rctx")  # draft-ietf-oauth-transaction-tokens §9

NO_TOKEN = (
    *_AUTHORIZATION_RESPONSE,
    *_REQUEST,
    *_INTROSPECTION,
    *_METADATA,
    *_FEDERATION,
    *_CREDENTIAL,
    *_SELF_ISSUED,
    *_STATUS,
    *_TRANSACTION,
)
"""Of JWTs that are used for nothing here."""

SAYS = ("typ", "type", "token_type", "token_use", "purpose")
"""Claims, not headers, in which issuers say what a token is: Keycloak, Flask, Django, Cognito, Curity."""
WORDS_OF_ACCESS = ("access", "access_token", "bearer", "dpop")
WORDS_OF_ID = ("id", "id_token")
WORDS_OF_REFRESH = ("refresh", "refresh_token", "offline")
WORDS_OF_LOGOUT = ("logout", "logout_token")
