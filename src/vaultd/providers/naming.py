"""By what an account is known: one value of the provider's answers, or several that only together tell it apart.

A path may begin with the answer in which it stands, such as `redirect:realmId`; without, it is in the answer that
`account_source` names.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import TypeAlias

from vaultd.providers.paths import at
from vaultd.providers.words import plain_text

IdFields: TypeAlias = str | tuple[str | tuple[str, ...], ...]
"""A path; or several, that of the place first and that of the person last.

Each of these may be a list, of paths that stand in for the one before where it leads to nothing.
"""
Answers: TypeAlias = Mapping[str, object]
"""What was answered, by where: one of `SOURCES`, `redirect` for what came beside the code, `lookup` for its list."""
SOURCES = ("userinfo", "token", "id_token", "redirect", "setting", "lookup")
_JOINT = ":"


def check_id_fields(given: object) -> IdFields:
    """An `account_id_field` as it stands in a table. Raises `ValueError`."""
    if isinstance(given, str) and given:
        return given
    if not isinstance(given, list | tuple) or not given:
        raise ValueError('is no path; write one like "user.id", or a list of those that tell accounts apart together')
    return tuple(_part(each) for each in given)


def _part(given: object) -> str | tuple[str, ...]:
    if isinstance(given, str) and given:
        return given
    if not isinstance(given, list | tuple) or not given or not all(isinstance(path, str) and path for path in given):
        raise ValueError("has an entry that is no path; write a path, or a list of paths of which the first counts")
    return tuple(str(path) for path in given)


def parts_of(fields: IdFields) -> tuple[tuple[str, ...], ...]:
    """The parts of an id, each with its paths in the order in which they count."""
    several = (fields,) if isinstance(fields, str) else fields
    return tuple((part,) if isinstance(part, str) else part for part in several)


def placed(path: str, source: str) -> tuple[str, str]:
    """The answer in which a path leads, and the path in it. `source` is where one leads that does not say."""
    before, colon, behind = path.partition(":")
    return (before, behind) if colon and before in SOURCES else (source, path)


def look_up(path: str, answers: Answers, source: str) -> object:
    """What stands at a path."""
    where, within = placed(path, source)
    return at(answers.get(where), within)


def read_id(fields: IdFields, answers: Answers, source: str) -> str | None:
    """The account's id in these answers, None where a part of it is missing."""
    return joined([_first(part, answers, source) for part in parts_of(fields)])


def joined(values: Sequence[str | None]) -> str | None:
    """One id of all parts, from which the parts can be told; None if one is missing, or if it were too long."""
    if len(values) == 1:
        return values[0]
    if any(value is None for value in values):
        return None
    return plain_text(_JOINT.join(_escaped(value) for value in values if value is not None))


def split_id(account_id: str) -> list[str]:
    """The parts of an id that has several, the place first and the person last; of one that has not, itself."""
    return account_id.split(_JOINT)


def agree(account_id: str, fields: IdFields, values: Iterable[str | None], sure: Collection[str]) -> bool | None:
    """Whether an id is made of these values, None where some are not known. Parts at paths that are `sure` are."""
    parts = parts_of(fields)
    own = split_id(account_id) if len(parts) > 1 else [account_id]
    known = True
    for part, mine, theirs in zip(parts, own, values, strict=False):
        if set(part) & set(sure):
            continue
        if theirs is None:
            known = False
        elif mine != (_escaped(theirs) if len(parts) > 1 else theirs):
            return False
    return True if known else None


def _first(part: tuple[str, ...], answers: Answers, source: str) -> str | None:
    found = (plain_text(look_up(path, answers, source)) for path in part)
    return next((text for text in found if text is not None), None)


def _escaped(value: str) -> str:
    return value.replace("%", "%25").replace(_JOINT, "%3A")
