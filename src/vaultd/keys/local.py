"""The local backend: one root key in a file that only its owner can read."""

from __future__ import annotations

import base64
import binascii
import json
import os
import stat
from datetime import datetime
from pathlib import Path
from uuid import UUID, uuid4

from vaultd.errors import KeyringError
from vaultd.keys.envelope import KEY_BYTES, Key, Random, Sealed, open_sealed, seal

FILE_VERSION = 1


class LocalBackend:
    """Root keys from a keyring file of mode 0600 (security D4)."""

    def __init__(self, root: Key) -> None:
        self._root = root

    @property
    def name(self) -> str:
        """`local:` and the root key's id."""
        return f"local:{self._root.id}"

    async def wrap(self, material: bytes, *, bound: bytes) -> Sealed:
        """Encrypt a key under the root key."""
        return seal(self._root, material, bound=bound)

    async def unwrap(self, wrapped: Sealed, *, bound: bytes) -> bytes:
        """Decrypt it. Raises `CannotOpen`."""
        return open_sealed(self._root, wrapped, bound=bound)


def open_keyring_file(path: Path) -> LocalBackend:
    """Read the keyring file.

    Raises:
        KeyringError: it is missing, readable by others, somebody else's, or not a keyring.
    """
    try:
        # Opened once and checked by descriptor, so that the file checked is the file read.
        with path.open("rb") as file:
            status = os.fstat(file.fileno())
            _check_owner_and_mode(path, status)
            content = file.read(64 * 1024)
    except FileNotFoundError:
        raise KeyringError(f"There is no keyring at {path}. Make one with `vaultd keys generate`.") from None
    except OSError as error:
        raise KeyringError(f"The keyring {path} cannot be read: {error.strerror}.") from None
    return LocalBackend(_parse(path, content))


def _check_owner_and_mode(path: Path, status: os.stat_result) -> None:
    mode = stat.S_IMODE(status.st_mode)
    if mode & 0o077:
        raise KeyringError(f"The keyring {path} has mode {mode:04o}. Only its owner may read it: `chmod 600 {path}`.")
    if status.st_uid != os.geteuid():
        raise KeyringError(f"The keyring {path} belongs to user {status.st_uid}, and vaultd runs as {os.geteuid()}.")


def _parse(path: Path, content: bytes) -> Key:
    try:
        document = json.loads(content)
        if document["version"] != FILE_VERSION:
            raise KeyringError(f"The keyring {path} has version {document['version']}, which is not known here.")
        material = base64.b64decode(document["root_key"], validate=True)
        root_id = UUID(document["id"])
    except (ValueError, KeyError, TypeError, AttributeError, binascii.Error):
        raise KeyringError(f"The file {path} is not a vaultd keyring.") from None
    if len(material) != KEY_BYTES:
        raise KeyringError(f"The root key in {path} is not {KEY_BYTES} bytes long.")
    return Key(root_id, material)


def generate_keyring_file(path: Path, *, now: datetime, random: Random = os.urandom) -> UUID:
    """Write a new keyring and give its root key's id. Never over an existing file.

    Raises:
        KeyringError: the file exists, or its folder cannot be written.
    """
    key = Key(uuid4(), random(KEY_BYTES))
    document = {
        "version": FILE_VERSION,
        "id": str(key.id),
        "created_at": now.isoformat(),
        "root_key": base64.b64encode(key.material).decode(),
    }
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise KeyringError(f"There is a keyring at {path} already. It is never written over.") from None
    except OSError as error:
        raise KeyringError(f"The keyring {path} cannot be written: {error.strerror}.") from None
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        json.dump(document, file, indent=2)
        file.write("\n")
        file.flush()
        os.fsync(file.fileno())
    return key.id
