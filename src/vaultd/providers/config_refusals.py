"""How a `[providers.X]` table says what its provider's refusals mean."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import AfterValidator, BeforeValidator, Field, ValidationInfo, field_validator

from vaultd.config_types import ConfigTable, Flag, Text, WebUrl
from vaultd.providers.config_about import day
from vaultd.providers.paths import at
from vaultd.providers.words import plain_text


def _some(words: tuple[str, ...]) -> tuple[str, ...]:
    if not words:
        raise ValueError("is empty, so that no answer would fit; write one, or leave the path out")
    return words


Words: TypeAlias = dict[Text, Annotated[tuple[Text, ...], AfterValidator(_some)]]
"""By path."""
Meaning: TypeAlias = Literal["dead", "busy", "app", "down"]
UNKNOWN = "unknown"
_MOST_ITEMS = 20
_LONGEST_READ = 4_000


class RefusalConfig(ConfigTable):
    """One way in which a provider refuses, and what it `means` by it.

    "dead": the grant has ended. "busy": another request for this grant is under way, so it is asked again. "app": the
    app is refused, whoever the user is. "down": the provider is. An answer fits if its status is one of `status`, every
    path of `words` leads to one of its words, and every path of `phrases` to a text that contains one of its phrases;
    what is left out fits any answer. A path that leads to a list fits if one of the list does. With `within`, the paths
    begin at what stands there, or at each of what stands there. An answer under 200 in which nothing else is an error
    fits only where `status` names it.
    """

    means: Meaning
    status: tuple[Annotated[int, Field(strict=True, ge=200, le=599)], ...] = ()
    within: Text | None = None
    words: Words = Field(default_factory=dict)
    phrases: Words = Field(default_factory=dict)
    page: WebUrl | None = None
    seen: Annotated[str, AfterValidator(day)] | None = None

    @field_validator("phrases")
    @classmethod
    def _says_something(cls, phrases: dict[str, Any], info: ValidationInfo) -> dict[str, Any]:
        if phrases or info.data.get("words", True):
            return phrases
        status = info.data.get("status")
        if not status:
            raise ValueError("is missing, and status and words are too, so that every answer would fit; write one")
        if any(each < HTTPStatus.MULTIPLE_CHOICES for each in status):
            raise ValueError("is missing, and words are too, so that every good answer would fit; write one of them")
        if info.data.get("within") is not None:
            raise ValueError("is missing, and words are too, so that within has no effect; write one, or leave it out")
        return phrases

    def fits(self, status: int, members: Mapping[str, Any]) -> bool:
        """Whether an answer is this refusal."""
        if self.status and status not in self.status:
            return False
        if not self.words and not self.phrases:
            return True
        found = members if self.within is None else at(members, self.within)
        return any(self._said_in(item) for item in (found[:_MOST_ITEMS] if isinstance(found, list) else [found]))

    def _said_in(self, item: object) -> bool:
        return all(
            any(plain_text(value) in words for value in _values(at(item, path))) for path, words in self.words.items()
        ) and all(
            any(phrase.lower() in text for text in map(_text, _values(at(item, path))) for phrase in phrases)
            for path, phrases in self.phrases.items()
        )


def _values(found: object) -> list[object]:
    return found[:_MOST_ITEMS] if isinstance(found, list) else [found]


def _text(value: object) -> str:
    return value[:_LONGEST_READ].lower() if isinstance(value, str) else ""


def _none_known(value: object) -> object:
    return () if value == UNKNOWN else value


class RefusalsConfig(ConfigTable):
    """`refusals` are the provider's own words; "unknown" where no page says how it refuses.

    With `dead_only_twice`, its first word that a grant is dead is not final: it is asked once more after a pause. So is
    every provider that never gives another refresh token.
    """

    refusals: Annotated[tuple[RefusalConfig, ...], BeforeValidator(_none_known)] = ()
    dead_only_twice: Flag = False
