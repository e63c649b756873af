"""The last net beneath the log: members of an event that are too long are cut, and the event says which.

What may become part of an event is bounded where it comes in (`sizes`), so this happens to events about what was stored
before there were bounds. To refuse such an event would be worse than to shorten it: nothing that needs it could be done
ever again, not even ending the connection. Who, what, when and how it was decided are never touched.
"""

from __future__ import annotations

from typing import Any

from vaultd.sizes import LONGEST_CONTEXT, LONGEST_NAME, LONGEST_SCOPE

MARK = "cut"
"""The member that names those that were cut."""
_FIRST = 20
"""Entries that stay of a list."""
_LONGEST_SUB = 1024
_LISTS = ("scopes", "requested_scopes")
_TEXTS = ("reason", "subject_presence", "request_id", "window")
_PRIVATE_TEXTS = ("account", "ip")
_OF_AN_ACTOR = ("iss", "sub", "client_id")


def shorten(members: dict[str, Any], private: dict[str, Any]) -> None:
    """Cut what is long, in place, and name it in `members`."""
    cut = {name for name in _LISTS if _cut_list(members, name)}
    cut |= {name for name in _TEXTS if _cut_text(members, name, LONGEST_NAME)}
    cut |= {name for name in _PRIVATE_TEXTS if _cut_text(private, name, LONGEST_NAME)}
    cut |= {"audit_context"} if _cut_text(private, "audit_context", LONGEST_CONTEXT) else set()
    cut |= {"subject" for name in ("issuer", "sub") if _cut_text(private.get("subject", {}), name, _LONGEST_SUB)}
    if "actor" in private:
        # The nearest one; the chain behind it is what grows.
        actor = private["actor"]
        private["actor"] = {name: str(actor[name])[:LONGEST_NAME] for name in _OF_AN_ACTOR if name in actor}
        if private["actor"] != actor:
            cut.add("actor")
    members[MARK] = sorted(cut)


def _cut_list(members: dict[str, Any], name: str) -> bool:
    given = members.get(name)
    if given is None or (len(given) <= _FIRST and all(len(entry) <= LONGEST_SCOPE for entry in given)):
        return False
    members[name] = [entry[:LONGEST_SCOPE] for entry in given[:_FIRST]]
    return True


def _cut_text(members: dict[str, Any], name: str, longest: int) -> bool:
    given = members.get(name)
    if given is None or len(given) <= longest:
        return False
    members[name] = given[:longest]
    return True
