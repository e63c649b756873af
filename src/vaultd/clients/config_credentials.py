"""How a `[clients.X]` table says by what its client proves itself (api.md §1.4)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Literal, TypeAlias

from pydantic import ValidationInfo, field_validator

from vaultd.config_types import ASYMMETRIC, HASH_PREFIX, ConfigPath, ConfigTable, Host, check_endpoint
from vaultd.jose.jwks import read_keys
from vaultd.terms import Secret

AuthMethod: TypeAlias = Literal["client_secret_basic", "client_secret_post", "private_key_jwt", "none"]

SIGNED = "private_key_jwt"
MIN_SECRET_LENGTH = 32
_HASH = re.compile(r"[0-9a-fA-F]{64}")


class CredentialsConfig(ConfigTable):
    """A secret, or the public keys of the client, or nothing, as `auth` says.

    `secret` is the secret or `sha256:` and the hash of it. The keys come from `jwks_uri`, from `jwks_file`, or stand
    in the file as `jwks`, as RFC 7591 §2 calls it; `algorithms` are those that the client may sign with.
    """

    auth: AuthMethod
    secret: Secret | None = None
    allow_private_hosts: tuple[Host, ...] = ()
    jwks: dict[str, Any] | None = None
    jwks_file: ConfigPath | None = None
    jwks_uri: str | None = None
    algorithms: tuple[str, ...] = ASYMMETRIC

    @field_validator("secret")
    @classmethod
    def _fits_the_method(cls, secret: Secret | None, info: ValidationInfo) -> Secret | None:
        auth = info.data.get("auth")
        if secret is None:
            if auth in {"client_secret_basic", "client_secret_post"}:
                raise ValueError(f'is missing; auth = "{auth}" needs it: write env:NAME, file:path or sha256:<hash>')
            return None
        if auth in {"none", SIGNED}:
            raise ValueError(f'stands beside auth = "{auth}"; leave it out, or write auth = "client_secret_basic"')
        _check_strength(secret.reveal())
        return secret

    @field_validator("jwks", "jwks_file", "jwks_uri")
    @classmethod
    def _one_source_of_keys(cls, value: Any, info: ValidationInfo) -> Any:
        if value is None:
            return None
        auth = info.data.get("auth", SIGNED)
        if auth != SIGNED:
            raise ValueError(f'stands beside auth = "{auth}"; leave it out, or write auth = "{SIGNED}"')
        others = [name for name in ("jwks", "jwks_file") if name != info.field_name and info.data.get(name)]
        if others:
            raise ValueError(f"stands beside {others[0]}; write one of them, as keys come from one place")
        return value

    @field_validator("jwks")
    @classmethod
    def _public(cls, jwks: dict[str, Any] | None) -> dict[str, Any] | None:
        if jwks is not None:
            _check_key_set(jwks)
        return jwks

    @field_validator("jwks_uri")
    @classmethod
    def _callable(cls, uri: str | None, info: ValidationInfo) -> str | None:
        if uri is not None:
            return check_endpoint(uri, info.data.get("allow_private_hosts"))
        sources = [info.data.get(name, "mistaken") for name in ("jwks", "jwks_file")]
        if info.data.get("auth") == SIGNED and not any(sources):
            raise ValueError(f'is missing; auth = "{SIGNED}" needs the client\'s keys: write it, jwks_file or jwks')
        return None

    @field_validator("algorithms")
    @classmethod
    def _asymmetric(cls, algorithms: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        auth = info.data.get("auth", SIGNED)
        if auth != SIGNED and algorithms != ASYMMETRIC:
            raise ValueError(f'stands beside auth = "{auth}", which signs nothing; leave it out')
        if not algorithms:
            raise ValueError('is empty; write the ones the client signs with, like ["ES256"], or leave the key out')
        for name in algorithms:
            if name not in ASYMMETRIC:
                raise ValueError(f"{name!r} is not accepted; write some of {', '.join(ASYMMETRIC)}")
        return algorithms


def _check_strength(value: str) -> None:
    if value.startswith(HASH_PREFIX):
        if not _HASH.fullmatch(value.removeprefix(HASH_PREFIX)):
            raise ValueError("is no hash; write sha256: and 64 hexadecimal digits")
    elif len(value) < MIN_SECRET_LENGTH:
        raise ValueError(
            f"is shorter than {MIN_SECRET_LENGTH} characters; make one with `vaultd clients new-secret NAME`"
        )


def _check_key_set(jwks: Mapping[str, Any]) -> None:
    try:
        usable = read_keys(jwks)
    except ValueError:
        raise ValueError("is no JWK Set; write { keys = [{ kty = …, kid = …, … }] }") from None
    if any(isinstance(entry, Mapping) and {"d", "k"} & entry.keys() for entry in jwks["keys"]):
        raise ValueError("holds a key that must not be seen; give the client a new one, and write its public half here")
    if not usable:
        raise ValueError("holds no key that a signature can be checked with; write the client's public RSA or EC key")
