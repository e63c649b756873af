"""What the two clients have in common, which is everything but sending and waiting.

A conversation with the vault is a generator: it yields a request and is sent the answer, or yields the seconds to wait
for; what it returns is the result.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TypeVar

import httpx

from vaultd_client import answers
from vaultd_client.errors import InteractionRequired
from vaultd_client.kept import Bounded, Keep, Listing
from vaultd_client.requests import Requests, Wish, scope_of
from vaultd_client.subjects import AwayUser, SessionToken, SubjectSource, key_of, resolve, unverified_end
from vaultd_client.values import AccessToken, Account, Clock, Status

_LATER = frozenset({httpx.codes.TOO_MANY_REQUESTS, httpx.codes.SERVICE_UNAVAILABLE})

T = TypeVar("T")
Conversation = Generator[httpx.Request | float, httpx.Response, T]


@dataclass(frozen=True, slots=True, kw_only=True)
class Retry:
    """429 and 503 are tried again as `Retry-After` says: `times` at most, waiting `longest` seconds in all at most.

    An answer that asks for more, or names no time, is raised at once; so is every other failure.
    """

    times: int = 2
    longest: float = 10.0


class Core:
    """One vault, as one client of it sees it. Threads may share it."""

    def __init__(self, requests: Requests, *, keep: Keep, retry: Retry, clock: Clock) -> None:
        self.requests = requests
        self._keep = keep
        self._retry = retry
        self._clock = clock
        self._tokens: Bounded[AccessToken] = Bounded(keep.size)
        self._listings: Bounded[Listing] = Bounded(keep.size)

    def wish(
        self, connection: str, source: SubjectSource, scopes: Iterable[str] | None, login_hint: str | None
    ) -> Wish:
        """What is asked for, and for whom. Raises `NoSubject`."""
        subject, scope = resolve(source), scope_of(scopes)
        self.requests.check(subject)
        key = key_of(subject, connection, scope, login_hint or "")
        return Wish(connection, subject, scope, login_hint, key)

    def kept(self, wish: Wish) -> AccessToken | None:
        """The token, if it was got before and is good for a while yet."""
        return self._tokens.get(wish.key, now=self._clock())

    def drop(self, wish: Wish, refused: AccessToken) -> Wish:
        """The provider did not take this token: it is not handed out again, and the vault is told.

        One that has come since stays.
        """
        self._tokens.change(wish.key, lambda held: None if held.access_token == refused.access_token else held)
        return replace(wish, refused=refused.access_token)

    def exchange(self, wish: Wish) -> Conversation[AccessToken]:
        """The exchange. Raises `VaultRefused`, `UnexpectedAnswer`."""
        answer, asked_at = yield from self._asked(lambda now: self.requests.exchange(wish, now=now))
        listing = key_of(wish.subject)
        try:
            token = answers.read_token(answer, asked_at=asked_at)
        except InteractionRequired:
            # What is known of the user's accounts is no longer so.
            self._listings.change(listing, Listing.doubted)
            raise
        self._listings.change(listing, lambda seen: seen if seen.shows(wish.connection) else seen.doubted())
        until = self._keep.until(token, now=asked_at, subject_end=unverified_end(wish.subject))
        if until > self._clock():
            self._tokens.put(wish.key, token, until=until)
        return token

    def user(self, source: SubjectSource) -> SessionToken:
        """The user of a call to the accounts API, which takes the user's own token only. Raises `NoSubject`."""
        subject = resolve(source)
        if isinstance(subject, AwayUser):
            raise TypeError("Only a user who is there, by their session token, has their accounts listed.")
        return subject

    def accounts(self, user: SessionToken, *, showing: str | None = None) -> Conversation[tuple[Account, ...]]:
        """The user's accounts: as they were seen last, unless something has cast doubt on that.

        With `showing`, also looked up when none is connected there: the user may have done it meanwhile.
        """
        seen = self._listings.get(key_of(user), now=self._clock())
        if seen is None or seen.stale or (showing is not None and not seen.shows(showing)):
            seen = yield from self._look(user, seen)
            self._listings.put(key_of(user), seen, until=unverified_end(user))
        return seen.accounts

    def status(self, user: SessionToken, connection: str) -> Conversation[Status]:
        """How it stands with one connection: the best of its accounts."""
        accounts = yield from self.accounts(user, showing=connection)
        found = {each.status for each in accounts if each.connection == connection}
        order: tuple[Status, ...] = ("connected", "reconnect_required")
        return next((status for status in order if status in found), "not_connected")

    def _look(self, user: SessionToken, known: Listing | None) -> Conversation[Listing]:
        answer, now = yield from self._page(user, etag=known.etag if known else None)
        if known is not None and answer.status_code == httpx.codes.NOT_MODIFIED:
            return Listing(known.accounts, known.etag)
        accounts, following = answers.read_accounts(answer, now=now)
        # The tag of a first page says nothing of the others.
        etag = answer.headers.get("etag") if following is None else None
        while following is not None:
            answer, now = yield from self._page(user, skip=following)
            more, following = answers.read_accounts(answer, now=now)
            accounts += more
        return Listing(tuple(accounts), etag)

    def _page(
        self, user: SessionToken, *, etag: str | None = None, skip: str | None = None
    ) -> Conversation[tuple[httpx.Response, datetime]]:
        return self._asked(lambda _: self.requests.accounts(user, etag=etag, skip=skip))

    def _asked(self, build: Callable[[datetime], httpx.Request]) -> Conversation[tuple[httpx.Response, datetime]]:
        """The answer and when it was asked for. Each try is built anew: an assertion is good for one request."""
        tries, left = self._retry.times, self._retry.longest
        while True:
            asked_at = self._clock()
            answer = yield build(asked_at)
            wait = answers.retry_after(answer, now=self._clock()) if answer.status_code in _LATER else None
            if wait is None or not tries or wait > left:
                return answer, asked_at
            tries, left = tries - 1, left - wait
            yield wait
