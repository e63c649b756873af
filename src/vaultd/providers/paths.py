"""Where something stands in a provider's answer: names of members with dots between them, and places in lists."""

from __future__ import annotations

from vaultd.providers.words import plain_text


def at(document: object, path: str) -> object:
    """What stands there, None if nothing does. An empty path leads to the document itself."""
    if not path or (isinstance(document, dict) and path in document):
        return document[path] if path and isinstance(document, dict) else document
    found = document
    for name in path.split("."):
        if isinstance(found, dict):
            found = found.get(name)
        elif isinstance(found, list) and name.isascii() and name.isdigit() and int(name[:4]) < len(found):
            found = found[int(name[:4])]
        else:
            return None
    return found


def texts(document: object, paths: dict[str, str]) -> dict[str, str]:
    """By name, what stands at each path, as far as it is a string or a whole number."""
    found = {name: plain_text(at(document, path)) for name, path in paths.items()}
    return {name: text for name, text in found.items() if text is not None}
