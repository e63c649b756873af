"""What an operator may have configured knowingly, and is told about all the same. Looks at the settings alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import combinations

from vaultd.clients.config import ClientConfig, ProviderGrant
from vaultd.providers.catalogue import load_catalogue
from vaultd.providers.config import ProviderConfig
from vaultd.providers.config_about import AboutConfig
from vaultd.providers.lint import entry_config
from vaultd.providers.sender import written_otherwise
from vaultd.settings import Settings

NOTHING = "none"
"""By which a client proves itself that anyone may say to be."""
_SHOWN = 6
_FELT = ("identity_scopes", "renewal_scopes", "authorization_params", "account_id_field", "refusals")
"""What is missed first where a table does not have it."""


def warnings(settings: Settings) -> Iterator[tuple[str, str]]:
    """What it is about, and what can come of it."""
    if settings.database.tls == "unverified":
        text = "the server need not prove itself: whoever stands in between reads the password, and then everything"
        yield "database tls", text
    for provider, config in settings.providers.items():
        yield from list_warnings(settings, provider, config)
    yield from _without_secret(settings)
    yield from _secrets_worth_nothing(settings.clients)
    yield from _trusted_without_secret(settings)
    yield from _never_revoked(settings)
    yield from _taken_for_one(settings.providers)
    yield from _two_encodings(settings.providers)
    yield from _named_like_an_entry(settings.providers)


def useless_list(provider: str, config: ProviderConfig, entry: ProviderGrant) -> str | None:
    """Why nothing can lie within a client's list for a provider, and what to write; None where something can."""
    if entry.narrow or entry.on_wider_grant == "allow":
        return None
    generic = config.scope_rules.generic_among(entry.scopes)
    if generic and not config.scope_rules.outside(entry.scopes, {*generic, *config.scope_rules.own}):
        remedy = 'write the scopes that it needs, or on_wider_grant = "allow"'
        return f"its list for {provider} is {generic}, which is whatever was granted, and bounds nothing; {remedy}"
    if not entry.scopes and config.scopes_of_app == "never":
        remedy = f'write the scopes that it needs, or, if {provider} has none, scopes_of_app = "always" in its table'
        return f"its list for {provider} is empty, and no grant lies within that; {remedy}"
    # Only the answers could tell what its tokens may do, and this provider's do not, as it has no scopes to ask for.
    if entry.scopes and config.scopes_of_app == "always" and not config.scopes:
        remedy = f"write {provider} = []" + (", or narrow" if config.narrowing == "github_scoped" else "")
        return f"its list for {provider} has scopes, and tokens there have none; {remedy}"
    return None


def list_warnings(settings: Settings, provider: str, config: ProviderConfig) -> Iterator[tuple[str, str]]:
    """Whose list for a provider cannot work, by itself or beside another's, and what to write."""
    entries = {
        name: client.providers[provider] for name, client in settings.clients.items() if provider in client.providers
    }
    for name, entry in entries.items():
        why = useless_list(provider, config, entry)
        if why is not None:
            yield _client(name), f"{why}: until then every exchange is refused"
            continue
        generic = config.scope_rules.generic_among(entry.scopes)
        beside = config.scope_rules.outside(entry.scopes, {*generic, *config.scope_rules.own})
        if generic and beside:
            text = f"its list for {provider} has {generic} beside {beside}, and the provider takes it only alone"
            yield _client(name), f"{text}; write one of the two"
    yield from _lists_apart(entries, provider, config)


def _lists_apart(
    entries: Mapping[str, ProviderGrant], provider: str, config: ProviderConfig
) -> Iterator[tuple[str, str]]:
    """One account has one grant. Where it cannot be narrowed, it lies within two lists only if one includes the other.

    A provider that keeps what was granted gives both clients a token that neither may have; at another, each consent
    for one of them ends what the other lives on.
    """
    if config.narrows:
        return
    strict = {
        name: entry.scopes
        for name, entry in entries.items()
        if entry.scopes and entry.on_wider_grant == "refuse" and not entry.narrow
    }
    rules = config.scope_rules
    for one, other in combinations(strict, 2):
        if rules.lies_within(strict[one], strict[other]) or rules.lies_within(strict[other], strict[one]):
            continue
        text = f"neither its list for {provider} nor that of {other} includes the other"
        remedy = 'write one list for both, or on_wider_grant = "allow"'
        yield _client(one), f"{text}, and a user's account has one grant: only one of them is served; {remedy}"


def _without_secret(settings: Settings) -> Iterator[tuple[str, str]]:
    # Any issuer's token may name such a client. Bound to a key, a stolen one is of no use (api.md §1.1).
    if settings.issuers and all(issuer.dpop == "required" for issuer in settings.issuers.values()):
        return
    for name, client in settings.clients.items():
        if client.auth == NOTHING and not client.ip_allowlist:
            how = "implicit" if client.implicit else 'auth = "none"'
            yield _client(name), f"{how} without ip_allowlist: whoever has a user's session token gets provider tokens"


def _secrets_worth_nothing(clients: Mapping[str, ClientConfig]) -> Iterator[tuple[str, str]]:
    """A token that two clients accept is presented through the one that asks for less."""
    for name, client in clients.items():
        if client.auth != NOTHING:
            continue
        for other, proven in clients.items():
            shared = sorted(_accepted(name, client) & _accepted(other, proven))
            if proven.auth != NOTHING and shared:
                tokens = ", ".join(f'"{azp}"' for azp in shared)
                text = f"takes tokens issued to {tokens}, as {other} does, and has no secret"
                yield _client(name), f"{text}: for what both may have, the secret of {other} is worth nothing"


def _trusted_without_secret(settings: Settings) -> Iterator[tuple[str, str]]:
    for issuer, config in settings.issuers.items():
        for name in config.trusted_clients:
            client = settings.clients.get(name)
            if client is not None and client.auth == NOTHING:
                text = f"is among trusted_clients of issuer {issuer}, and has no secret"
                yield _client(name), f"{text}: whoever has any token of that issuer gets what this client may have"


def _never_revoked(settings: Settings) -> Iterator[tuple[str, str]]:
    """Where nobody can say whose a grant is, and no table what its revocation ends, others may live on it."""
    for name, provider in settings.providers.items():
        unknown = provider.revocation_ends is None and not provider.names_accounts
        if provider.revocation_endpoint is not None and unknown:
            text = "names no accounts, and no revocation_ends says what a revocation ends: a token is revoked at the"
            yield f"provider {name}", f"{text} provider only when nobody else is connected there"


def _taken_for_one(providers: Mapping[str, ProviderConfig]) -> Iterator[tuple[str, str]]:
    """Where two accounts of a user may have one id, so that a consent for the second takes the first one's place."""
    for name, provider in providers.items():
        if not provider.names_accounts:
            text = (
                "names no accounts: each consent of a user takes the place of the one before, whosever account it was"
            )
            yield f"provider {name}", text
        if (path := provider.changeable_id) is not None:
            text = f"its account_id_field names {path}, which people change and providers give to others later: whoever"
            yield (
                f"provider {name}",
                f"{text} has it then is taken for the one before; name what stays, such as sub or id",
            )
        for setting in provider.unnamed_settings:
            text = f"its account_id_field does not name setting:{setting}: accounts with one id at two places are taken"
            yield f"provider {name}", f"{text} for one, and the second takes the place of the first"


def _two_encodings(providers: Mapping[str, ProviderConfig]) -> Iterator[tuple[str, str]]:
    """Where a server that reads Basic in the other of its two ways would see another id or secret."""
    for name, provider in providers.items():
        method = written_otherwise(provider)
        if method is not None:
            text = "its client_id or client_secret has characters that client_secret_basic form-encodes"
            other = (
                f"{text} and client_secret_basic_raw does not; if the provider answers invalid_client, write {method}"
            )
            yield f"provider {name}", other


def _named_like_an_entry(providers: Mapping[str, ProviderConfig]) -> Iterator[tuple[str, str]]:
    """Where an endpoint of a table's own puts the catalogue's entry of its name aside, which its name does not say."""
    catalogue = load_catalogue()
    for name, provider in providers.items():
        if name not in catalogue or provider.extends is not None:
            continue
        entry = entry_config(catalogue[name])
        # How tokens are given back is taken over or not with `revocation`, which the table may say otherwise.
        keys = catalogue[name].keys() - provider.model_fields_set - AboutConfig.model_fields.keys()
        lost = {key for key in keys if "revocation" not in key and getattr(entry, key) != getattr(provider, key)}
        if lost:
            told = [*(key for key in _FELT if key in lost), *sorted(lost - set(_FELT))]
            shown = ", ".join(told[:_SHOWN]) + (" and more" if len(told) > _SHOWN else "")
            text = f"has an endpoint of its own, so nothing of the catalogue's {name} holds for it, such as {shown}"
            remedy = f'write extends = "{name}", and each endpoint that is elsewhere, or give it another name'
            yield f"provider {name}", f"{text}; {remedy}"


def _accepted(name: str, client: ClientConfig) -> frozenset[str]:
    return frozenset((name,) if client.subject_azp is None else client.subject_azp)


def _client(name: str) -> str:
    return f"client {name}"
