"""What a provider's scopes mean beside how they are spelled. Pure; what is known of a provider is its entry's data.

Two questions are asked everywhere: does a grant cover a request, and does it lie within a list. What is not known is
never taken for nothing: a grant without scopes is one whose scopes nobody has told, and it lies within no list.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property

from vaultd.terms import NO_SCOPES, Scopes


@dataclass(frozen=True, slots=True)
class Received:
    """What an answer says of a grant: its scopes in the provider's words, as far as they are told.

    `unclear` are scopes that were agreed to and that the answer does not name, while it names others that nobody asked
    for: it may mean them by a spelling that is not known here.
    """

    granted: Scopes
    unclear: Scopes = NO_SCOPES


@dataclass(frozen=True, kw_only=True)
class ScopeRules:
    """One provider's scopes.

    `aliases` are other spellings of a scope, `prefixes` what may stand before any. `implies` are the scopes that one
    includes. `unlisted` are granted and never named in an answer; `along` come with every token, and weaken nothing;
    `own` are what vaultd itself needs, and count against nobody's list. With `of_app` it is settled where the app is
    made what its tokens may do, so that an empty list is all of it.
    """

    aliases: Mapping[str, Collection[str]] = field(default_factory=dict)
    prefixes: tuple[str, ...] = ()
    implies: Mapping[str, Collection[str]] = field(default_factory=dict)
    unlisted: frozenset[str] = frozenset()
    along: frozenset[str] = frozenset()
    own: Scopes = NO_SCOPES
    of_app: bool = False

    def covers(self, granted: Collection[str], requested: Collection[str]) -> bool:
        """Whether a grant is good for all that is requested."""
        return not self.missing(granted, requested)

    def missing(self, granted: Collection[str], requested: Collection[str]) -> Scopes:
        """What of a request a grant is not good for; of one whose scopes are not known, all of it."""
        had = self._reach(granted) | self._plain(self.along) if granted else frozenset()
        return Scopes(scope for scope in requested if self._name(scope) not in had)

    def lies_within(self, granted: Collection[str], allowed: Collection[str]) -> bool:
        """Whether a grant is good for nothing beyond a list."""
        return not self.beyond(granted, allowed) if granted else self.of_app and not allowed

    def beyond(self, granted: Iterable[str], allowed: Collection[str]) -> Scopes:
        """What a grant, as far as it is known, is good for beyond a list."""
        harmless = self._reach(allowed) | self._plain(self.along) | self._plain(self.own)
        return Scopes(scope for scope in granted if self._name(scope) not in harmless)

    def unnamed(self, named: Collection[str], scopes: Collection[str]) -> Scopes:
        """Those that these do not include; what comes along unasked is not among them for that."""
        had = self._reach(named)
        return Scopes(scope for scope in scopes if self._name(scope) not in had)

    def common(self, granted: Collection[str], allowed: Collection[str]) -> Scopes:
        """What a grant and a list share, in the grant's words where it has any for it."""
        listed = self._reach(allowed)
        within = Scopes(scope for scope in granted if self._name(scope) in listed)
        had = self._reach(within)
        covered = (scope for scope in allowed if self._name(scope) in self._reach(granted))
        return Scopes({*within, *(scope for scope in covered if self._name(scope) not in had)})

    def received(self, agreed: Scopes, answered: Scopes | None) -> Received:
        """What an answer makes of the scopes that were asked for, or had before.

        Silence and an empty scope mean that it is all of them (RFC 6749 §3.3, §5.1, §6).
        """
        if not answered:
            return Received(agreed)
        unlisted = self._plain(self.unlisted)
        granted = Scopes({*answered, *(scope for scope in agreed if self._name(scope) in unlisted)})
        return Received(granted, self.missing(granted, agreed) if self._unknown(answered, agreed) else Scopes())

    def renewed(self, before: Received, answered: Scopes | None) -> Received:
        """What a refresh's answer makes of a grant. What was unclear before stays so until an answer names it."""
        now = self.received(before.granted, answered)
        return Received(now.granted, self.missing(now.granted, before.unclear | now.unclear))

    def _unknown(self, answered: Scopes, agreed: Scopes) -> Scopes:
        """Words of an answer that were not asked for, and whose meaning nothing tells."""
        told = self._reach(agreed) | self._plain({*self.along, *self.own, *self.implies})
        return Scopes(scope for scope in answered if self._name(scope) not in told)

    def _name(self, scope: str) -> str:
        """A scope by its one name."""
        for prefix in self.prefixes:
            scope = scope.removeprefix(prefix)
        return self._canonical.get(scope, scope)

    def _plain(self, scopes: Iterable[str]) -> frozenset[str]:
        return frozenset(map(self._name, scopes))

    def _reach(self, scopes: Iterable[str]) -> frozenset[str]:
        """These and all that they include."""
        found: set[str] = set()
        waiting = [self._name(scope) for scope in scopes]
        while waiting:
            scope = waiting.pop()
            if scope not in found:
                found.add(scope)
                waiting += self._included.get(scope, ())
        return frozenset(found)

    @cached_property
    def _canonical(self) -> dict[str, str]:
        return {other: scope for scope, others in self.aliases.items() for other in others}

    @cached_property
    def _included(self) -> dict[str, list[str]]:
        return {self._name(scope): [self._name(each) for each in others] for scope, others in self.implies.items()}


EXACT = ScopeRules()
"""Of a provider about which nothing is known: scopes are what they are called."""
