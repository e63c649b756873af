"""Ends of grants: by the user or an operator, with the whole subject, by a provider's own notice; and of sessions.

Local first, in one transaction with its event (`recipe`; `secrets` moves the tokens to the outbox), then at the
provider until that is done or known to be impossible (`giving_back`). A session that its issuer ends is gone with its
row (`signed_out`).
"""

from __future__ import annotations

from vaultd.revoke.doubted import Doubted
from vaultd.revoke.giving_back import GiveBack
from vaultd.revoke.noticed import ActOnNotice
from vaultd.revoke.offboard import Offboard
from vaultd.revoke.recipe import Revoke
from vaultd.revoke.signed_out import ActOnLogout

__all__ = ["ActOnLogout", "ActOnNotice", "Doubted", "GiveBack", "Offboard", "Revoke"]
