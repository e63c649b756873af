"""The names by which a person knows an account; sealed, so looking at them needs the row's key."""

from __future__ import annotations

from vaultd.connections.sealing import data_key_of, open_account, open_connection
from vaultd.connections.table import ConnectionRow
from vaultd.keys.data_keys import DataKeys


class Labels:
    """Opens accounts' names."""

    def __init__(self, *, data_keys: DataKeys) -> None:
        self._data_keys = data_keys

    def of(self, row: ConnectionRow) -> str:
        """The label of a row's account.

        Opens the whole row, so that one whose tokens were altered is refused before an event says that they left.

        Raises:
            CannotOpen: any of its sealed fields is not what it was.
        """
        return open_connection(data_key_of(row, self._data_keys), row).account_label

    def matches(self, row: ConnectionRow, hint: str) -> bool:
        """Whether a `login_hint` means this account: its id, or its label in any case."""
        account_id, label = open_account(data_key_of(row, self._data_keys), row)
        return hint == account_id or hint.casefold() == label.casefold()
