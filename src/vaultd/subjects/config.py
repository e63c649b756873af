"""An `[issuers.X]` table: whose session tokens are believed, and what they must say."""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeAlias

from pydantic import Field, PlainValidator, ValidationInfo, field_validator

from vaultd.config_types import ConfigPath, ConfigTable, Host, PlainSecret, Text, check_endpoint
from vaultd.terms import Secret

ASYMMETRIC = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
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


class IssuerConfig(ConfigTable):
    """One issuer. Its keys are found by discovery unless `jwks_uri`, `jwks_file` or `hs256_secret` is set.

    `issuer` is compared with `iss` as it is written, a slash at its end included. `trusted_clients` may present a
    token that names no client or another one; `required_claims` are for tokens without a useful `aud`.
    """

    allow_private_hosts: tuple[Host, ...] = ()
    hs256_secret: PlainSecret | None = None
    jwks_file: ConfigPath | None = None
    jwks_uri: str | None = None
    issuer: Text
    algorithms: tuple[str, ...] = Field(default_factory=_default_algorithms)
    client_claim: Literal["azp", "client_id", "cid", "appid"] = "azp"
    trusted_clients: tuple[Text, ...] = ()
    account_scopes: Literal["required", "off"] = "required"
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

    @field_validator("jwks_file", "jwks_uri")
    @classmethod
    def _one_source_of_keys(cls, value: Any, info: ValidationInfo) -> Any:
        others = [name for name in ("hs256_secret", "jwks_file") if name != info.field_name and info.data.get(name)]
        if value is not None and others:
            raise ValueError(f"stands beside {others[0]}; write one of them, as keys come from one place")
        return value

    @field_validator("jwks_uri")
    @classmethod
    def _callable(cls, uri: str | None, info: ValidationInfo) -> str | None:
        return None if uri is None else check_endpoint(uri, info.data.get("allow_private_hosts"))

    @field_validator("issuer")
    @classmethod
    def _discoverable(cls, issuer: str, info: ValidationInfo) -> str:
        sources = [info.data.get(name, "mistaken") for name in ("hs256_secret", "jwks_file", "jwks_uri")]
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


def _check_algorithm(name: str, *, secret_mistaken: bool) -> None:
    if name in ASYMMETRIC or (name == SHARED and secret_mistaken):
        return
    if name == SHARED:
        # RFC 8725 §3.1: without a shared secret an HMAC could only be keyed by something public.
        raise ValueError(f"{SHARED} needs hs256_secret; write that too, or an asymmetric algorithm")
    raise ValueError(f"{name!r} is not accepted; write some of {', '.join(ASYMMETRIC)}")
