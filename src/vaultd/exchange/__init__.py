"""Token exchange (RFC 8693): from a user's session token to a provider's access token.

`request` has the words of the request and the answer, `admission` decides who asks, for whom and where (steps 1 to 4),
`recipe` is the whole way.
"""

from __future__ import annotations

from vaultd.exchange.recipe import Exchange
from vaultd.exchange.request import (
    ACCESS_TOKEN,
    FEDERATED_TOKEN,
    TOKEN_VAULT_TOKEN,
    ExchangeAnswer,
    ExchangeRequest,
)

__all__ = ["ACCESS_TOKEN", "FEDERATED_TOKEN", "TOKEN_VAULT_TOKEN", "Exchange", "ExchangeAnswer", "ExchangeRequest"]
