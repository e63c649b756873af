"""The checked lines between checking and storing: in a file without a name, sealed under a key without a copy.

The key is made by this process and written nowhere; when the process ends, however it ends, nobody can read the file.
"""

from __future__ import annotations

import json
import os
import struct
import tempfile
from collections.abc import Iterator
from datetime import datetime
from types import TracebackType
from typing import Any, Self
from uuid import uuid4

from vaultd.connections.imported import Imported
from vaultd.importing.line import Line
from vaultd.keys.envelope import KEY_BYTES, Key, Sealed, bind, open_sealed, seal
from vaultd.terms import Scopes, Secret, Subject

_LENGTH = struct.Struct(">I")


class Spool:
    """Takes lines, and gives them back in order as often as they are asked for."""

    def __init__(self) -> None:
        self._key = Key(uuid4(), os.urandom(KEY_BYTES))
        self._file = tempfile.TemporaryFile(prefix="vaultd-import-")  # noqa: SIM115 - closed by `__exit__`
        self._count = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._file.close()

    def __len__(self) -> int:
        return self._count

    def put(self, line: Line) -> None:
        """Add a line at the end."""
        self._file.seek(0, os.SEEK_END)
        blob = seal(self._key, json.dumps(_to_json(line)).encode(), bound=bind("import", self._count)).blob
        self._file.write(_LENGTH.pack(len(blob)) + blob)
        self._count += 1

    def chunks(self, size: int) -> Iterator[list[Line]]:
        """All lines, so many at a time."""
        self._file.seek(0)
        for start in range(0, self._count, size):
            yield [self._next(place) for place in range(start, min(start + size, self._count))]

    def _next(self, place: int) -> Line:
        (length,) = _LENGTH.unpack(self._file.read(_LENGTH.size))
        sealed = Sealed(self._file.read(length))
        return _from_json(json.loads(open_sealed(self._key, sealed, bound=bind("import", place))))


def _to_json(line: Line) -> dict[str, Any]:
    imported = line.imported
    return {
        "number": line.number,
        "subject": [line.subject.issuer, line.subject.sub],
        "provider": imported.provider,
        "single": imported.single,
        "access_token": imported.access_token.reveal(),
        "refresh_token": imported.refresh_token.reveal() if imported.refresh_token else None,
        "expires_at": imported.expires_at.isoformat() if imported.expires_at else None,
        "scopes": sorted(imported.scopes),
        "account": [imported.account_id, imported.account_label, *imported.account_names],
        "settings": imported.settings,
        "metadata": imported.metadata,
    }


def _from_json(document: dict[str, Any]) -> Line:
    refresh, expires_at = document["refresh_token"], document["expires_at"]
    account_id, label, *names = document["account"]
    imported = Imported(
        provider=document["provider"],
        single=document["single"],
        access_token=Secret(document["access_token"]),
        refresh_token=Secret(refresh) if refresh is not None else None,
        expires_at=datetime.fromisoformat(expires_at) if expires_at is not None else None,
        scopes=Scopes(document["scopes"]),
        account_id=account_id,
        account_label=label,
        account_names=tuple(names),
        settings=document["settings"],
        metadata=document["metadata"],
    )
    return Line(document["number"], Subject(*document["subject"]), imported)
