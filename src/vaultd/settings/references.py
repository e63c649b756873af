"""Secrets by reference: `env:NAME` and `file:path` become what they name."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from vaultd.config_types import HASH_PREFIX
from vaultd.terms import Secret

MAX_FILE_BYTES = 64 * 1024

_HOW = 'write "env:NAME" or "file:path"'


class References:
    """Resolves references. A relative path starts at `folder`; `allow_literals` is for development only."""

    def __init__(self, *, environ: Mapping[str, str], folder: Path, allow_literals: bool) -> None:
        self._environ = environ
        self._folder = folder
        self._allow_literals = allow_literals

    def resolve(self, reference: str) -> Secret:
        """The secret that is meant. Raises `ValueError`, which never holds the secret or a literal one."""
        kind, _, rest = reference.partition(":")
        if kind == "env":
            return self._from_environment(rest)
        if kind == "file":
            return self._from_file(rest)
        if not reference:
            raise ValueError(f"is empty; {_HOW}")
        # A hash is no secret: who reads it cannot authenticate with it.
        if self._allow_literals or reference.startswith(HASH_PREFIX):
            return Secret(reference)
        raise ValueError(f"is a literal secret; {_HOW} instead")

    def _from_environment(self, name: str) -> Secret:
        value = self._environ.get(name)
        if value is None:
            raise ValueError(f"refers to the environment variable {name!r}, which is not set; set it")
        return _usable(value, f"the environment variable {name!r}")

    def _from_file(self, name: str) -> Secret:
        path = self._folder / name
        try:
            with path.open("rb") as file:
                content = file.read(MAX_FILE_BYTES + 1)
        except OSError as error:
            raise ValueError(f"refers to {path}, which cannot be read ({error.strerror}); mend that") from None
        except ValueError:
            raise ValueError(f"refers to a file whose name has a NUL; {_HOW}") from None
        if len(content) > MAX_FILE_BYTES:
            raise ValueError(
                f"refers to {path}, which is over {MAX_FILE_BYTES} bytes; name a file with the secret alone"
            )
        # Editors and `echo` end a file with a line break, which is not part of the secret.
        return _usable(content.decode("utf-8", "surrogateescape").rstrip("\r\n"), str(path))


def _usable(value: str, source: str) -> Secret:
    if not value:
        raise ValueError(f"refers to {source}, which is empty; put the secret there")
    # Bytes that are no UTF-8 arrive as surrogates (PEP 383), which cannot be hashed or sent.
    if "\0" in value or any("\ud800" <= character <= "\udfff" for character in value):
        raise ValueError(f"refers to {source}, which is not UTF-8 text; put the secret there as text")
    return Secret(value)
