"""GitHub's webhook `github_app_authorization`: a person has revoked an app.

https://docs.github.com/en/webhooks/webhook-events-and-payloads#github_app_authorization and
https://docs.github.com/en/webhooks/using-webhooks/validating-webhook-deliveries
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from vaultd.errors import NoticeRefused
from vaultd.notices.notice import Notice
from vaultd.notices.signature import check_hmac, read_object
from vaultd.terms import Secret

EVENT = "github_app_authorization"
_SCHEME = "sha256="


def read_github(headers: Mapping[str, str], body: bytes, *, secret: Secret) -> Notice:
    """Raises `NoticeRefused`. Other events of the same webhook are believed and mean nothing here."""
    unverified = headers.get("x-hub-signature-256", "")
    if not unverified.startswith(_SCHEME):
        raise NoticeRefused(reason="no_signature")
    check_hmac(secret, body, unverified.removeprefix(_SCHEME))
    if headers.get("x-github-event") != EVENT:
        return Notice()
    document = read_object(body)
    sender = document.get("sender")
    number = sender.get("id") if isinstance(sender, dict) else None
    if document.get("action") != "revoked":
        return Notice()
    if isinstance(number, bool) or not isinstance(number, int):
        raise NoticeRefused(reason="malformed")
    # The delivery's id is not signed, and keeps but an honest redelivery from being acted on again. Nothing in the body
    # is an id or a time, so a recording can only be told by its being the same.
    wording = hashlib.sha256(body).hexdigest()
    return Notice(accounts=(str(number),), once=headers.get("x-github-delivery"), wording=wording)
