"""A `[clients.X]` table: an agent backend, or a program of the operators."""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeAlias

from pydantic import BeforeValidator, Field, ValidationInfo, field_validator, model_validator

from vaultd.clients.config_credentials import SIGNED, CredentialsConfig
from vaultd.clients.config_narrow import NarrowConfig
from vaultd.config_types import ConfigTable, Flag, Network, RedirectTarget, ScopeNames, ShownName, Text
from vaultd.terms import Scopes

OperatorScope: TypeAlias = Literal["audit:read", "connections:read", "connections:revoke", "keys:read"]


def _bare_text(value: Any) -> Any:
    return (value,) if isinstance(value, str) else value


OneOrMore: TypeAlias = Annotated[tuple[Text, ...], BeforeValidator(_bare_text)]
"""A list of texts; in the file, one text alone will do."""

_NEEDED_TO_ASSERT = {
    "assert_providers": "those of its providers that it may use while the user is away",
    "assert_issuer": "the name of the [issuers.…] table whose users it may act for",
}


class LimitsConfig(ConfigTable):
    """How many requests may be made: `per_second` on average, `burst` at once."""

    per_second: Annotated[float, Field(strict=True, gt=0, le=1_000_000, allow_inf_nan=False)]
    burst: Annotated[int, Field(strict=True, gt=0, le=10_000_000)]


def _as_scopes(narrow: Any) -> tuple[str, ...]:
    """The permissions of a table that is not checked yet; what is wrong with it is told there."""
    permissions = narrow.get("permissions") if isinstance(narrow, dict) else None
    pairs = permissions.items() if isinstance(permissions, dict) else ()
    return tuple(f"{name}:{level}" for name, level in pairs if isinstance(level, str))


class ProviderGrant(ConfigTable):
    """What a client may have at one provider; in the file, the list of scopes alone will do.

    `on_wider_grant` is for a provider that cannot narrow a token: whether one may be delivered that carries more.
    `narrow` is for one with `narrowing = "github_scoped"`: its permissions are the list of scopes then, and no token
    leaves that is good for more.
    """

    scopes: ScopeNames
    on_wider_grant: Literal["refuse", "allow"] = "refuse"
    narrow: NarrowConfig | None = None

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
        if isinstance(value, dict) and "narrow" in value and "scopes" not in value:
            return {**value, "scopes": _as_scopes(value["narrow"])}
        return {"scopes": value} if isinstance(value, list | tuple) else value

    @field_validator("narrow")
    @classmethod
    def _decides_alone(cls, narrow: NarrowConfig | None, info: ValidationInfo) -> NarrowConfig | None:
        if narrow is None:
            return None
        if Scopes(info.data.get("scopes", narrow.scopes)) != narrow.scopes:
            raise ValueError("stands beside scopes, which its permissions are already; leave scopes out")
        if info.data.get("on_wider_grant") == "allow":
            raise ValueError('stands beside on_wider_grant = "allow", which would undo it; leave one of the two out')
        return narrow


class ClientConfig(CredentialsConfig):
    """One client. With `operator_scopes` it is an operators' client and may use the client credentials grant.

    `display_name` is how people know it. Before its links lead to a provider, a page asks the person; with
    `confirm_connect` off, none does. `subject_azp` are the names by which subject tokens mean this client; None stands
    for its own name. `actor_azp` are more names, by which actor tokens alone mean it. `limits` are for all its requests
    at the token endpoint, `subject_limits` for those about one user, and, counted apart, for that user's requests to
    the accounts API by its tokens. With `may_assert_subjects` it may name a user who is away, of one of `assert_issuer`
    (the names of `[issuers.X]` tables or their URLs), at the providers in `assert_providers`.
    """

    display_name: ShownName | None = None
    confirm_connect: Flag = True
    subject_azp: tuple[Text, ...] | None = None
    actor_azp: tuple[Text, ...] = ()
    redirect_uris: tuple[RedirectTarget, ...] = ()
    implicit: Flag = False
    ip_allowlist: tuple[Network, ...] = ()
    operator_scopes: tuple[OperatorScope, ...] = ()
    limits: LimitsConfig | None = None
    subject_limits: LimitsConfig | None = None
    providers: dict[str, ProviderGrant] = Field(default_factory=dict)
    may_assert_subjects: Flag = False
    assert_providers: tuple[Text, ...] = ()
    assert_issuer: OneOrMore = ()

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

    @field_validator("may_assert_subjects")
    @classmethod
    def _only_with_keys(cls, may: bool, info: ValidationInfo) -> bool:  # noqa: FBT001 - pydantic calls it
        if may and info.data.get("auth", SIGNED) != SIGNED:
            raise ValueError(f'is only for auth = "{SIGNED}"; write that, or leave the key out')
        return may

    @field_validator("assert_providers", "assert_issuer")
    @classmethod
    def _only_to_assert(cls, names: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        may = info.data.get("may_assert_subjects")
        if may and not names:
            raise ValueError(f"is missing; write {_NEEDED_TO_ASSERT[info.field_name or '']}")
        if names and may is False:
            raise ValueError("is only for may_assert_subjects = true; write that, or leave the key out")
        return names
