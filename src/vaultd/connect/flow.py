"""What passes through a consent, and the pure rules about it."""

from __future__ import annotations

import hmac
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Self
from urllib.parse import urlencode, urlsplit, urlunsplit
from uuid import UUID

from authlib.oauth2.rfc7636 import create_s256_code_challenge

from vaultd.audit.events import Decision, Draft, EventType
from vaultd.clients.config import ProviderGrant
from vaultd.clients.registry import Client
from vaultd.connect.trouble import DECLINED, Kind, Trouble
from vaultd.connections.pending import Pending
from vaultd.errors import ConsentRefused, InvalidInput, Mistake, ProviderRefused
from vaultd.policy import allowed_scopes
from vaultd.providers.config import ProviderConfig
from vaultd.providers.received import received_scopes
from vaultd.providers.registry import Provider
from vaultd.providers.told import at_step
from vaultd.providers.words import identifier_text
from vaultd.sizes import LONGEST_REQUEST
from vaultd.subjects.store import KnownSubject
from vaultd.terms import NO_SCOPES, Scopes

_IDENTIFIER = re.compile(r"[A-Za-z0-9_-]{1,128}")
_SHOWN = 20
"""Parameters that one refusal names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What an app asks the user to allow. `redirect_uri` was found in the client's list by the caller.

    Among `params` there may be the provider's connection settings; `settings` is where they are looked for besides,
    and what is not one of them is nothing to us there.
    """

    client: Client
    provider: str
    redirect_uri: str
    scopes: Scopes | None = None
    state: str | None = None
    code_challenge: str | None = None
    params: Mapping[str, str] | None = None
    settings: Mapping[str, str] | None = None


@dataclass(frozen=True, slots=True)
class Sought:
    """What a consent asks the provider for. `own` is the part that vaultd alone needs."""

    scopes: Scopes
    own: Scopes = NO_SCOPES


@dataclass(frozen=True, slots=True)
class Sent:
    """A consent that leads a browser to its provider."""

    to: str
    sought: Sought


@dataclass(frozen=True, slots=True)
class Begun:
    """A consent that the app has begun; the browser takes the ticket, the app keeps the session."""

    auth_session: str
    ticket: str
    expires_in: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Looked:
    """What a ticket is for, before its browser has agreed to anything. `declined` is the way back for who does not."""

    subject: KnownSubject
    client_id: str | None
    provider: str
    sought: Sought
    settings: Mapping[str, str]
    login_hint: str | None
    back: str
    declined: str

    @classmethod
    def at(cls, begun: Pending, subject: KnownSubject) -> Self:
        """A consent that has begun."""
        return cls(
            subject=subject,
            client_id=begun.client_id,
            provider=begun.provider,
            sought=Sought(Scopes(begun.private["scopes"]), Scopes(begun.private.get("own_scopes", ()))),
            settings=begun.private.get("settings", {}),
            login_hint=begun.private["params"].get("login_hint"),
            back=begun.redirect_uri,
            declined=error_url(begun, DECLINED),
        )


@dataclass(frozen=True, slots=True)
class Returned:
    """What a provider's callback brought, not believed yet."""

    provider: str
    unverified_state: str
    unverified_code: str | None
    unverified_error: str | None
    unverified_issuer: str | None
    unverified_query: Mapping[str, str]
    browser: str | None
    session_subject: UUID | None
    request_id: str | None = None


def begun_with(provider: Provider, wish: Wish) -> tuple[dict[str, str], dict[str, str]]:
    """The connection's settings, and the parameters of the authorization request that the app adds.

    Raises:
        InvalidInput: a parameter that the provider's table does not allow.
        SettingsNeeded: a setting is missing or not accepted.
    """
    config = provider.config
    given = dict(wish.params or {})
    settings = {name: given.pop(name) for name in config.connection_settings if name in given}
    unknown = sorted(set(given) - set(config.allowed_authorization_params))
    if unknown:
        mistake = f"{provider.display_name} takes no such parameter from an app."
        places = [("authorization_params", name) for name in unknown[:_SHOWN]]
        raise InvalidInput(tuple(Mistake(mistake, "body", place) for place in places), _not_taken(unknown[:_SHOWN]))
    return provider.settings_from({**(wish.settings or {}), **settings}), given


def _not_taken(names: Sequence[str]) -> str:
    # As far as a name is plainly one, since the sentence may be shown to a person.
    plain = [name if _IDENTIFIER.fullmatch(name) else "one with another name" for name in names]
    return f"authorization_params may not carry: {', '.join(dict.fromkeys(plain))}."


def scopes_sought(provider: Provider, entry: ProviderGrant, requested: Scopes | None, had: Scopes) -> Sought:
    """What the provider is asked for: what the app names, else the provider's usual scopes as far as it may have them.

    With them goes what vaultd itself needs, and where a consent replaces the grant, what the user granted before
    (`had`). Where a grant beyond the client's list can neither be narrowed nor handed out as it is, only what the list
    allows of it is asked for again: otherwise a consent would leave this client with a grant that is refused.

    Raises:
        InvalidScope: the app names one that it may not have.
    """
    config, rules = provider.config, provider.config.scope_rules
    # What vaultd needs may be named, too: the link that an exchange answers names it.
    allowed_scopes((*entry.scopes, *rules.own), requested, rules)
    if entry.narrow is not None:
        # Permissions are the app's, and not asked for at consent.
        return Sought(Scopes())
    usual = rules.common(config.scopes, entry.scopes)
    # What vaultd asks for anyway is no reason to leave out the rest of the client's list.
    asked = requested or (usual if rules.outside(usual, rules.own) else Scopes(entry.scopes))
    if config.consent_replaces:
        wider = config.narrows or entry.on_wider_grant == "allow"
        before = had if wider else rules.common(had, entry.scopes)
        again = Scopes({*asked, *rules.again(asked, before)})
        asked = again if len(str(again)) <= LONGEST_REQUEST else asked
    both = Scopes({*asked, *rules.outside(rules.own, asked)})
    # Not what the app may have anyway, though vaultd would ask for it as well.
    unlisted = rules.outside(both, entry.scopes)
    return Sought(both, Scopes(unlisted - rules.outside(unlisted, rules.own)))


def callback_scopes(config: ProviderConfig, unverified_query: Mapping[str, str]) -> Scopes | None:
    """What was granted, where the table says that the callback's query tells it. Raises `ProviderUnavailable`.

    It comes through the browser, so users can alter it; but only what is said of their own grant, and no client is
    given more of it than is said.
    """
    if not config.callback_scope:
        return None
    with at_step("authorize"):
        return received_scopes(unverified_query.get(config.callback_scope))


def comes_from(config: ProviderConfig, returned: Returned) -> bool:
    """Whether the answer names the issuer that the provider's table declares (RFC 9207 §2.4).

    The state has matched already. Some providers name themselves beside a code only: an error without a name is an
    error all the same, since nothing is redeemed for it.
    """
    if config.issuer is None or returned.unverified_issuer == config.issuer:
        return True
    return returned.unverified_error is not None and not returned.unverified_issuer


def callback_metadata(config: ProviderConfig, unverified_query: Mapping[str, str]) -> dict[str, str]:
    """What the table looks for in the callback's query, beside the code.

    It comes through the browser, so it is kept only as far as it is a plain identifier, which stays one in any URL.

    Raises:
        ProviderRefused: something is missing, or is none.
    """
    parameters = config.callback_metadata
    given = {name: identifier_text(unverified_query.get(parameter)) for name, parameter in parameters.items()}
    found = {name: value for name, value in given.items() if value is not None}
    if len(found) < len(given):
        refused = ProviderRefused("invalid_request", detail="the callback lacks what the provider's table looks for")
        refused.step = "authorize"
        raise refused
    return found


def why_not(
    taken: Pending, subject: KnownSubject, *, auth_session_hash: bytes, redirect_uri: str, code_verifier: str | None
) -> str | None:
    """Why this completion is not the one that was begun."""
    if taken.subject_id != subject.id:
        return "foreign"
    if not hmac.compare_digest(taken.auth_session_hash or b"", auth_session_hash):
        return "auth_session"
    if taken.redirect_uri != redirect_uri:
        return "redirect_uri"
    if taken.code_challenge is None:
        # RFC 9700 §2.1.1: a verifier without a challenge is somebody's attempt to do without one
        return None if code_verifier is None else "code_verifier"
    # RFC 7636 §4.6
    if code_verifier is None or not hmac.compare_digest(
        create_s256_code_challenge(code_verifier), taken.code_challenge
    ):
        return "code_verifier"
    return None


ERASED = "subject_erased"
"""The user was erased since they began."""


def refused(draft: Draft, taken: Pending, reason: str) -> Draft:
    """The event of a consent that does not become a connection. An erased user's key is not used any more (E6)."""
    return replace(
        draft,
        subject=None if reason == ERASED else draft.subject,
        type=EventType.CONNECTION_REFUSED,
        decision=Decision.REFUSED,
        reason=reason,
        connection=taken.provider,
    )


def refusal(reason: str) -> ConsentRefused:
    """A completion that is refused, in words for the person where they can do something about it."""
    sentence = _SENTENCES.get(reason)
    return ConsentRefused(reason=reason) if sentence is None else ConsentRefused(sentence, reason=reason)


def error_url(waiting: Pending, error: str) -> str:
    """Where a consent that is refused here leaves the browser: back at its app, with words for a person."""
    return _back(waiting, error, _SENTENCES.get(error, "Nothing was connected."))


def trouble_url(waiting: Pending, trouble: Trouble, request_id: str | None) -> str:
    """The same for one that came to nothing at the provider. `request_id` leads the operator to the log and event."""
    sentence = _TROUBLES[trouble.kind]
    # Who only declined, or comes back later, needs nobody's help.
    number = request_id if trouble.kind in _NEED_HELP else None
    if number is not None:
        sentence = f"{sentence} {_NEED_HELP[trouble.kind]} {number}"
    return _back(waiting, trouble.error, sentence, number)


def _back(waiting: Pending, error: str, sentence: str, number: str | None = None) -> str:
    query: dict[str, str | None] = {"error": error, "error_description": sentence}
    if waiting.kind == "door":
        return _door_error(waiting.redirect_uri, waiting.provider, {**query, "number": number})
    return with_query(waiting.redirect_uri, {**query, "state": waiting.private["state"]})


def declined_url(redirect_uri: str, provider: str) -> str:
    """The same for a person who turns back before the provider asks."""
    return _door_error(redirect_uri, provider, {"error": DECLINED, "error_description": _TROUBLES["declined"]})


def _door_error(redirect_uri: str, provider: str, query: dict[str, str | None]) -> str:
    return with_query(redirect_uri, {"connection": provider, "status": "error", **query})


# In ASCII, without quotation marks (RFC 6749 §4.1.2.1).
_TROUBLES: Mapping[Kind, str] = {
    "declined": "You did not allow the connection.",
    "setup": "This service and the provider are not set up rightly for each other, so nothing was connected.",
    "down": "The provider cannot be reached right now. Try again later.",
    "late": "This took too long, or it was finished before. Start again.",
}
_NEED_HELP: Mapping[Kind, str] = {
    "setup": "Tell whoever runs this service, and give this number:",
    "late": "If it fails again, tell whoever runs this service, and give this number:",
}
_SENTENCES = {
    DECLINED: _TROUBLES["declined"],
    "invalid_issuer": "The answer did not come from the provider that was asked.",
    ERASED: "Your data here was erased meanwhile. Start again from your app.",
    "account_limit": "Another account is connected already. Disconnect it first.",
}


def with_query(url: str, members: dict[str, str | None]) -> str:
    """Add members to a URL's query; those that are None are left out."""
    parts = urlsplit(url)
    added = urlencode({name: value for name, value in members.items() if value is not None})
    return urlunsplit(parts._replace(query="&".join(filter(None, [parts.query, added]))))
