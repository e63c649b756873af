"""How else a secret may be written where somebody repeats it: in a URL, in JSON, in HTML, in base64."""

from __future__ import annotations

import html
import json
import re
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Iterator
from urllib.parse import quote, quote_plus

_PERCENT = re.compile(r"%[0-9A-F]{2}")


def spellings(value: str) -> list[str]:
    """The value as it is and as it may be written, longer ones first, so that no part of one is left."""
    return sorted({value, *_in_urls(value), *_in_json(value), *_in_html(value), *_in_base64(value)}, key=len)[::-1]


def _in_urls(value: str) -> Iterator[str]:
    # RFC 3986 §2.1, and what JavaScript's encodeURIComponent leaves as it is.
    for encoded in (quote(value, safe=""), quote(value), quote(value, safe="!'()*"), quote_plus(value)):
        yield encoded
        yield _PERCENT.sub(lambda octet: octet.group().lower(), encoded)


def _in_json(value: str) -> Iterator[str]:
    for quoted in (json.dumps(value), json.dumps(value, ensure_ascii=False)):
        yield quoted[1:-1]
        # RFC 8259 §7: a slash may be escaped too, as PHP does.
        yield quoted[1:-1].replace("/", "\\/")


def _in_html(value: str) -> Iterator[str]:
    escaped = html.escape(value)
    yield from (escaped, escaped.replace("&#x27;", "&#39;"), html.escape(value, quote=False))


def _in_base64(value: str) -> Iterator[str]:
    for encoded in (b64encode(value.encode()), urlsafe_b64encode(value.encode())):
        yield encoded.decode()
        yield encoded.decode().rstrip("=")
