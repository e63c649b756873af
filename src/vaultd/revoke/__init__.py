"""Ends of grants: by the user or an operator, with the whole subject, by a provider's own notice.

Local first, in one transaction with its event (`recipe`; `secrets` moves the tokens to the outbox), then at the
provider until that is done or known to be impossible (`giving_back`).
"""

from __future__ import annotations

from vaultd.revoke.doubted import Doubted
from vaultd.revoke.giving_back import GiveBack
from vaultd.revoke.noticed import ActOnNotice
from vaultd.revoke.offboard import Offboard
from vaultd.revoke.recipe import Revoke

__all__ = ["ActOnNotice", "Doubted", "GiveBack", "Offboard", "Revoke"]
