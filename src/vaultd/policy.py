"""May this client do this with this token and these scopes? Pure, and denies by default (security A5 to A7)."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

from vaultd.errors import InvalidScope, InvalidTarget, SubjectTokenRefused
from vaultd.scopes import EXACT, ScopeRules
from vaultd.terms import NO_SCOPES, Scopes, Subject

GRANT_UNKNOWN = "grant_unknown"
"""The reason where nobody has told what a grant allows: no more is known to be in it than the client may hold."""

_Entry = TypeVar("_Entry")


@dataclass(frozen=True, slots=True, kw_only=True)
class Presented:
    """A token in a client's hands, and whose tokens this client may present.

    `presenter` is the client that the token names, if it names one, and `client_id` the one that presents it.
    `accepted` are those whose tokens the client's own settings take, `trusted_clients` those that the token's issuer
    trusts. `only_trusted` is true where nothing in the token says that it is for us.
    """

    presenter: str | None
    client_id: str
    accepted: Collection[str]
    trusted_clients: Collection[str]
    only_trusted: bool


def check_presenter(token: Presented) -> None:
    """A client may present only a token that was issued to it, unless its issuer's settings trust it (A5).

    What it accepts is its `subject_azp`.

    Raises:
        SubjectTokenRefused: `wrong_presenter`; `detail` says which setting would allow it.
    """
    _check_issued_to("the token", "subject_azp", token)


def check_actor(token: Presented, *, sub: str) -> None:
    """An actor token, too, is for the client that it was issued to, so that none acts by a stolen one (A5, A6).

    What the client accepts is its `subject_azp` and `actor_azp`. A token of its own names it as `sub` and as the
    client (RFC 9068 §2.2), and needs no setting. By `sub` alone it might be a user of that name, at an issuer who
    knows nothing of clients here.

    Raises:
        SubjectTokenRefused: `wrong_presenter`; `detail` says which setting would allow it.
    """
    if not token.only_trusted and sub == token.client_id == token.presenter:
        return
    _check_issued_to("the actor token", "actor_azp", token)


def check_may_act(
    *,
    may_act: Mapping[str, Any] | None,
    subject_issuer: str,
    actor: Subject | None,
    client_names: Collection[str],
) -> None:
    """`may_act`, where the subject token has one, must name who acts (A6, RFC 8693 §4.4).

    Its `sub` names the actor, or the client itself where no actor token came; without an `iss` beside it, it is
    the subject issuer's name for them. A `client_id` in it names the client.

    Args:
        may_act: the claim of the subject token.
        subject_issuer: the issuer of the subject token.
        actor: the subject of the actor token, if one came.
        client_names: the client's id and its `subject_azp`.

    Raises:
        SubjectTokenRefused: `may_act`.
    """
    if may_act is None:
        return
    if "sub" not in may_act and "client_id" not in may_act:
        raise _may_act_refused("it names neither a sub nor a client_id")
    names = tuple(client_names)  # a claim may hold a list, which no set can be asked for
    if "client_id" in may_act and may_act["client_id"] not in names:
        raise _may_act_refused("its client_id is not this client")
    if "sub" not in may_act:
        return
    issuer, sub = may_act.get("iss", subject_issuer), may_act["sub"]
    if actor is not None:
        if (issuer, sub) != (actor.issuer, actor.sub):
            raise _may_act_refused("it names another actor")
    elif issuer != subject_issuer or sub not in names:
        raise _may_act_refused("it names another actor than this client, and no actor token came")


def entry_at(entries: Mapping[str, _Entry], provider: str) -> _Entry:
    """The client's entry for this provider (A7).

    Raises:
        InvalidTarget: it has none. The same answer as for a provider that is not configured (A8).
    """
    entry = entries.get(provider)
    if entry is None:
        raise InvalidTarget(reason="forbidden_provider")
    return entry


def allowed_scopes(grant: Collection[str], requested: Scopes | None, rules: ScopeRules = EXACT) -> Scopes:
    """The scopes this request is about: those requested, or without any the client's whole list (A7).

    Raises:
        InvalidScope: `scope_not_allowed`: one of them is outside the client's list.
    """
    allowed = Scopes(grant)
    if not requested:
        return allowed
    beyond = rules.outside(requested, allowed)
    if beyond:
        raise InvalidScope(reason="scope_not_allowed", detail=f"not in the client's list: {beyond}")
    return requested


def check_covered(
    *,
    granted: Scopes,
    unclear: Scopes,
    requested: Scopes | None,
    on_wider_grant: Literal["refuse", "allow"],
    rules: ScopeRules = EXACT,
) -> bool:
    """Whether the grant is good for what is requested (B6); if not, the user is asked for it.

    Whoever has agreed to it is not asked again and again. `unclear` is what was asked for where the provider answered
    in words that are not known here, or left it out twice: it may be granted, so a client whose entry takes any grant
    gets the token.

    Raises:
        InvalidScope: `scope_unclear`.
    """
    missing = rules.missing(granted, requested or ())
    if not missing:
        return True
    if rules.missing(unclear, missing):
        return False
    if on_wider_grant == "allow":
        return True
    answered = f"answered {granted}; scope_aliases of its table would tell" if granted else "named no scopes"
    raise InvalidScope(
        "The provider has not said in known words whether it granted this.",
        reason="scope_unclear",
        detail=f"asked for {missing}, the provider {answered}",
    )


def check_delivery(
    *,
    granted: Scopes,
    allowed: Collection[str],
    on_wider_grant: Literal["refuse", "allow"],
    unclear: Scopes = NO_SCOPES,
    rules: ScopeRules = EXACT,
) -> None:
    """A token leaves only if all its scopes are in the client's list, or the client's entry says otherwise (A7).

    One whose scopes are not known is in no list. `unclear` is as `check_covered` has it.

    Raises:
        InvalidScope: `wider_grant`, or `grant_unknown`.
    """
    if on_wider_grant == "allow" or rules.lies_within(granted, allowed):
        return
    if not granted:
        raise InvalidScope(
            "What the connected account allows is not known.",
            reason=GRANT_UNKNOWN,
            detail="the provider has not told the grant's scopes",
        )
    spelled = f"; whether one of these is another word for {unclear} is not known: see scope_aliases" if unclear else ""
    raise InvalidScope(
        "The connected account allows more than this client may hold.",
        reason="wider_grant",
        detail=f"beyond the client's list: {rules.beyond(granted, allowed)}{spelled}",
    )


def scopes_to_narrow_to(
    *,
    granted: Scopes,
    allowed: Scopes,
    requested: Scopes | None,
    on_wider_grant: Literal["refuse", "allow"],
    can_narrow: bool,
    unclear: Scopes = NO_SCOPES,
    rules: ScopeRules = EXACT,
) -> Scopes | None:
    """What the token that leaves is to carry where that is less than the grant; None: the stored token leaves (A7).

    Without a request it is what grant and list have in common. At a provider that can narrow, a token never leaves
    with more than is asked for; where it cannot, the whole token leaves or none does.

    Args:
        granted: the scopes of the user's grant.
        allowed: the client's list.
        requested: a part of both, if the request names any.
        on_wider_grant: what the client's entry says of a token that carries more than the list.
        can_narrow: whether a token for fewer scopes can be had for this grant.
        unclear: what may be granted in words that are not known here.
        rules: what the provider's scopes mean. What weakens nothing is no reason to narrow.

    Raises:
        InvalidScope: `no_scope_in_common`, which no token can be narrowed to (RFC 6749 §3.3 has no empty scope),
            `wider_grant`, or `grant_unknown`.
    """
    if on_wider_grant == "allow" and rules.generic_among(requested or allowed):
        # Whatever was granted is what is meant.
        return None
    target = requested or rules.common(granted, allowed)
    if can_narrow and rules.beyond(granted, target):
        if not target:
            raise _nothing_in_common()
        return target
    check_delivery(granted=granted, allowed=allowed, on_wider_grant=on_wider_grant, unclear=unclear, rules=rules)
    everything = not allowed and rules.of_app != "never"
    if granted and not everything and not target and on_wider_grant == "refuse":
        # What vaultd needs itself, and what comes along, is no reason to hand a token out.
        raise _nothing_in_common()
    return None


def _nothing_in_common() -> InvalidScope:
    return InvalidScope(
        "The connected account allows nothing of what this client may hold.", reason="no_scope_in_common"
    )


def _check_issued_to(what: str, setting: str, token: Presented) -> None:
    if token.client_id in token.trusted_clients:
        return
    if not token.only_trusted and token.presenter is not None and token.presenter in token.accepted:
        return
    remedy = f"trusted_clients of {what}'s issuer would have to list {token.client_id!r}"
    if token.presenter is not None and not token.only_trusted:
        remedy = f"{setting} of [clients.{token.client_id}] would have to list {token.presenter!r}, or {remedy}"
    named = "names no client" if token.presenter is None else f"was issued to {token.presenter!r}"
    raise SubjectTokenRefused(reason="wrong_presenter", detail=f"{what} {named}; {remedy}")


def _may_act_refused(detail: str) -> SubjectTokenRefused:
    return SubjectTokenRefused(reason="may_act", detail=f"may_act: {detail}")
