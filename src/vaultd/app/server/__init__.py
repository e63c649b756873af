"""How every port of vaultd is served: nothing that a stranger sends is without an end."""

from vaultd.app.server.config import connections, server_config
from vaultd.app.server.limits import Limits
from vaultd.app.server.protocol import BoundedProtocol

__all__ = ["BoundedProtocol", "Limits", "connections", "server_config"]
