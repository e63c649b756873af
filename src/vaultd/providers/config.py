"""A `[providers.X]` table: an OAuth 2 provider and this installation's app there."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from pydantic import Field, ValidationInfo, field_validator

from vaultd.config_types import (
    ConfigTable,
    Flag,
    Host,
    PlainSecret,
    ScopeName,
    Seconds,
    Text,
    WebUrl,
    check_endpoint,
)
from vaultd.terms import Secret

TokenEndpointAuth: TypeAlias = Literal["client_secret_basic", "client_secret_post", "json", "none"]
NoticeKind: TypeAlias = Literal["github", "google_risc", "slack"]
Narrowing: TypeAlias = Literal["none", "refresh"]

_SHORTEST_WEBHOOK_SECRET = 16

OWN_PARAMS = frozenset(
    {
        "client_id",
        "client_secret",
        "code_challenge",
        "code_challenge_method",
        "nonce",
        "redirect_uri",
        "request",
        "request_uri",
        "response_mode",
        "response_type",
        "scope",
        "state",
    }
)
"""Parameters of the authorization request that vaultd sets itself, or that would replace all of them (RFC 9101)."""


class ProviderConfig(ConfigTable):
    """One provider, the catalogue's entry of that name merged in. Its name is its connection's name.

    `issuer`, where set, must be the `iss` of its answers (RFC 9207). `assumed_ttl` is the life in seconds of a token
    that came without one; `refresh_margin` how many seconds before its end a stored token counts as stale.
    `refresh_token_idle_limit` is the seconds after which an unused refresh token ends, 0 for never: vaultd then uses it
    in time.
    `scopes` are asked for when the caller names none. `narrowing` is how a token for fewer scopes than the grant's is
    had: "refresh" by a refresh that names them (RFC 6749 §6), for a provider where earlier access tokens stay good
    and a rotated refresh token keeps the whole grant. `notices` is how the provider tells of revocations at
    `/notices/<name>`: "github" and "slack" sign with `webhook_secret`, Google's RISC with the keys of `notices_issuer`.
    """

    extends: Text | None = None
    display_name: Text | None = None
    allow_private_hosts: tuple[Host, ...] = ()
    client_id: Text
    token_endpoint_auth_method: TokenEndpointAuth = "client_secret_basic"  # noqa: S105 - a method's name
    client_secret: PlainSecret | None = None
    authorization_endpoint: str
    token_endpoint: str
    revocation_endpoint: str | None = None
    userinfo_endpoint: str | None = None
    issuer: WebUrl | None = None
    resources: tuple[WebUrl, ...] = ()
    scopes: tuple[ScopeName, ...] = ()
    scope_separator: Annotated[str, Field(min_length=1, max_length=1)] = " "
    pkce: Flag = True
    authorization_params: dict[str, str] = Field(default_factory=dict)
    allowed_authorization_params: tuple[Text, ...] = ("prompt", "login_hint")
    account_id_field: Text = "sub"
    account_label_fields: tuple[Text, ...] = ("email", "preferred_username", "login", "name")
    assumed_ttl: Annotated[Seconds, Field(gt=0)] = 3600
    refresh_margin: Seconds = 60
    refresh_token_idle_limit: Seconds = 0
    narrowing: Narrowing = "none"
    accounts: Literal["multiple", "single"] = "multiple"
    notices: NoticeKind | None = None
    notices_issuer: str = "https://accounts.google.com/"
    webhook_secret: Annotated[PlainSecret | None, Field(validate_default=True)] = None

    @property
    def narrows(self) -> bool:
        """Whether a token for fewer scopes than the grant's can be had here."""
        return self.narrowing != "none"

    @field_validator("client_secret")
    @classmethod
    def _fits_the_method(cls, secret: Secret | None, info: ValidationInfo) -> Secret | None:
        method = info.data.get("token_endpoint_auth_method")
        if secret is None and method not in {"none", None}:
            raise ValueError('is missing; write env:NAME or file:path, or token_endpoint_auth_method = "none"')
        if secret is not None and method == "none":
            raise ValueError('stands beside token_endpoint_auth_method = "none"; write one of the two')
        return secret

    @field_validator("webhook_secret")
    @classmethod
    def _signs_the_notices(cls, secret: Secret | None, info: ValidationInfo) -> Secret | None:
        by_secret = info.data.get("notices") in {"github", "slack"}
        if by_secret and secret is None:
            raise ValueError("is missing, and notices are believed by it; write env:NAME or file:path")
        if by_secret and secret is not None and len(secret.reveal()) < _SHORTEST_WEBHOOK_SECRET:
            raise ValueError(f"is shorter than {_SHORTEST_WEBHOOK_SECRET} characters; take a longer one")
        return secret

    @field_validator(
        "authorization_endpoint", "token_endpoint", "revocation_endpoint", "userinfo_endpoint", "notices_issuer"
    )
    @classmethod
    def _callable(cls, url: str | None, info: ValidationInfo) -> str | None:
        return None if url is None else check_endpoint(url, info.data.get("allow_private_hosts"))

    @field_validator("authorization_params", "allowed_authorization_params")
    @classmethod
    def _not_ours(cls, names: dict[str, str] | tuple[str, ...]) -> dict[str, str] | tuple[str, ...]:
        ours = sorted(OWN_PARAMS.intersection(names))
        if ours:
            raise ValueError(f"names {', '.join(ours)}, which vaultd sets itself; leave that out")
        return names

    @field_validator("refresh_margin")
    @classmethod
    def _within_the_life(cls, margin: int, info: ValidationInfo) -> int:
        if margin >= info.data.get("assumed_ttl", margin + 1):
            raise ValueError("is not below assumed_ttl, so that every token were stale; write fewer seconds")
        return margin
