"""Which accounts and tokens the lines before have claimed, as fingerprints under a key of this process alone."""

from __future__ import annotations

import hashlib
import os

from vaultd.connections.imported import NO_ACCESS_TOKEN
from vaultd.connections.sealing import UNNAMED_ACCOUNT
from vaultd.importing.line import Line
from vaultd.keys.envelope import bind


class Claims:
    """Finds lines that stand against an earlier one.

    With `unnamed_alone`, an account without a name must be its user's only one at the provider; without it, names are
    still to come.
    """

    def __init__(self, *, unnamed_alone: bool) -> None:
        self._unnamed_alone = unnamed_alone
        self._key = os.urandom(32)
        self._lines: dict[bytes, int] = {}
        self._alone: set[bytes] = set()

    def claim(self, line: Line) -> list[str]:
        """Note what this line claims; gives what is wrong with that."""
        imported = line.imported
        mistakes = []
        for what, token in (("refresh_token", imported.refresh_token), ("access_token", imported.access_token)):
            if token is None or token == NO_ACCESS_TOKEN:
                continue
            earlier = self._note(line.number, "token", imported.provider, token.reveal())
            if earlier is not None:
                mistakes.append(f"{what} is that of line {earlier} too; a token belongs to one user")
        return mistakes + self._claim_account(line)

    def _claim_account(self, line: Line) -> list[str]:
        imported, subject = line.imported, line.subject
        unnamed = imported.account_id == UNNAMED_ACCOUNT
        if unnamed and not self._unnamed_alone:
            return []
        there = (subject.issuer, subject.sub, imported.provider)
        earlier = self._note(line.number, "account", *there, imported.account_id)
        if earlier is not None:
            return [f"is the same user's same account as line {earlier}; keep the line with the newer tokens"]
        pair = self._fingerprint("there", *there)
        first = self._lines.setdefault(pair, line.number)
        if unnamed or imported.single:
            self._alone.add(pair)
        if first == line.number or pair not in self._alone:
            return []
        if imported.single:
            return [f'is another account of line {first}\'s user, and this provider has accounts = "single"; keep one']
        choice = 'name each by account = {"id": …}, or keep one'
        return [f"is another account of line {first}'s user, or the same one; {choice}"]

    def _note(self, number: int, *claimed: str) -> int | None:
        earlier = self._lines.setdefault(self._fingerprint(*claimed), number)
        return None if earlier == number else earlier

    def _fingerprint(self, *claimed: str) -> bytes:
        return hashlib.blake2b(bind(*claimed), key=self._key, digest_size=16).digest()
