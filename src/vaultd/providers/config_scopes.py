"""What a `[providers.X]` table says of its provider's scopes."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property

from pydantic import Field, ValidationInfo, field_validator

from vaultd.config_types import ConfigTable, Flag, ScopeName, ScopeNames, Text
from vaultd.scopes import ScopeRules
from vaultd.terms import Scopes


class ScopesConfig(ConfigTable):
    """The scopes, and what they mean.

    `scopes` are asked for when the caller names none. `identity_scopes` are those without which nobody can say whose
    account it is, `renewal_scopes` those without which no refresh token comes: vaultd asks for them itself, and they
    count against no client's list.
    `scope_aliases` are a scope's other spellings, and `scope_prefixes` may stand before any. `scope_implies` are the
    scopes that one includes. `scopes_unlisted` are granted and never named in an answer, `scopes_along` come with every
    token. `callback_scope` is the parameter of the authorization's answer that names what was granted.
    With `consent_replaces`, a consent is good for what it names and no more, so that what was granted before is asked
    for again. With `scopes_of_app`, what a token may do is settled where the app is made: where no scopes are told, a
    client's empty list is all of it.
    """

    scopes: ScopeNames = ()
    identity_scopes: ScopeNames = ()
    renewal_scopes: ScopeNames = ()
    scope_aliases: dict[ScopeName, ScopeNames] = Field(default_factory=dict)
    scope_prefixes: tuple[Text, ...] = ()
    scope_implies: dict[ScopeName, ScopeNames] = Field(default_factory=dict)
    scopes_unlisted: ScopeNames = ()
    scopes_along: ScopeNames = ()
    scopes_of_app: Flag = False
    callback_scope: Text | None = None
    consent_replaces: Flag = True

    @cached_property
    def scope_rules(self) -> ScopeRules:
        """What the scopes mean here."""
        return ScopeRules(
            aliases=self.scope_aliases,
            prefixes=self.scope_prefixes,
            implies=self.scope_implies,
            unlisted=frozenset(self.scopes_unlisted),
            along=frozenset(self.scopes_along),
            own=Scopes({*self.identity_scopes, *self.renewal_scopes}),
            of_app=self.scopes_of_app,
        )

    @field_validator("scope_aliases")
    @classmethod
    def _one_name_each(cls, aliases: dict[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
        written = list(_spellings(aliases))
        if len(set(written)) < len(written):
            raise ValueError("has one spelling twice; write each beside one scope")
        return aliases

    @field_validator("scopes_along")
    @classmethod
    def _nothing_wide(cls, along: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        wide = sorted(set(along) & (info.data.get("scope_implies") or {}).keys())
        if wide:
            raise ValueError(f"names {', '.join(wide)}, which includes others; what comes along weakens nothing")
        return along


def _spellings(aliases: dict[str, tuple[str, ...]]) -> Iterator[str]:
    for scope, others in aliases.items():
        yield scope
        yield from others
