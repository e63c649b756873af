"""What a `[providers.X]` table says of its provider's scopes."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property

from pydantic import Field, ValidationInfo, field_validator

from vaultd.config_types import ConfigTable, Flag, ScopeName, ScopeNames, Text
from vaultd.providers.config_answers import check_beside_the_code
from vaultd.scopes import OfApp, ScopeRules
from vaultd.terms import Scopes

_ANY = "*"


class ScopesConfig(ConfigTable):
    """The scopes, and what they mean.

    `scopes` are asked for when the caller names none. `identity_scopes` are those without which nobody can say whose
    account it is, `renewal_scopes` those without which no refresh token comes: vaultd asks for them itself, and they
    count against no client's list.
    `scope_aliases` are a scope's other spellings, `scope_prefixes` may stand before any, and with `scopes_ignore_case`
    upper and lower case are one. `scope_implies` says which scopes one includes; one `*` in its name stands for any
    text, and for that text in theirs. `scopes_unlisted` are granted but never named in an answer, `scopes_along` come
    with every token. `scopes_generic` stand for whatever was granted, and one `*` in such a name for any text: answers
    name what it is instead, so they are asked for alone, and a list with one bounds nothing. `scope_field` is where the
    token's answer names what was granted; `callback_scope` is the parameter of the authorization's answer that does.
    With `consent_replaces`, a consent is good for what it names and no more, so that what was granted before is asked
    for again. `scopes_of_app` says whether tokens may do what was settled where the app is made: "always", whatever a
    consent asks for, or "unless_asked". Where the answers name no scopes then, a client's empty list means all of that.
    """

    scopes: ScopeNames = ()
    identity_scopes: ScopeNames = ()
    renewal_scopes: ScopeNames = ()
    scope_prefixes: tuple[Text, ...] = ()
    scopes_ignore_case: Flag = False
    scope_aliases: dict[ScopeName, ScopeNames] = Field(default_factory=dict)
    scope_implies: dict[ScopeName, ScopeNames] = Field(default_factory=dict)
    scopes_unlisted: ScopeNames = ()
    scopes_along: ScopeNames = ()
    scopes_generic: ScopeNames = ()
    scopes_of_app: OfApp = "never"
    scope_field: Text = "scope"
    callback_scope: Text | None = None
    consent_replaces: Flag = True

    @cached_property
    def scope_rules(self) -> ScopeRules:
        """What the scopes mean here."""
        return ScopeRules(
            aliases=self.scope_aliases,
            prefixes=self.scope_prefixes,
            ignore_case=self.scopes_ignore_case,
            implies=self.scope_implies,
            unlisted=frozenset(self.scopes_unlisted),
            along=frozenset(self.scopes_along),
            own=Scopes({*self.identity_scopes, *self.renewal_scopes}),
            generic=self.scopes_generic,
            of_app=self.scopes_of_app,
        )

    def scopes_shown(self, *, renewable: bool, signed: bool) -> frozenset[str]:
        """Scopes that were granted, whether an answer names them or not, since a refresh or an ID token came of them.

        OpenID Connect Core 1.0 §11 and §3.1.2.1.
        """
        renewal = {"offline_access", *self.renewal_scopes} if renewable else set()
        return frozenset({*renewal, *({"openid"} if signed else ())})

    def tells_whose(self, granted: Scopes) -> bool:
        """Whether a grant has what it takes to be told whose it is: else a refusal there says nothing about its token.

        RFC 6750 §3.1 has 403 for a scope that is missing; some answer 401.
        """
        return self.scope_rules.covers(granted, self.identity_scopes)

    @field_validator("scope_aliases")
    @classmethod
    def _one_name_each(cls, aliases: dict[str, tuple[str, ...]], info: ValidationInfo) -> dict[str, tuple[str, ...]]:
        # By their prefixes and their case, two that are written differently may be one.
        written = [_spelled(info).bare(scope) for scope in _spellings(aliases)]
        if len(set(written)) < len(written):
            raise ValueError("has one spelling twice; write each beside one scope")
        return aliases

    @field_validator("scope_implies")
    @classmethod
    def _one_asterisk(cls, implies: dict[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
        for scope, others in implies.items():
            most = min(scope.count(_ANY), 1)
            if scope.count(_ANY) > 1 or any(other.count(_ANY) > most for other in others):
                raise ValueError(f"has an asterisk too many at {scope}; write one there, and at most one in the others")
            # One that grew would include ever longer ones.
            if any(_ANY in other and len(other) > len(scope) for other in others):
                raise ValueError(f"has a longer pattern beside {scope}; write each scope out")
        return implies

    @field_validator("callback_scope")
    @classmethod
    def _beside_the_code(cls, parameter: str | None) -> str | None:
        check_beside_the_code([parameter] if parameter else [])
        return parameter

    @field_validator("scopes_generic")
    @classmethod
    def _one_asterisk_each(cls, generic: tuple[str, ...]) -> tuple[str, ...]:
        for scope in generic:
            if scope.count(_ANY) > 1 or scope == _ANY:
                raise ValueError(f"has {scope}; write one asterisk at most, and text beside it")
        return generic

    @field_validator("scopes_along")
    @classmethod
    def _nothing_wide(cls, along: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        rules = _spelled(info)
        wide = sorted(scope for scope in along if len(rules.reach({scope})) > 1)
        if wide:
            raise ValueError(f"names {', '.join(wide)}, which includes others; what comes along weakens nothing")
        return along


def _spelled(info: ValidationInfo) -> ScopeRules:
    """The rules as far as the keys that were checked before tell them."""
    return ScopeRules(
        aliases=info.data.get("scope_aliases") or {},
        prefixes=info.data.get("scope_prefixes") or (),
        ignore_case=info.data.get("scopes_ignore_case") or False,
        implies=info.data.get("scope_implies") or {},
    )


def _spellings(aliases: dict[str, tuple[str, ...]]) -> Iterator[str]:
    for scope, others in aliases.items():
        yield scope
        yield from others
