"""The people of the sandbox. They sign in by a click; there are no passwords to guess or to leak."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Person:
    """`login` is their name at the issuer and at every provider; `number` their immutable id at a provider."""

    login: str
    name: str
    number: int

    @property
    def email(self) -> str:
        """An address below the reserved domain of RFC 2606."""
        return f"{self.login}@example.com"


PEOPLE = {
    person.login: person
    for person in (Person("alice", "Alice", 1001), Person("bob", "Bob", 1002), Person("carol", "Carol", 1003))
}


def ordered(login_hint: str | None) -> list[Person]:
    """Everyone, the hinted person (a login or an e-mail address) first."""
    return sorted(PEOPLE.values(), key=lambda person: (not _is_hinted(person, login_hint), person.number))


def _is_hinted(person: Person, login_hint: str | None) -> bool:
    return login_hint is not None and login_hint.strip().lower() in {person.login, person.email}
