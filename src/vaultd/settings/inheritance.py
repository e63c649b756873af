"""What a provider table takes over: the catalogue's entry of its name, or the provider it `extends`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from vaultd.settings.mistakes import Mistake, meant

Table: TypeAlias = Mapping[str, Any]

NOT_INHERITED = frozenset({"extends", "client_id", "client_secret"})
"""A second app of the same provider has credentials of its own; those of the first would be the wrong ones."""
ENDPOINTS = frozenset({"authorization_endpoint", "token_endpoint"})
"""What a provider cannot do without; a table that has one of them stands on its own."""


@dataclass(frozen=True, slots=True)
class Lineage:
    """The user's tables from one upwards along `extends`, and what the last of them stands on."""

    names: tuple[str, ...]
    ends: Literal["itself", "catalogue", "nothing", "unknown", "circle"]
    last: str = ""


@dataclass(frozen=True, slots=True)
class Inherited:
    """The completed tables, and for each table the ones it takes over from.

    A table in `incomplete` has its mistake told, so that what it lacks is no second one.
    """

    tables: Mapping[str, Any]
    parents: Mapping[str, tuple[str, ...]]
    incomplete: frozenset[str]
    mistakes: tuple[Mistake, ...]


def complete_providers(tables: Mapping[str, Any], catalogue: Mapping[str, Table]) -> Inherited:
    """Lay beneath each provider table what it takes over."""
    # What is no table at all is left as it is, for the type check to tell.
    lineages = {name: _lineage(name, tables, catalogue) for name in tables if isinstance(tables[name], dict)}
    broken = {name for name, lineage in lineages.items() if lineage.ends in {"nothing", "unknown", "circle"}}
    whole = {
        name: _merge(lineages[name], tables, catalogue) if name in lineages.keys() - broken else table
        for name, table in tables.items()
    }
    found = (_mistake(name, lineages[name], tables, catalogue) for name in tables if name in broken)
    return Inherited(
        tables=whole,
        parents={name: lineage.names[1:] for name, lineage in lineages.items()},
        incomplete=frozenset(broken),
        mistakes=tuple(mistake for mistake in found if mistake is not None),
    )


def _lineage(name: str, tables: Mapping[str, Any], catalogue: Mapping[str, Table]) -> Lineage:
    names = [name]
    while True:
        own = tables[names[-1]]
        parent = own.get("extends")
        if not isinstance(parent, str):
            return _root(tuple(names), own, catalogue)
        if parent in tables and parent != names[-1] and isinstance(tables[parent], dict):
            if parent in names:
                return Lineage(tuple(names), "circle", parent)
            names.append(parent)
        elif parent in catalogue:
            return Lineage(tuple(names), "catalogue", parent)
        else:
            return Lineage(tuple(names), "circle" if parent == names[-1] else "unknown", parent)


def _root(names: tuple[str, ...], own: Table, catalogue: Mapping[str, Table]) -> Lineage:
    # One endpoint of its own puts the catalogue's entry aside whole: a secret is never sent to a mixture of two.
    if ENDPOINTS & own.keys():
        return Lineage(names, "itself")
    return Lineage(names, "catalogue" if names[-1] in catalogue else "nothing", names[-1])


def _merge(lineage: Lineage, tables: Mapping[str, Any], catalogue: Mapping[str, Table]) -> dict[str, Any]:
    merged: dict[str, Any] = dict(catalogue[lineage.last]) if lineage.ends == "catalogue" else {}
    for name in reversed(lineage.names):
        merged = {key: value for key, value in merged.items() if not _left_out(key, tables[name])} | tables[name]
    return merged


def _left_out(key: str, table: Table) -> bool:
    # Where a table says that nothing is to be revoked, how it would be done has no place in it any more.
    of_a_revocation = key.removeprefix("token_").startswith("revocation")
    return key in NOT_INHERITED or (of_a_revocation and table.get("revocation") == "none")


def _mistake(name: str, lineage: Lineage, tables: Mapping[str, Any], catalogue: Mapping[str, Table]) -> Mistake | None:
    """The mistake of this table, or None where it is that of another one further up."""
    if lineage.ends == "circle":
        circle = lineage.names[lineage.names.index(lineage.last) :] if lineage.last in lineage.names else ()
        if name != next((each for each in tables if each in circle), None):
            return None
        steps = " → ".join((*circle, circle[0]))
        return Mistake(("providers", name, "extends"), f"goes round in a circle ({steps}); leave out one of them")
    if len(lineage.names) > 1:
        return None
    known = sorted({*tables, *catalogue} - {name})
    if lineage.ends == "unknown":
        return Mistake(("providers", name, "extends"), f"names no provider; {meant(lineage.last, known)}")
    remedy = "write its authorization_endpoint and token_endpoint"
    return Mistake(("providers", name), f"is not in the catalogue; {meant(name, sorted(catalogue), otherwise=remedy)}")
