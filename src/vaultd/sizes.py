"""How much of what others write is kept: one place for the numbers that import, connect, refresh and narrowing share.

Whoever writes more than that is at fault and refused. Together they keep an audit event below `EVENT`, so that neither
a provider nor an issuer fills up a log from which nothing is ever deleted. Characters unless bytes are named.
"""

from __future__ import annotations

MOST_SCOPES = 200
"""Of one token, and of one list in the configuration."""
LONGEST_SCOPE = 255
LONGEST_REQUEST = 8 * 1024
"""A `scope` parameter as a whole; no real one comes near it, and it is written into the event of a refusal too."""
LONGEST_LINK_SCOPE = 2048
"""Of a link to a provider's door: a URL is not to be as long as a form."""
LONGEST_CLAIM = 16 * 1024
"""The scopes of a session token as a whole: what a JWT may be, also where introspection tells them."""
LONGEST_TOKEN = 16 * 1024
LONGEST_NAME = 255
"""An id or a login, a user's `sub` (OpenID Connect Core 1.0 §2), one value of a connection's metadata."""
LONGEST_LABEL = 200
"""A name for people to read."""
LONGEST_HINT = 512
"""A `login_hint`: an e-mail address has 254 characters at most, and an id 255."""
LONGEST_CONTEXT = 256
"""The reason that a client gives for acting on behalf of a user who is away (`audit_context`)."""
METADATA = 16 * 1024
"""Bytes of a connection's metadata, as JSON."""
PARTY = 4 * 1024
"""Bytes of an actor and the chain behind it, as JSON (RFC 8693 §4.1)."""
EVENT = 96 * 1024
"""Bytes of an audit event: somewhat more than all of the above at their longest."""
PAGE = 1024 * 1024
"""Bytes of stored values from which a page is made; at its end the page ends too, with a cursor for the next one."""
