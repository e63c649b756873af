"""A `[clients.X]` table: an agent backend, or a program of the operators."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import Field, ValidationInfo, field_validator, model_validator

from vaultd.config_types import HASH_PREFIX, ConfigTable, Flag, Network, RedirectTarget, ScopeName, Text
from vaultd.terms import Secret

AuthMethod: TypeAlias = Literal["client_secret_basic", "client_secret_post", "none"]
OperatorScope: TypeAlias = Literal["audit:read", "connections:read", "connections:revoke", "keys:read"]

MIN_SECRET_LENGTH = 32
_HASH = re.compile(r"[0-9a-fA-F]{64}")


class LimitsConfig(ConfigTable):
    """How many requests may be made: `per_second` on average, `burst` at once."""

    per_second: Annotated[float, Field(strict=True, gt=0, le=1_000_000, allow_inf_nan=False)]
    burst: Annotated[int, Field(strict=True, gt=0, le=10_000_000)]


class ProviderGrant(ConfigTable):
    """What a client may have at one provider; in the file, the list of scopes alone will do.

    `on_wider_grant` is for a provider that cannot narrow a token: whether one may be delivered that carries more.
    """

    scopes: tuple[ScopeName, ...]
    on_wider_grant: Literal["refuse", "allow"] = "refuse"

    @field_validator("scopes")
    @classmethod
    def _no_wildcard(cls, scopes: tuple[str, ...]) -> tuple[str, ...]:
        # RFC 6749 §3.3 lets a scope have asterisks in it, so "files:*" may be one of a provider's own. It is compared
        # as it is written.
        if "*" in scopes:
            raise ValueError('has "*", but there are no wildcards; write the name of each scope')
        return scopes

    @model_validator(mode="before")
    @classmethod
    def _bare_list(cls, value: Any) -> Any:
        return {"scopes": value} if isinstance(value, list | tuple) else value


class ClientConfig(ConfigTable):
    """One client. With `operator_scopes` it is an operators' client and may use the client credentials grant.

    `secret` is the secret or `sha256:` and the hash of it. `subject_azp` are the names by which subject tokens mean
    this client; None stands for its own name. `limits` are for all its requests, `subject_limits` for those about one
    user.
    """

    auth: AuthMethod
    secret: Secret | None = None
    subject_azp: tuple[Text, ...] | None = None
    redirect_uris: tuple[RedirectTarget, ...] = ()
    implicit: Flag = False
    ip_allowlist: tuple[Network, ...] = ()
    operator_scopes: tuple[OperatorScope, ...] = ()
    limits: LimitsConfig | None = None
    subject_limits: LimitsConfig | None = None
    providers: dict[str, ProviderGrant] = Field(default_factory=dict)

    @field_validator("secret")
    @classmethod
    def _fits_the_method(cls, secret: Secret | None, info: ValidationInfo) -> Secret | None:
        auth = info.data.get("auth")
        if secret is None:
            if auth in {"client_secret_basic", "client_secret_post"}:
                raise ValueError(f'is missing; auth = "{auth}" needs it: write env:NAME, file:path or sha256:<hash>')
            return None
        if auth == "none":
            raise ValueError('stands beside auth = "none"; leave it out, or write auth = "client_secret_basic"')
        _check_strength(secret.reveal())
        return secret

    @field_validator("implicit")
    @classmethod
    def _only_without_secret(cls, implicit: bool, info: ValidationInfo) -> bool:  # noqa: FBT001 - pydantic calls it
        if implicit and info.data.get("auth", "none") != "none":
            raise ValueError('is only for auth = "none"; write that, or leave the key out')
        return implicit

    @field_validator("operator_scopes")
    @classmethod
    def _only_with_secret(cls, scopes: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        # RFC 6749 §4.4: this grant is for confidential clients only.
        if scopes and info.data.get("auth") == "none":
            raise ValueError('stands beside auth = "none", so that anyone had them; write another auth and a secret')
        return scopes


def _check_strength(value: str) -> None:
    if value.startswith(HASH_PREFIX):
        if not _HASH.fullmatch(value.removeprefix(HASH_PREFIX)):
            raise ValueError("is no hash; write sha256: and 64 hexadecimal digits")
    elif len(value) < MIN_SECRET_LENGTH:
        raise ValueError(
            f"is shorter than {MIN_SECRET_LENGTH} characters; make one with `vaultd clients new-secret NAME`"
        )
