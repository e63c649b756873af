"""Looking into a row's sealed fields needs its data key: the names of its account, and what of it may leave."""

from __future__ import annotations

from vaultd.connections.sealing import Delivery, data_key_of, open_account, open_delivery, open_names
from vaultd.connections.table import ConnectionRow
from vaultd.keys.data_keys import DataKeys


class Labels:
    """Opens rows. Every method raises `CannotOpen` when a field is not what it was."""

    def __init__(self, *, data_keys: DataKeys) -> None:
        self._data_keys = data_keys

    def of(self, row: ConnectionRow) -> str:
        """The label of a row's account."""
        return open_account(data_key_of(row, self._data_keys), row)[1]

    def matches(self, row: ConnectionRow, hint: str) -> bool:
        """Whether a `login_hint` means this account: its id, or one of its names in any case."""
        account_id, names = open_names(data_key_of(row, self._data_keys), row)
        return hint == account_id or hint.casefold() in {name.casefold() for name in names}

    def deliver(self, row: ConnectionRow) -> Delivery:
        """What of a row leaves the vault."""
        return open_delivery(data_key_of(row, self._data_keys), row)
