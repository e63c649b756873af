"""When a refresh token ends, as far as its provider tells (`refresh_token_expires_in` and its like)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Self


@dataclass(frozen=True, slots=True)
class RefreshEnd:
    """It ends `at` then, as the provider `told` at that moment. A `fixed` end is one that no refresh moves."""

    at: datetime
    told: datetime
    fixed: bool = False

    @property
    def renew_by(self) -> datetime | None:
        """When a refresh is to move it: at half of the token's life, so that the rest is left for an outage."""
        return None if self.fixed else self.told + (self.at - self.told) / 2

    def to_json(self) -> list[Any]:
        """For sealing."""
        return [self.at.isoformat(), self.told.isoformat(), self.fixed]

    @classmethod
    def from_json(cls, document: list[Any] | None) -> Self | None:
        """The inverse of `to_json`; None where nothing was sealed."""
        if document is None:
            return None
        at, told, fixed = document
        return cls(datetime.fromisoformat(at), datetime.fromisoformat(told), fixed)


def first_end(seconds: int | None, *, rotates: bool, now: datetime) -> RefreshEnd | None:
    """That of a token just granted; `seconds` is what the provider said, 0 for a token that does not end."""
    if not seconds:
        return None
    # Where no refresh brings another token, none is expected to move the end of the one there is.
    return RefreshEnd(now + timedelta(seconds=seconds), now, fixed=not rotates)


def next_end(
    earlier: RefreshEnd | None, seconds: int | None, *, replaced: bool, rotates: bool, now: datetime
) -> RefreshEnd | None:
    """That after a refresh; `replaced` where it brought another refresh token.

    A refresh that was due and has not moved the end shows that none will. Before that it shows nothing: some providers
    replace a token once a day, however often it is used. A token that was good after its end does not end then.
    """
    if earlier is None or seconds == 0:
        return first_end(seconds, rotates=rotates, now=now)
    if seconds is None and replaced:
        # Many say it at the first answer only.
        return RefreshEnd(now + (earlier.at - earlier.told), now)
    at = earlier.at if seconds is None else now + timedelta(seconds=seconds)
    if at <= now:
        return None
    if at - earlier.at >= max((now - earlier.told) / 2, timedelta(seconds=1)):
        return RefreshEnd(at, now)
    due = earlier.renew_by is None or earlier.renew_by <= now
    return replace(earlier, at=at, fixed=due)
