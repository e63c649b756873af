"""What a provider's scopes mean beyond how they are spelled. Pure: all it knows of a provider is the entry's data.

Everybody asks the same two questions here: does a grant cover a request, and does it lie within a list. What is not
known is never taken for nothing: a grant without scopes is one whose scopes nobody has told, and it lies in no list.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal, TypeAlias

from vaultd.terms import NO_SCOPES, Scopes

OfApp: TypeAlias = Literal["never", "unless_asked", "always"]
"""Whether tokens may do what was settled where the app is made, whatever a consent asks for."""
_ANY = "*"


@dataclass(frozen=True, slots=True)
class Received:
    """What an answer says of a grant: its scopes in the provider's words, as far as they are known.

    `unclear` are scopes that the user agreed to and that the answer does not name, though it names others that nobody
    asked for: it may mean the first by the second. So are all of them where an answer is silent and asking has no
    effect. `withheld` are those that it does not name where it names no others.
    """

    granted: Scopes
    unclear: Scopes = NO_SCOPES
    withheld: Scopes = NO_SCOPES


@dataclass(frozen=True, kw_only=True)
class ScopeRules:
    """One provider's scopes.

    `aliases` are other spellings of a scope; `prefixes` may stand before any scope, and with `ignore_case` upper and
    lower case are one. `implies` says which scopes one includes; a `*` in its name stands for any text, and for that
    text in theirs. `unlisted` scopes are granted but never named in an answer. `along` come with every token and count
    against no list; nor do `own`, which vaultd itself needs. `generic` scopes stand for whatever was granted, which an
    answer names instead, so that no list can be held against them; a `*` in one stands for any text. Where tokens may
    do what was settled for the app (`of_app`), a list without scopes means all of that.
    """

    aliases: Mapping[str, Collection[str]] = field(default_factory=dict)
    prefixes: tuple[str, ...] = ()
    ignore_case: bool = False
    implies: Mapping[str, Collection[str]] = field(default_factory=dict)
    unlisted: frozenset[str] = frozenset()
    along: frozenset[str] = frozenset()
    own: Scopes = NO_SCOPES
    generic: Collection[str] = ()
    of_app: OfApp = "never"

    def covers(self, granted: Collection[str], requested: Collection[str]) -> bool:
        """Whether a grant is good for all that is requested."""
        return not self.missing(granted, requested)

    def missing(self, granted: Collection[str], requested: Collection[str]) -> Scopes:
        """What of a request a grant is not good for. If the grant's scopes are not known, that is all of it."""
        had = self.reach(granted) | self._names(self.along) if granted else frozenset()
        return Scopes(scope for scope in requested if self.name(scope) not in had)

    def lies_within(self, granted: Collection[str], allowed: Collection[str]) -> bool:
        """Whether a grant is good for nothing beyond a list."""
        return not self.beyond(granted, allowed) if granted else self.of_app != "never" and not allowed

    def beyond(self, granted: Iterable[str], allowed: Collection[str]) -> Scopes:
        """What a grant, as far as it is known, is good for beyond a list."""
        uncounted = self._names(self.along) | self._names(self.own)
        return Scopes(scope for scope in self.outside(granted, allowed) if self.name(scope) not in uncounted)

    def outside(self, scopes: Iterable[str], listed: Collection[str]) -> Scopes:
        """Those that a list neither names nor includes, also if they would come along or are vaultd's own."""
        had = self.reach(listed)
        return Scopes(scope for scope in scopes if self.name(scope) not in had)

    def common(self, granted: Collection[str], allowed: Collection[str]) -> Scopes:
        """What a grant and a list have in common, in the grant's words where it has any for it."""
        within = Scopes(frozenset(granted) - self.outside(granted, allowed))
        covered = Scopes(frozenset(allowed) - self.outside(allowed, granted))
        return Scopes({*within, *self.outside(covered, within)})

    def received(self, agreed: Scopes, answered: Scopes | None, *, shown: Iterable[str] = ()) -> Received:
        """What the first answer makes of the scopes that were asked for.

        Silence and an empty scope mean all of them (RFC 6749 §3.3, §5.1), unless asking has no effect there: then
        nobody can say, and asking once more would tell no more. `shown` are scopes that the rest of the answer proves,
        whether it names them or not.
        """
        if not answered:
            return Received(agreed) if self.of_app != "always" else Received(NO_SCOPES, unclear=agreed)
        unnamed = self._names(self.unlisted) | self._names(shown)
        granted = Scopes({*answered, *(scope for scope in agreed if self.name(scope) in unnamed)})
        missing = self.missing(granted, agreed)
        unclear = missing if self._unknown(answered, agreed) else self.generic_among(missing)
        return Received(granted, unclear, Scopes(missing - unclear))

    def renewed(self, before: Received, answered: Scopes | None, *, shown: Iterable[str] = ()) -> Received:
        """What a refresh's answer makes of a grant; silence leaves it as it was (RFC 6749 §6).

        What was unclear stays unclear until an answer names it.
        """
        if not answered:
            return before
        now = self.received(before.granted, answered, shown=shown)
        return Received(now.granted, self.missing(now.granted, before.unclear | now.unclear))

    def again(self, asked: Iterable[str], before: Collection[str]) -> Scopes:
        """What of an earlier grant is asked for once more beside what is asked now.

        Generic scopes are asked for alone, so they come beside no others, and no others beside them.
        """
        asked = Scopes(asked)
        if self.generic_among(asked):
            return NO_SCOPES
        return self.outside(Scopes(before) - self.generic_among(before), asked)

    def generic_among(self, scopes: Iterable[str]) -> Scopes:
        """Those that stand for whatever was granted."""
        return Scopes(scope for scope in scopes if any(_fits(self.name(scope), *each) for each in self._generic))

    def _unknown(self, answered: Scopes, agreed: Scopes) -> bool:
        """Whether an answer has words that nobody asked for and whose meaning no data tells."""
        known = self.reach(agreed) | self._names({*self.along, *self.own, *self.aliases}) | self._tree
        return any(name not in known and not any(self._included(name)) for name in self._names(answered))

    def name(self, scope: str) -> str:
        """The one name of a scope, however it is spelled."""
        bare = self.bare(scope)
        return self._canonical.get(bare, bare)

    def bare(self, scope: str) -> str:
        """A scope without what may stand before it, and in one case where case means nothing."""
        scope = self._cased(scope)
        before = next((prefix for prefix in self._prefixes if scope.startswith(prefix) and scope != prefix), "")
        return scope.removeprefix(before)

    def _names(self, scopes: Iterable[str]) -> frozenset[str]:
        return frozenset(map(self.name, scopes))

    def _cased(self, scope: str) -> str:
        return scope.lower() if self.ignore_case else scope

    def reach(self, scopes: Iterable[str]) -> frozenset[str]:
        """The names of these scopes and of all that they include."""
        found: set[str] = set()
        waiting = list(self._names(scopes))
        while waiting:
            scope = waiting.pop()
            if scope not in found:
                found.add(scope)
                waiting += self._included(scope)
        return frozenset(found)

    def _included(self, scope: str) -> Iterator[str]:
        yield from self._implied.get(scope, ())
        for before, after, others in self._patterns:
            if _fits(scope, before, _ANY, after):
                text = scope[len(before) : len(scope) - len(after)]
                yield from (self.name(other.replace(_ANY, text)) for other in others)

    @cached_property
    def _prefixes(self) -> list[str]:
        """The longest first, of which the others may be a part."""
        return sorted(map(self._cased, self.prefixes), key=len, reverse=True)

    @cached_property
    def _canonical(self) -> dict[str, str]:
        pairs = ((scope, other) for scope, others in self.aliases.items() for other in others)
        return {self.bare(other): self.bare(scope) for scope, other in pairs}

    @cached_property
    def _implied(self) -> dict[str, frozenset[str]]:
        return {self.name(scope): self._names(others) for scope, others in self.implies.items() if _ANY not in scope}

    @cached_property
    def _tree(self) -> frozenset[str]:
        return frozenset(self._implied).union(*self._implied.values())

    @cached_property
    def _patterns(self) -> list[tuple[str, str, Collection[str]]]:
        """Text before and after the `*`, and what is included."""
        starred = ((self.bare(scope), others) for scope, others in self.implies.items() if _ANY in scope)
        parted = ((scope.partition(_ANY), others) for scope, others in starred)
        return [(before, after, others) for (before, _, after), others in parted]

    @cached_property
    def _generic(self) -> list[tuple[str, str, str]]:
        return [self.bare(scope).partition(_ANY) for scope in self.generic]


def _fits(scope: str, before: str, any_text: str, after: str) -> bool:
    """Whether a scope is this one, or one with any text, and not none, between these two."""
    if not any_text:
        return scope == before
    return len(scope) > len(before) + len(after) and scope.startswith(before) and scope.endswith(after)


EXACT = ScopeRules()
"""For a provider of which nothing is known: scopes are what they are called."""
