"""The OpenAPI document, written by hand next to the code that it describes.

FastAPI's own would say what its models know; what matters here is what an answer can be: every status, its body and its
headers. What goes in is taken from the models that read it (`web/inputs`), so that neither can change alone. The tests
hold every answer that they get against the document.

`parts` are the pieces, `schemas` the bodies, `answers` the errors; `tokens`, `accounts`, `operators`, `browser` and
`public` describe one API each; `document` puts them together.
"""

from __future__ import annotations

from vaultd.web.openapi.document import document

__all__ = ["document"]
