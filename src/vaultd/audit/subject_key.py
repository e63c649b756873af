"""One subject's keys for the audit log, derived from their erasable data key (security E6).

Erasing the data key makes the private members of the subject's events unreadable and their references unlinkable,
while the events' bytes, and so the chain, stay as they are.
"""

from __future__ import annotations

import hashlib
import hmac
import os
from uuid import UUID

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from vaultd.keys.envelope import Key, Random, Sealed, bind, open_sealed, seal
from vaultd.terms import Subject

_PRIVATE = bind("event", 1, "private")
_MOST_CONNECTIONS = 100


class SubjectKey:
    """A known subject and what seals and names them in events."""

    __slots__ = ("_connections", "_private", "_random", "_refs", "data_key_id", "subject", "subject_ref")

    def __init__(self, subject: Subject, data_key: Key, *, random: Random = os.urandom) -> None:
        self.subject = subject
        self.data_key_id = data_key.id
        self._random = random
        self._refs = _derive(data_key.material, b"vaultd audit refs v1")
        self._private = Key(data_key.id, _derive(data_key.material, b"vaultd audit private v1"))
        self.subject_ref = self.ref("subject")
        self._connections: dict[UUID, bytes] = {}

    def ref(self, *fields: str) -> bytes:
        """A keyed hash that names a thing of this subject without telling which."""
        return hmac.digest(self._refs, bind(*fields), hashlib.sha256)

    def connection_ref(self, connection_id: UUID) -> bytes:
        """The keyed hash of one of the subject's connections. They are few, and asked for again and again."""
        ref = self._connections.get(connection_id)
        if ref is None:
            if len(self._connections) >= _MOST_CONNECTIONS:
                self._connections.clear()
            ref = self._connections[connection_id] = self.ref("connection", str(connection_id))
        return ref

    def seal_private(self, event_id: UUID, plaintext: bytes) -> bytes:
        """Seal an event's private members to that event."""
        return seal(self._private, plaintext, bound=_PRIVATE + bind(event_id), random=self._random).blob

    def open_private(self, event_id: UUID, blob: bytes) -> bytes:
        """Open them. Raises `CannotOpen`."""
        return open_sealed(self._private, Sealed(blob), bound=_PRIVATE + bind(event_id))

    def __repr__(self) -> str:
        return "SubjectKey(…)"


def _derive(material: bytes, info: bytes) -> bytes:
    return HKDF(algorithm=SHA256(), length=32, salt=None, info=info).derive(material)
