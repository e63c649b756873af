"""An `[issuers.X]` table: whose session tokens are believed, and what they must say."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import Field, PlainValidator, ValidationInfo, field_validator

from vaultd.config_types import (
    ASYMMETRIC,
    ConfigPath,
    ConfigTable,
    Flag,
    Host,
    PlainSecret,
    Text,
    WebUrl,
    check_endpoint,
)
from vaultd.errors import ConfigurationError
from vaultd.terms import Secret

SHARED = "HS256"
MIN_SECRET_BYTES = 32
"""RFC 7518 §3.2: a key of the hash's size or larger."""


def _default_algorithms(valid: dict[str, Any]) -> tuple[str, ...]:
    return (SHARED,) if valid.get("hs256_secret") else ("RS256", "ES256", "EdDSA")


def _claim_value(value: object) -> str | int | bool:
    if isinstance(value, str | int):
        return value
    raise ValueError("is no text, whole number, true or false; write the one value that the claim must have")


ClaimValue: TypeAlias = Annotated[str | int | bool, PlainValidator(_claim_value)]


class IntrospectionConfig(ConfigTable):
    """How an issuer is asked about its tokens (RFC 7662), instead of verifying them by its keys.

    Without `introspection_endpoint`, the one that the issuer's discovery document names is called. `cache_seconds` is
    how long an answer may be used again: a token revoked meanwhile goes on being believed for that time.

    `opaque`: whether this issuer is asked about tokens that name no issuer. A JWT is shown to the issuer that its
    `iss` names and to no other; an opaque token names nobody, and to show it to one issuer after the other would
    hand the tokens of each to all of them. So it goes to one, whatever it is. The only issuer with introspection
    takes opaque tokens unless this is false; where there are several, exactly one says true, or all say false.
    """

    introspection_endpoint: WebUrl | None = None
    client_id: Text
    client_secret: PlainSecret
    introspection_endpoint_auth_method: Literal["client_secret_basic", "client_secret_post"] = "client_secret_basic"
    cache_seconds: Annotated[int, Field(strict=True, ge=0, le=60)] = 0
    opaque: Flag | None = None


class IssuerConfig(ConfigTable):
    """One issuer. Its keys are found by discovery unless `jwks_uri`, `jwks_file` or `hs256_secret` is set.

    With `introspection` it is asked about each token instead, which also lets users' refresh tokens be presented.

    `issuer` is compared with `iss` as it is written, a slash at its end included. `trusted_clients` may present a
    token that names no client or another one; `required_claims` are for tokens without a useful `aud`, refresh tokens
    among them. With `dpop = "required"` a token that is bound to no key (RFC 9449) is refused.
    """

    allow_private_hosts: tuple[Host, ...] = ()
    hs256_secret: PlainSecret | None = None
    jwks_file: ConfigPath | None = None
    jwks_uri: str | None = None
    introspection: IntrospectionConfig | None = None
    issuer: Text
    algorithms: tuple[str, ...] = Field(default_factory=_default_algorithms)
    client_claim: Literal["azp", "client_id", "cid", "appid"] = "azp"
    trusted_clients: tuple[Text, ...] = ()
    account_scopes: Literal["required", "off"] = "required"
    dpop: Literal["optional", "required"] = "optional"
    required_claims: dict[str, ClaimValue] = Field(default_factory=dict)
    id_token_client_ids: tuple[Text, ...] = ()
    audience: tuple[Text, ...] = ()

    @property
    def names_no_audience(self) -> bool:
        """Whether its tokens never say that they are meant for us, so that only `trusted_clients` present them."""
        return not self.audience and not self.id_token_client_ids

    @field_validator("hs256_secret")
    @classmethod
    def _long_enough(cls, secret: Secret | None) -> Secret | None:
        if secret is not None and len(secret.reveal().encode()) < MIN_SECRET_BYTES:
            raise ValueError(f"is shorter than {MIN_SECRET_BYTES} bytes; set a longer secret at the issuer and here")
        return secret

    @field_validator("jwks_file", "jwks_uri", "introspection")
    @classmethod
    def _one_source(cls, value: Any, info: ValidationInfo) -> Any:
        names = ("hs256_secret", "jwks_file", "jwks_uri")
        others = [name for name in names if name != info.field_name and info.data.get(name)]
        if value is not None and others:
            raise ValueError(f"stands beside {others[0]}; write one of them, as tokens are verified in one way")
        return value

    @field_validator("jwks_uri")
    @classmethod
    def _callable(cls, uri: str | None, info: ValidationInfo) -> str | None:
        return None if uri is None else check_endpoint(uri, info.data.get("allow_private_hosts"))

    @field_validator("introspection")
    @classmethod
    def _askable(cls, config: IntrospectionConfig | None, info: ValidationInfo) -> IntrospectionConfig | None:
        if config is not None and config.introspection_endpoint is not None:
            try:
                check_endpoint(config.introspection_endpoint, info.data.get("allow_private_hosts"))
            except ValueError as error:
                raise ValueError(f"has an introspection_endpoint that {error}") from None
        return config

    @field_validator("issuer")
    @classmethod
    def _discoverable(cls, issuer: str, info: ValidationInfo) -> str:
        sources = [info.data.get(name, "mistaken") for name in ("hs256_secret", "jwks_file", "jwks_uri")]
        asked = info.data.get("introspection")
        if asked is not None:
            sources.append(asked.introspection_endpoint)
        if not any(sources):
            check_endpoint(issuer, info.data.get("allow_private_hosts"))
        return issuer

    @field_validator("algorithms")
    @classmethod
    def _known(cls, algorithms: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        if info.data.get("hs256_secret"):
            if algorithms != (SHARED,):
                raise ValueError(f'must be ["{SHARED}"] beside hs256_secret; write that, or leave the key out')
            return algorithms
        if not algorithms:
            raise ValueError('is empty; write the ones the issuer signs with, like ["RS256"]')
        for name in algorithms:
            _check_algorithm(name, secret_mistaken="hs256_secret" not in info.data)
        return algorithms

    @field_validator("id_token_client_ids")
    @classmethod
    def _with_id_tokens(cls, client_ids: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        if client_ids and info.data.get("introspection") is not None:
            # RFC 7662 §2: access tokens and refresh tokens are introspected.
            raise ValueError("stands beside introspection, which is not for ID tokens; leave it out")
        return client_ids

    @field_validator("audience")
    @classmethod
    def _meant_for_us(cls, audience: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        others = [info.data.get(name, "mistaken") for name in ("id_token_client_ids", "required_claims")]
        if not audience and not any(others):
            raise ValueError(
                "is missing, so that nothing tells this vault's tokens from others; write audience = [public_url],"
                " or id_token_client_ids, or required_claims"
            )
        return audience


def opaque_taker(issuers: Mapping[str, IssuerConfig]) -> str | None:
    """The name of the one issuer that is asked about opaque tokens, if there is one. Raises `ConfigurationError`."""
    asked = {name: config.introspection for name, config in issuers.items() if config.introspection is not None}
    takers = [name for name, introspection in asked.items() if introspection.opaque]
    unsaid = [name for name, introspection in asked.items() if introspection.opaque is None]
    if len(takers) > 1 or (not takers and unsaid and len(asked) > 1):
        raise ConfigurationError(f"Of {', '.join(asked)} in [issuers], exactly one takes opaque tokens.")
    return next(iter(takers or unsaid), None)


def _check_algorithm(name: str, *, secret_mistaken: bool) -> None:
    if name in ASYMMETRIC or (name == SHARED and secret_mistaken):
        return
    if name == SHARED:
        # RFC 8725 §3.1: without a shared secret an HMAC could only be keyed by something public.
        raise ValueError(f"{SHARED} needs hs256_secret; write that too, or an asymmetric algorithm")
    raise ValueError(f"{name!r} is not accepted; write some of {', '.join(ASYMMETRIC)}")
