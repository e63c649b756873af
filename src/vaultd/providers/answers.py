"""What providers grant, read warily (security C2): the tokens, and who the account is."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from vaultd.errors import ProviderRefused, ProviderUnavailable
from vaultd.providers.config import ProviderConfig
from vaultd.providers.naming import Answers, look_up, parts_of, placed, read_id
from vaultd.providers.paths import at, texts
from vaultd.providers.received import received_scopes, received_token, sendable_token
from vaultd.providers.words import label_text
from vaultd.sizes import LONGEST_LABEL
from vaultd.terms import Scopes, Secret, Verdict

LONGEST_LIFE = 10 * 365 * 86_400
"""Seconds. Whatever a provider says, no token is taken to live longer."""
NO_TOKEN = "no_token"  # noqa: S105 - a word
_PERSON = "authed_user"
_WHOLE_NUMBER = re.compile(r"-?[0-9]{1,12}(\.[0-9]{1,12})?")


@dataclass(frozen=True, slots=True)
class Grant:
    """A provider's tokens for one account.

    `refresh_token` is None where none came; after a refresh that means: keep the old one (RFC 6749 §6).
    `expires_in` is in seconds. It and `scopes` are None where the provider said nothing; silence about scopes means
    those that were asked for, or had before (RFC 6749 §5.1, §6).
    With `assumed_life` nothing was said, and `expires_in` is what the provider's table assumes.
    `refresh_expires_in` is the refresh token's own life, 0 for one that does not end, None where nothing was said.
    `metadata` is what an API call needs beside the token. `id_token` and `account_fields` are what the answer says
    about the account, not looked at yet.
    """

    access_token: Secret
    refresh_token: Secret | None
    expires_in: int | None
    scopes: Scopes | None
    metadata: dict[str, str] = field(default_factory=dict)
    id_token: Secret | None = None
    account_fields: Mapping[str, object] = field(default_factory=dict, repr=False)
    assumed_life: bool = False
    refresh_expires_in: int | None = None


@dataclass(frozen=True, slots=True)
class Account:
    """Whose token it is at the provider: the immutable id there, and a name that its owner knows.

    `names` are all that the owner may call it by: login, e-mail and the like, the label among them. `former_ids` are
    its ids by each of `former_account_id_fields`, None where the answers do not have that one.
    """

    id: str
    label: str
    names: tuple[str, ...] = ()
    former_ids: tuple[str | None, ...] = ()


def read_grant(members: Mapping[str, Any], config: ProviderConfig, *, refreshed: bool = False) -> Grant:
    """The tokens in a token endpoint's answer (RFC 6749 §5.1).

    Raises:
        ProviderUnavailable: there is no usable token in it, or more in it than is kept of anybody (`sizes`).
        ProviderRefused: `unsupported_token_type`: not a bearer token, so of no use to an agent.
    """
    holder = token_holder(members, config, refreshed=refreshed)
    access_token = received_token(holder, "access_token")
    if access_token is None:
        # An answer without any token is a refusal in words that nobody knows.
        word = None if sendable_token(holder, "refresh_token") else NO_TOKEN
        raise ProviderUnavailable(detail="the answer has no usable access_token", outage=False, word=word)
    # Slack names the owner's kind where others write "bearer".
    bearer = {"bearer", *(("bot", "user") if members.get("ok") is True else ())}
    bearer |= {kind.lower() for kind in config.token_types}
    # Airtable has a space at its end.
    if str(holder.get("token_type") or "bearer").strip().lower() not in bearer:
        # RFC 6749 §7.1
        raise ProviderRefused("unsupported_token_type", detail="token_type is not bearer", verdict=Verdict.APP)
    refresh_token = received_token(holder, "refresh_token")
    # 0 and less are no life of a token that was just issued: it is how some write that it does not end, or that they do
    # not know. Taken at its word, the token could never be given to anybody, and each try would use up a refresh token.
    said = _seconds(holder.get("expires_in")) or None
    # Where nothing came to renew it with, the app is one whose tokens stay: Slack's without token rotation, GitHub's
    # with expiration off. To let it end by a guess would end the connection.
    assumed = said is None and config.expires is True and (refreshed or refresh_token is not None)
    return Grant(
        access_token=access_token,
        refresh_token=refresh_token,
        expires_in=config.assumed_ttl if assumed else said,
        scopes=received_scopes(at(holder, config.scope_field)),
        metadata=texts(members, config.metadata_fields),
        # Nobody looks at it elsewhere, so how long it is does not matter there.
        id_token=received_token(members, "id_token") if config.reads_id_tokens else None,
        account_fields=_account_fields(members, config),
        assumed_life=assumed,
        refresh_expires_in=_refresh_life(holder, config),
    )


def read_account(answers: Answers, config: ProviderConfig) -> Account:
    """The account in what was answered about it.

    Raises:
        ProviderUnavailable: there is not all of the account's id in it.
    """
    source = config.account_source
    account_id = read_id(config.account_id_field, answers, source)
    if account_id is None:
        wanted = " and ".join(" or ".join(part) for part in parts_of(config.account_id_field))
        raise ProviderUnavailable(detail=f"the account has no usable {wanted}", outage=False)
    called = _names(config.account_label_fields, answers, source)
    places = _names(config.account_place_fields, answers, source)
    label = _label(called, places) or account_id
    return Account(
        id=account_id,
        label=label,
        names=tuple(dict.fromkeys([label, *called, *places[:1]])) if called or places else (),
        former_ids=tuple(read_id(fields, answers, source) for fields in config.former_account_id_fields),
    )


def _names(paths: Iterable[str], answers: Answers, source: str) -> list[str]:
    found = (label_text(look_up(path, answers, source)) for path in paths)
    return list(dict.fromkeys(filter(None, found)))


def _label(called: Sequence[str], places: Sequence[str]) -> str | None:
    """The name, with its place behind it: one person may have an account in several."""
    if not (called and places) or called[0] == places[0]:
        return next(iter([*called, *places]), None)
    behind = f" ({places[0][: LONGEST_LABEL // 2]})"
    return f"{called[0][: LONGEST_LABEL - len(behind)]}{behind}"


def _account_fields(members: Mapping[str, Any], config: ProviderConfig) -> dict[str, object]:
    # Where the account is a place of its own, such as a shop, it may be named by a setting alone.
    named = {**members, **config.fixed_settings}
    fields = (config.account_id_field, *config.former_account_id_fields)
    paths = [path for each in fields for part in parts_of(each) for path in part]
    paths += [*config.account_label_fields, *config.account_place_fields]
    here = (within for where, within in (placed(path, config.account_source) for path in paths) if where == "token")
    return {path: at(named, path) for path in here}


def token_holder(members: Mapping[str, Any], config: ProviderConfig, *, refreshed: bool) -> Mapping[str, Any]:
    """The part of an answer in which the tokens stand."""
    path = config.token_path
    # Slack nests a person's token, and what lies beside it is the bot's.
    holder = at(members, _PERSON if path is None else path)
    if isinstance(holder, dict) and (path is not None or holder.get("access_token")):
        return holder
    # A refresh renews the one token that was sent, so an answer that does not nest it can mean no other.
    return members if path is None or refreshed else {}


def _refresh_life(holder: Mapping[str, Any], config: ProviderConfig) -> int | None:
    said = (_seconds(at(holder, path)) for path in config.refresh_life_fields)
    return next((seconds for seconds in said if seconds is not None), None)


def _seconds(value: object) -> int | None:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    # Through text, so that 3600, 3600.0, "3600" and "3600.0" are read alike and NaN and 1e999 not at all.
    text = str(value).strip()
    return min(max(int(float(text)), 0), LONGEST_LIFE) if _WHOLE_NUMBER.fullmatch(text) else None
