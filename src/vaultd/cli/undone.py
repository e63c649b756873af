"""What `vaultd connections retry` does."""

from __future__ import annotations

from uuid import UUID

from vaultd.app.undoing import open_undo
from vaultd.audit.events import Draft, EventType
from vaultd.errors import ConfigurationError, NotFound, NothingKept, TemporarilyUnavailable
from vaultd.settings import Settings

_WHY = {
    "connected": "It is connected.",
    "revoked": "It was disconnected, and its tokens are gone.",
    "not_kept": "Its tokens were not kept, or no longer ([refresh] keep_broken_days). Its user connects it again.",
}


async def retry_connection(settings: Settings, connection_id: UUID) -> str:
    """Undo the verdict on one connection; gives its provider. Raises `ConfigurationError` with a sentence why not."""
    try:
        async with open_undo(settings) as undo:
            return await undo.retry(connection_id, draft=Draft(type=EventType.CONNECTION_RETRIED))
    except NotFound:
        raise ConfigurationError(f"There is no connection {connection_id}.") from None
    except NothingKept as error:
        why = _WHY.get(error.reason or "", f"Its tokens do not open: {error.detail}.")
        raise ConfigurationError(f"The connection {connection_id} cannot be tried again. {why}") from None
    except TemporarilyUnavailable as error:
        raise ConfigurationError(f"The database does not answer, and nothing was changed. {error.detail}") from error
