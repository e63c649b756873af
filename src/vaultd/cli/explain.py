"""`vaultd clients explain`: what would be decided for a client at a provider, by the rules that the exchange goes by.

Nothing is known here of any user, so grants are supposed: one that fits, the client's whole list, and one beyond it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import typer

from vaultd.cli.warnings import useless_list
from vaultd.clients.config import LimitsConfig, ProviderGrant
from vaultd.clients.registry import Client
from vaultd.errors import InvalidScope, InvalidTarget, RequestRefused, SubjectTokenRefused
from vaultd.policy import GRANT_UNKNOWN, Presented, allowed_scopes, check_presenter, entry_at, scopes_to_narrow_to
from vaultd.providers.config import ProviderConfig
from vaultd.providers.registry import Provider, Providers
from vaultd.settings import Settings
from vaultd.settings.mistakes import meant
from vaultd.subjects.config import IssuerConfig
from vaultd.terms import ClientId, Scopes

_BEYOND = "…"
"""Stands for what the user granted beyond the client's list; not ASCII, so no scope (RFC 6749 §3.3)."""
_STRANGER = "\0"
"""A client that nobody has, so that no list holds it."""


@dataclass(frozen=True, slots=True)
class Presentable:
    """Which subject tokens of one issuer the client may present."""

    issuer: str
    issued_to: tuple[str, ...]
    any_client: bool


@dataclass(frozen=True, slots=True)
class Delivery:
    """What leaves if the user has granted this: the stored token, one with these scopes, or nothing for this reason."""

    grant: str
    granted: Scopes
    narrowed_to: Scopes | None = None
    refused: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """The decision, and everything that it rests on. `refusal` is the one that no grant of the user's could avert.

    `asserts`: the client may also name a user who is away.
    """

    client: Client
    provider: Provider
    requested: Scopes | None
    entry: ProviderGrant | None
    subject_tokens: tuple[Presentable, ...]
    asserts: bool
    deliveries: tuple[Delivery, ...]
    refusal: RequestRefused | None

    @property
    def not_in_list(self) -> Scopes:
        """The requested scopes that the client's list does not have."""
        listed = self.entry.scopes if self.entry else ()
        return self.provider.config.scope_rules.outside(self.requested or (), listed)


def find(settings: Settings, client: str, provider: str) -> tuple[Client, Provider]:
    """The two by their names.

    Raises:
        BadParameter: there is none of that name; it says which is most like it.
    """
    config = settings.clients.get(client)
    if config is None:
        text = f"No client {client} is configured; {meant(client, settings.clients)}"
        raise typer.BadParameter(text, param_hint="CLIENT")
    try:
        return Client(ClientId(client), config), Providers(configs=settings.providers).get(provider)
    except InvalidTarget:
        text = f"No provider {provider} is configured; {meant(provider, settings.providers)}"
        raise typer.BadParameter(text, param_hint="PROVIDER") from None


def explain(settings: Settings, client: Client, provider: Provider, requested: Scopes | None) -> Explanation:
    """What an exchange by this client at this provider comes to."""
    tokens = tuple(_presentable(name, issuer, client) for name, issuer in settings.issuers.items())
    entry: ProviderGrant | None = None
    deliveries: tuple[Delivery, ...] = ()
    refusal: RequestRefused | None = None
    try:
        entry = entry_at(client.config.providers, provider.name)
        asked = allowed_scopes(entry.scopes, requested, provider.config.scope_rules)
        deliveries = tuple(_deliveries(entry, provider, asked, requested))
        if useless_list(provider.name, provider.config, entry) is not None:
            # Of tokens without scopes nobody can say that they lie within a list that has some.
            unknown = provider.config.scopes_of_app == "always" and bool(entry.scopes)
            refusal = InvalidScope(reason=GRANT_UNKNOWN if unknown else "wider_grant")
    except (InvalidTarget, InvalidScope) as error:
        refusal = error
    asserts = client.config.may_assert_subjects and provider.name in client.config.assert_providers
    if refusal is None and not asserts and not any(one.issued_to or one.any_client for one in tokens):
        refusal = SubjectTokenRefused(reason="wrong_presenter")
    return Explanation(
        client=client,
        provider=provider,
        requested=requested,
        entry=entry,
        subject_tokens=tokens,
        asserts=asserts,
        deliveries=deliveries,
        refusal=refusal,
    )


def _presentable(name: str, issuer: IssuerConfig, client: Client) -> Presentable:
    def accepted(presenter: str | None) -> bool:
        try:
            check_presenter(
                Presented(
                    presenter=presenter,
                    client_id=client.id,
                    accepted=client.subject_azp,
                    trusted_clients=issuer.trusted_clients,
                    only_trusted=issuer.names_no_audience,
                )
            )
        except SubjectTokenRefused:
            return False
        return True

    return Presentable(name, tuple(filter(accepted, client.subject_azp)), accepted(_STRANGER) and accepted(None))


def _deliveries(
    entry: ProviderGrant, provider: Provider, asked: Scopes, requested: Scopes | None
) -> Iterator[Delivery]:
    whole = Scopes(entry.scopes)
    wider = Scopes({*whole, _BEYOND})
    if entry.narrow is not None:
        yield Delivery("whatever the app may do", Scopes({_BEYOND}), narrowed_to=entry.narrow.narrowing(requested).key)
        return
    narrows = provider.config.narrows
    supposed = [("what is asked for", asked, narrows)]
    if whole != asked:
        supposed.append(("the whole list", whole, narrows))
    supposed.append(("more than the list", wider, narrows))
    if narrows:
        supposed.append(("more, without a refresh token", wider, False))
    if whole and provider.config.scopes_of_app != "never":
        supposed.append(("what nobody told", Scopes(), narrows))
    for words, granted, can_narrow in supposed:
        try:
            narrower = scopes_to_narrow_to(
                granted=granted,
                allowed=whole,
                requested=requested,
                on_wider_grant=entry.on_wider_grant,
                can_narrow=can_narrow,
                rules=provider.config.scope_rules,
            )
        except InvalidScope as error:
            yield Delivery(words, granted, refused=error.reason)
        else:
            yield Delivery(words, granted, narrowed_to=narrower)


def as_json(told: Explanation) -> dict[str, Any]:
    """For a program to read."""
    client, entry = told.client.config, told.entry
    return {
        "client": told.client.id,
        "provider": told.provider.name,
        "allowed": told.refusal is None,
        "error": told.refusal.code if told.refusal else None,
        "reason": told.refusal.reason if told.refusal else None,
        "explanation": verdict(told),
        "scopes": sorted(entry.scopes) if entry else None,
        "requested": sorted(told.requested) if told.requested else None,
        "not_in_list": sorted(told.not_in_list),
        "own_scopes": sorted(told.provider.config.scope_rules.own),
        "on_wider_grant": entry.on_wider_grant if entry else None,
        "narrowing": told.provider.config.narrowing,
        "deliveries": [
            {
                "grant": one.grant,
                "granted": sorted(one.granted),
                "outcome": "refused" if one.refused else "narrowed" if one.narrowed_to else "stored_token",
                "scopes": None if one.refused else sorted(one.narrowed_to or one.granted),
                "reason": one.refused,
            }
            for one in told.deliveries
        ],
        "authentication": {
            "method": client.auth,
            "implicit": client.implicit,
            "ip_allowlist": client.ip_allowlist,
        },
        "subject_tokens": [
            {"issuer": one.issuer, "issued_to": one.issued_to, "any_client": one.any_client}
            for one in told.subject_tokens
        ],
        "may_assert_subjects": told.asserts,
        "limits": client.limits.model_dump() if client.limits else None,
        "subject_limits": client.subject_limits.model_dump() if client.subject_limits else None,
    }


def as_text(told: Explanation) -> Iterator[str]:
    """For a person, line by line."""
    client, entry, config = told.client.config, told.entry, told.provider.config
    yield verdict(told)
    yield ""
    rows = [("authenticates by", _authentication(told.client))]
    rows += [(f"tokens of {one.issuer}", _presents(one)) for one in told.subject_tokens]
    rows += [
        ("users who are away", "it may name them, unless they switched that off" if told.asserts else "not theirs")
    ]
    rows += [("limits", _limits(client.limits)), ("limits for one user", _limits(client.subject_limits))]
    if entry is not None:
        rows += [("its list", str(Scopes(entry.scopes)) or "empty")]
        if config.scope_rules.own:
            rows += [("vaultd itself asks for", f"{config.scope_rules.own}, which counts against no client's list")]
        rows += [("requested", str(told.requested) if told.requested else "nothing, so what list and grant share")]
        rows += [("on a wider grant", entry.on_wider_grant)]
        rows += [("narrowing here", _narrowing(entry, config))]
    rows += [(f"granted {one.grant}", _delivery(one)) for one in told.deliveries]
    width = max(len(name) for name, _ in rows)
    for name, text in rows:
        yield f"  {name:<{width}}  {text}"


def verdict(told: Explanation) -> str:
    """The decision in one sentence."""
    asks = f"{told.client.id} at {told.provider.name}"
    if told.refusal is None:
        return f"{asks}: allowed, once the user has granted it."
    if told.entry is None:
        why = f"[clients.{told.client.id}.providers] has no entry for {told.provider.name}"
    elif told.not_in_list:
        why = f"its list does not have {told.not_in_list}"
    elif useless := useless_list(told.provider.name, told.provider.config, told.entry):
        why = useless
    else:
        why = "it may present no issuer's tokens; see subject_azp of the client and trusted_clients of the issuer"
    return f"{asks}: refused with {told.refusal.code}, whatever the user granted: {why}."


def _narrowing(entry: ProviderGrant, config: ProviderConfig) -> str:
    if entry.narrow is not None:
        return "always, by GitHub's scoped tokens"
    if config.narrowing == "github_scoped":
        return "by GitHub's scoped tokens, if the client's entry says to what (narrow)"
    return "by a refresh, given a refresh token" if config.narrows else "not possible"


def _limits(limits: LimitsConfig | None) -> str:
    return f"{limits.per_second:g} a second, {limits.burst} at once" if limits else "none of its own"


def _authentication(client: Client) -> str:
    config = client.config
    text: str = "nothing (auth = none)" if config.auth == "none" else config.auth
    if config.implicit:
        text += ", and need not name itself"
    return text + (f", from {', '.join(config.ip_allowlist)}" if config.ip_allowlist else "")


def _presents(tokens: Presentable) -> str:
    if tokens.any_client:
        return "whomever they were issued to (trusted_clients)"
    return f"issued to {', '.join(tokens.issued_to)}" if tokens.issued_to else "none"


def _delivery(delivery: Delivery) -> str:
    if delivery.refused:
        return f"refused with invalid_scope ({delivery.refused})"
    if delivery.narrowed_to is not None:
        return f"a narrowed token: {delivery.narrowed_to}"
    return f"the stored token: {delivery.granted}"
