"""How a `[providers.X]` table says what a grant is for, and how it was named by earlier releases."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from pydantic import BeforeValidator

from vaultd.config_types import ConfigTable, Text
from vaultd.providers.naming import IdFields, check_id_fields

GrantFor: TypeAlias = Literal["person", "member", "workspace", "company", "account", "site"]
FormerIdFields: TypeAlias = Annotated[IdFields, BeforeValidator(check_id_fields)]


class NamingConfig(ConfigTable):
    """What a grant is for: two consents for two of these are two accounts, and never one that replaces the other.

    `grant_for` says it to people: "person"; "member", a person within one workspace, team or organisation, so that who
    belongs to two of them has two accounts; or "workspace", "company", "account" or "site", a place that several people
    may connect. The account's id must be of that.
    `account_place_fields` are paths of the place's name, the first of which is shown behind the account's label.
    `former_account_id_fields` are what `account_id_field` was before, each as it stood there. A connection that has its
    id from one of them is recognised at its user's next consent (`docs/providers.md`).
    """

    grant_for: GrantFor | None = None
    account_place_fields: tuple[Text, ...] = ()
    former_account_id_fields: tuple[FormerIdFields, ...] = ()
