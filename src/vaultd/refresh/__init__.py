"""Refreshing one connection, once, whoever asks (security C3 to C6).

Within a process, callers share one task. Between processes, a lease in PostgreSQL with an owner, an end and a fencing
number decides. The intent is written with the lease, before the provider is called: whoever finds an ended lease with
an intent knows that the provider may have rotated the refresh token and that nobody stored the new one. Trying the
old one again is then right in every case: a provider with a grace answers with tokens, a strict one with
`invalid_grant`, and that ends the connection in the open.

`whole` renews the stored token, `narrow` gets one for fewer scopes beside it (security A7); both use the refresh token,
so both go by the one lease. `leased` is what they share: the call, and what follows where it brought nothing to store;
`results` writes down how calls ended, and keeps whatever was issued in an answer that is of no use otherwise. Every
call that brought something is a new revision of the row, so that who waits can tell it from one that failed.

`scoped` gets one beside it from GitHub, with the access token and without a lease.

`renew` does so before a token's end, for a client that says that the provider refused it: `claims` says how often, and
`confirm` asks the provider where there is nothing to renew it with.

`wakeups` tells who waits when a lease has ended; `breaker` leaves a failing provider alone, `patience` a grant that is
refused; `ahead` renews in the background what would soon have to be waited for.
"""

from __future__ import annotations

from vaultd.refresh.ahead import Ahead
from vaultd.refresh.breaker import Breaker, host_of
from vaultd.refresh.claims import Claim, Claims
from vaultd.refresh.config import RefreshConfig
from vaultd.refresh.confirm import Confirmer
from vaultd.refresh.leased import Leased, expiry
from vaultd.refresh.narrow import Narrower
from vaultd.refresh.patience import Patience
from vaultd.refresh.renew import Renewer
from vaultd.refresh.results import CallResults
from vaultd.refresh.scoped import Scoper
from vaultd.refresh.undo import Undo
from vaultd.refresh.wakeups import Wakeups
from vaultd.refresh.whole import Refresher

__all__ = [
    "Ahead",
    "Breaker",
    "CallResults",
    "Claim",
    "Claims",
    "Confirmer",
    "Leased",
    "Narrower",
    "Patience",
    "RefreshConfig",
    "Refresher",
    "Renewer",
    "Scoper",
    "Undo",
    "Wakeups",
    "expiry",
    "host_of",
]
