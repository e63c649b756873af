"""Who looks at a page: the user whose session a browser has."""

from __future__ import annotations

from dataclasses import dataclass

from fastapi import Request

from vaultd.sessions.store import Sessions
from vaultd.subjects.store import KnownSubject, SubjectStore
from vaultd.web.cookies import Cookies
from vaultd.web.show.pages import Person


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
