"""Structured logs in which no secret shows.

Every line, of ours or of a library, takes one way, and `redaction.redact` stands at its end. It works by type
(`Secret`), by name (a key such as `refresh_token`) and by shape (a JWT, a bearer header, the query of a URL). No rule
can know an opaque token within a sentence, so our sentences hold none: what varies goes into keys.
"""

from vaultd.telemetry.logs import bind_request, configure_logging

__all__ = ["bind_request", "configure_logging"]
