"""The names by which a person knows an account; sealed, so looking at them needs the row's key."""

from __future__ import annotations

from vaultd.connections.sealing import data_key_of, open_account
from vaultd.connections.table import ConnectionRow
from vaultd.keys.data_keys import DataKeys


class Labels:
    """Opens accounts' names."""

    def __init__(self, *, data_keys: DataKeys) -> None:
        self._data_keys = data_keys

    def of(self, row: ConnectionRow) -> str:
        """The label of a row's account. Raises `CannotOpen`."""
        return open_account(data_key_of(row, self._data_keys), row)[1]

    def matches(self, row: ConnectionRow, hint: str) -> bool:
        """Whether a `login_hint` means this account: its id, or its label in any case."""
        account_id, label = open_account(data_key_of(row, self._data_keys), row)
        return hint == account_id or hint.casefold() == label.casefold()
