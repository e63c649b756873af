"""What a caller may keep of an answer, and how it asks whether that is still so (RFC 9110 §8.8.3, §13.1.2).

A tag is strong: it is a hash of the very bytes that it stands for, so it changes when and only when they do. Whoever
asks with the tag of what they have gets 304 and no body. The tag is keyed with the user's id, so that what one person
left in a shared browser's cache is never taken for the next one's.
"""

from __future__ import annotations

import re
from hashlib import blake2b
from uuid import UUID

from fastapi import Request
from fastapi.responses import JSONResponse, Response

KEPT = {
    # By the caller alone, and never used without asking: a reconnect or a revocation counts at once.
    "cache-control": "private, no-cache",
    # Another user's token may come from the same browser. CORS adds Origin.
    "vary": "Authorization",
}
# RFC 9110 §8.8.3; a comma may stand within a tag.
_TAG = re.compile(r'(?:W/)?("[\x21\x23-\x7e\x80-\xff]*")')
_LIST = re.compile(rf"[ \t,]*(?:{_TAG.pattern}[ \t]*(?:,[ \t,]*|$))+")


def tagged(request: Request, body: object, *, owner: UUID) -> Response:
    """The answer with its tag, or 304 where the caller has it already."""
    answer = JSONResponse(body, headers=KEPT)
    tag = f'"{blake2b(answer.body, key=owner.bytes, digest_size=16).hexdigest()}"'
    if _has(request, tag):
        # RFC 9110 §15.4.5: with the headers that the other answer would have had.
        return Response(status_code=304, headers={**KEPT, "etag": tag})
    answer.headers["etag"] = tag
    return answer


def _has(request: Request, tag: str) -> bool:
    """Whether `If-None-Match` names this tag, by the weak comparison. One that cannot be read names none."""
    given = ", ".join(request.headers.getlist("if-none-match")).strip(" \t")
    # A star is whatever there is, and stands alone.
    return given == "*" or (_LIST.fullmatch(given) is not None and tag in _TAG.findall(given))
