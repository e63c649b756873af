"""The user's accounts: `/me/v1/connected-accounts` (api.md §2), the wire contract of Auth0's My Account API.

`asked` is what a request says, `shown` and `activity` are what an answer shows, `tags` what a caller may keep of it;
`routes` joins them.
"""

from vaultd.web.accounts.asked import PREFIX
from vaultd.web.accounts.routes import router
from vaultd.web.accounts.shown import Accounts

__all__ = ["PREFIX", "Accounts", "router"]
