"""What a provider wants before it gives a refresh token or says whose a token is, and how its answers spell scopes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

Words = Callable[[frozenset[str]], object]
"""Makes an answer's `scope` of what was granted; None leaves it out."""


def joined(scopes: frozenset[str]) -> str:
    """As RFC 6749 §3.3 has it."""
    return " ".join(sorted(scopes))


@dataclass(frozen=True, slots=True, kw_only=True)
class Demands:
    """What a provider wants: one of `identity` for userinfo, `offline` or the parameters for a refresh token.

    `again_params` are wanted as well for a refresh token where this person has a grant for this app already.
    `comes_along` are granted unasked, and `no_scopes` says that asking has no effect. `aliases` are other spellings,
    each with the scope that it means. With `commas` a request's scopes may stand between commas.
    """

    identity: frozenset[str] = frozenset()
    offline: str | None = None
    offline_params: Mapping[str, str] = field(default_factory=dict)
    again_params: Mapping[str, str] = field(default_factory=dict)
    comes_along: frozenset[str] = frozenset()
    no_scopes: bool = False
    aliases: Mapping[str, str] = field(default_factory=dict)
    commas: bool = False
    words: Words = joined

    def granted(self, asked: frozenset[str], withheld: frozenset[str]) -> frozenset[str]:
        """What a consent to `asked` gives when the person unticks `withheld`."""
        return frozenset() if self.no_scopes else (asked - withheld) | self.comes_along

    def renewable(self, granted: frozenset[str], query: Mapping[str, str], *, again: bool) -> bool:
        """Whether a refresh token comes, after an authorization request with this query."""
        wanted = {**self.offline_params, **(self.again_params if again else {})}
        has_scope = self.offline is None or self.offline in granted
        return has_scope and all(query.get(name) == value for name, value in wanted.items())

    def identifies(self, scopes: frozenset[str]) -> bool:
        """Whether userinfo says whose a token with these scopes is."""
        return not self.identity or bool(self.identity & scopes)

    def read(self, text: str) -> frozenset[str]:
        """The scopes of a request's parameter, by their short names."""
        spaced = text.replace(",", " ") if self.commas else text
        return frozenset(self.aliases.get(scope, scope) for scope in spaced.split())
