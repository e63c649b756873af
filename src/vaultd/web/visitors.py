"""Who looks at a page, or sends a form of one: the user whose session a browser has."""

from __future__ import annotations

import hmac
from dataclasses import dataclass

from fastapi import Request

from vaultd.errors import ConsentRefused, NotFound
from vaultd.sessions.store import Sessions, csrf_token
from vaultd.subjects.store import KnownSubject, SubjectStore
from vaultd.web.cookies import Cookies
from vaultd.web.show.pages import Person
from vaultd.web.standing import standing


@dataclass(frozen=True, slots=True)
class Visitor:
    """A signed-in user, and what the top of their pages shows."""

    subject: KnownSubject
    person: Person


class Visitors:
    """Knows browsers by their sessions."""

    def __init__(self, *, sessions: Sessions, subjects: SubjectStore, cookies: Cookies) -> None:
        self._sessions = sessions
        self._subjects = subjects
        self._cookies = cookies

    async def find(self, request: Request) -> Visitor | None:
        """The user of this browser; None where nobody is signed in, or they were erased meanwhile."""
        session = await self._sessions.find(self._cookies.session(request))
        subject = await self._subjects.get(session.subject_id) if session else None
        if session is None or subject is None:
            return None
        return Visitor(subject, Person(subject.key.subject.sub, session.csrf_token))

    async def sending(self, request: Request, unverified_token: str) -> KnownSubject:
        """The user who sends a form. Only this proves that they want what they ask for: a link may be anybody's.

        Raises:
            ConsentRefused: the form is not one of this session's.
            NotFound: nobody is signed in any more.
        """
        check_csrf(self._cookies.session(request), unverified_token)
        visitor = await self.find(request)
        if visitor is None:
            raise NotFound
        standing(request).subject = visitor.subject
        return visitor.subject


def check_csrf(cookie: str | None, unverified_token: str) -> str:
    """A form must carry its own session's token; gives the session's cookie. Raises `ConsentRefused`."""
    if not cookie or not hmac.compare_digest(csrf_token(cookie).encode(), unverified_token.encode()):
        raise ConsentRefused("This form is no longer valid. Go back and try again.", reason="csrf")
    return cookie
