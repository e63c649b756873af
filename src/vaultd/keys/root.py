"""What a root key backend must do; one file beside this one for each that ships."""

from __future__ import annotations

from typing import Protocol

from vaultd.keys.envelope import Sealed


class RootBackend(Protocol):
    """Wraps the keyring's keys. Called at start and on rotation, never on the path of an exchange."""

    @property
    def name(self) -> str:
        """Backend and root key in one word, as stored beside each wrapped key: `local:<id>`."""

    async def wrap(self, material: bytes, *, bound: bytes) -> Sealed:
        """Encrypt a key under the root key."""

    async def unwrap(self, wrapped: Sealed, *, bound: bytes) -> bytes:
        """Decrypt it. Raises `CannotOpen`."""
