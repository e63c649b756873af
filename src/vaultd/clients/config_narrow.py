"""`narrow` in a client's entry for a provider: of the user's grant, what this client's tokens are good for."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from pydantic import Field

from vaultd.config_types import ConfigTable
from vaultd.terms import Narrowing, Scopes

Level: TypeAlias = Literal["read", "write", "admin"]
Permission: TypeAlias = Annotated[str, Field(pattern=r"^[a-z][a-z_]{0,63}$")]
Owner: TypeAlias = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9-]{0,63}$")]
Repository: TypeAlias = Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,100}$")]


class NarrowConfig(ConfigTable):
    """GitHub's words: `target` is the user or organisation, `repositories` are names of its own, none of them all.

    https://docs.github.com/en/rest/apps/apps#create-a-scoped-access-token
    """

    target: Owner
    repositories: tuple[Repository, ...] = ()
    permissions: Annotated[dict[Permission, Level], Field(min_length=1)]

    @property
    def scopes(self) -> Scopes:
        """The permissions, written as scopes."""
        return Scopes(f"{name}:{level}" for name, level in self.permissions.items())

    def narrowing(self, requested: Scopes | None) -> Narrowing:
        """What a token is to be good for; `requested`, where given, is a part of the permissions."""
        return Narrowing(self.target, tuple(sorted(set(self.repositories))), requested or self.scopes)
