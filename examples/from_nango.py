"""Write the OAuth 2 connections of a Nango environment as lines for `vaultd import`, to standard output.

    export NANGO_API_KEY=…
    python3 examples/from_nango.py --issuer app --integration google-prod=google |
        vaultd import - --ask-provider --dry-run

Needs Python 3.11 and nothing else. What cannot be moved is named on standard error by its connection id, never with a
token. Nothing is written unless all was read, so that a part is not taken for the whole.
Nango's side is as its documentation has it: GET /connections lists connections without their credentials, and
GET /connections/{id}?refresh_token=true gives one with them. What a provider needs beside the token, such as the name
of a shop, stands in `connection_config` there; `metadata` there is your app's own, and is moved where you ask for it.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
import time
from collections.abc import Iterator, Mapping
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import quote, urlencode, urlsplit
from urllib.request import Request, urlopen

CARRIED: Mapping[str, Mapping[str, str]] = {
    "auth0": {"settings.tenant": "connection_config.subdomain"},
    "confluence": {"metadata.sites[]": "connection_config.cloudId", "account.id": "connection_config.accountId"},
    "jira": {"metadata.sites[]": "connection_config.cloudId", "account.id": "connection_config.accountId"},
    "notion": {"metadata.workspace_id": "connection_config.workspace_id"},
    "okta": {"settings.org": "connection_config.subdomain"},
    "quickbooks": {"metadata.realm_id": "connection_config.realmId"},
    "quickbooks-sandbox": {"metadata.realm_id": "connection_config.realmId"},
    "salesforce": {"metadata.instance_url": "connection_config.instance_url"},
    "salesforce-sandbox": {"metadata.instance_url": "connection_config.instance_url"},
    "shopify": {"settings.shop": "connection_config.subdomain"},
    "slack": {"metadata.team_id": "connection_config.team.id"},
    "zendesk": {"settings.subdomain": "connection_config.subdomain"},
}
"""By Nango's name of the provider: the place in the line, and where it stands in the connection.

Nango's names are those of https://github.com/NangoHQ/nango/blob/2f4c0af671/packages/providers/providers.yaml
(2026-11-30), the line's those of vaultd's catalogue. `[]` makes a list of one.
"""
_PLACE = re.compile(r"(settings|metadata|account)\.([a-z][a-z0-9_]{0,31})(\[\])?")
MOST_LISTED = 10_000
"""Nango's server lists no more connections at once than this."""
_DEAD = (HTTPStatus.BAD_REQUEST, HTTPStatus.NOT_FOUND, HTTPStatus.FAILED_DEPENDENCY)
"""How it answers when a connection's credentials cannot be refreshed any more, or are gone."""


class Skipped(Exception):
    """A connection that cannot be moved, and why."""


class Stopped(Exception):
    """The export cannot go on."""


class Nango:
    """The two calls of Nango's API that are needed. A 429 is waited for, as its `Retry-After` says."""

    def __init__(self, *, host: str, key: str) -> None:
        place = urlsplit(host)
        on_this_machine = place.scheme == "http" and place.hostname in {"localhost", "127.0.0.1"}
        if place.scheme != "https" and not on_this_machine:
            raise Stopped("--host must begin with https://, as refresh tokens come from there")
        self._host = host.rstrip("/")
        self._key = key

    def connections(self, integration: str) -> list[dict[str, Any]]:
        """All connections of an integration, without their credentials."""
        try:
            found: list[dict[str, Any]] = self._get("/connections", {"integrationId": integration})["connections"]
        except HTTPError as error:
            raise Stopped(f"Nango answers {error.code} to the list of {integration}") from None
        if len(found) >= MOST_LISTED:
            raise Stopped(f"{integration} has {MOST_LISTED} connections or more, and Nango may have left some out")
        # An older server knows no such filter, and lists everything.
        return [one for one in found if one["provider_config_key"] == integration]

    def with_credentials(self, connection_id: str, integration: str) -> dict[str, Any]:
        """One connection with its tokens; Nango refreshes them first where they are about to end."""
        query = {"provider_config_key": integration, "refresh_token": "true"}
        try:
            return self._get(f"/connections/{quote(connection_id, safe='')}", query)
        except HTTPError as error:
            if error.code in _DEAD:
                raise Skipped(f"Nango has no good credentials for it (status {error.code})") from None
            raise Stopped(f"Nango answers {error.code} to the connection {connection_id}") from None

    def _get(self, path: str, query: Mapping[str, str]) -> dict[str, Any]:
        headers = {"Authorization": f"Bearer {self._key}", "Accept": "application/json"}
        # The scheme was looked at when the host was given.
        request = Request(f"{self._host}{path}?{urlencode(query)}", headers=headers)  # noqa: S310
        while True:
            try:
                with urlopen(request, timeout=60) as answer:  # noqa: S310
                    document: dict[str, Any] = json.load(answer)
                    return document
            except HTTPError as error:
                if error.code != HTTPStatus.TOO_MANY_REQUESTS:
                    raise
                time.sleep(_pause(error.headers.get("Retry-After", "")))
            except URLError as error:
                raise Stopped(f"{self._host} cannot be reached: {error.reason}") from None


def _pause(text: str) -> float:
    """Seconds or a date (RFC 9110 §10.2.3), as the seconds that are left; one where it is neither."""
    if re.fullmatch(r"[0-9]{1,9}", text):
        return float(text)
    try:
        return max(parsedate_to_datetime(text).timestamp() - time.time(), 0.0)
    except (ValueError, TypeError, OverflowError):
        return 1.0


def import_line(
    connection: Mapping[str, Any],
    *,
    issuer: str,
    provider: str,
    user_tag: str = "end_user_id",
    users: Mapping[str, str] | None = None,
    scopes: str | None = None,
    carried: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """The line of docs/import.md for a connection as Nango gives it with its credentials. Raises `Skipped`.

    Args:
        connection: the answer to `GET /connections/{id}`.
        issuer: the `[issuers.X]` table's name, or its URL.
        provider: the `[providers.X]` table's name.
        user_tag: the tag that holds your user's id; Nango's former `end_user.id` is used where there is none.
        users: that id to the `sub` of your session tokens, where they differ.
        scopes: what the users granted, where the provider's answer does not say.
        carried: further values for the line, by their place in it: `{"settings.site": "connection_config.site"}`.
    """
    credentials = connection["credentials"]
    if credentials.get("type") != "OAUTH2":
        raise Skipped(f"its credentials are of the type {credentials.get('type')}, and only OAUTH2 can be moved")
    user = (connection.get("tags") or {}).get(user_tag) or (connection.get("end_user") or {}).get("id")
    if not user:
        raise Skipped(f"it has neither the tag {user_tag} nor an end user, so nobody knows whose it is")
    if users is not None and user not in users:
        raise Skipped(f"its user {user} is not in the file of users")
    granted = (credentials.get("raw") or {}).get("scope") or scopes
    if granted is None:
        raise Skipped("the provider's answer names no scopes; write them with --scopes")
    line = {
        "issuer": issuer,
        "sub": users[user] if users is not None else user,
        "provider": provider,
        "scopes": granted,
        "refresh_token": credentials.get("refresh_token"),
        "access_token": credentials.get("access_token"),
        "expires_at": credentials.get("expires_at"),
    }
    line |= _carried(connection, {**CARRIED.get(connection.get("provider", ""), {}), **(carried or {})})
    return {name: value for name, value in line.items() if value is not None}


def _carried(connection: Mapping[str, Any], places: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """The line's `settings`, `metadata` and `account`, as far as the connection has what belongs there."""
    found: dict[str, dict[str, Any]] = {}
    for place, path in places.items():
        value = _at(connection, path)
        named = _PLACE.fullmatch(place)
        if value is not None and named is not None:
            found.setdefault(named[1], {})[named[2]] = [value] if named[3] else value
    return found


def _at(document: Any, path: str) -> Any:
    """What stands at a path. Nango keeps some names with a dot in them as they are, such as `team.id`."""
    before, dot, behind = path.partition(".")
    if not isinstance(document, Mapping):
        return None
    if path in document or not dot:
        return document.get(path)
    return _at(document.get(before), behind)


def lines(nango: Nango, options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Every connection that can be moved; the others are told of."""
    users = json.loads(options.users.read_text(encoding="utf-8")) if options.users else None
    scopes = dict(options.scopes)
    carried: dict[str, dict[str, str]] = {}
    for integration, (place, path) in options.carry:
        carried.setdefault(integration, {})[place] = path
    for integration, provider in options.integration:
        for listed in nango.connections(integration):
            connection_id = listed["connection_id"]
            try:
                yield import_line(
                    nango.with_credentials(connection_id, integration),
                    issuer=options.issuer,
                    provider=provider,
                    user_tag=options.user_tag,
                    users=users,
                    scopes=scopes.get(integration),
                    carried=carried.get(integration),
                )
            except Skipped as why:
                sys.stderr.write(f"left out: {integration} {connection_id}: {why}\n")


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not (name and equals and value):
        raise argparse.ArgumentTypeError(f"{text!r} is no NAME=VALUE")
    return name, value


def _carry(text: str) -> tuple[str, tuple[str, str]]:
    integration, _, pair = text.partition(":")
    place, path = _pair(pair)
    if not integration or not _PLACE.fullmatch(place):
        raise argparse.ArgumentTypeError(
            f"{text!r} is no NANGO:PLACE=PATH, such as acme-prod:settings.site=metadata.site"
        )
    return integration, (place, path)


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Nango's OAuth 2 connections as lines for vaultd import.")
    parser.add_argument("--issuer", required=True, help="the [issuers.X] table of your session tokens")
    parser.add_argument(
        "--integration",
        required=True,
        action="append",
        type=_pair,
        metavar="NANGO=VAULTD",
        help="an integration's id and the [providers.X] table's name; may be repeated",
    )
    parser.add_argument("--user-tag", default="end_user_id", help="the tag with your user's id (default: end_user_id)")
    parser.add_argument("--users", type=Path, help='a JSON file {"that id": "the sub of your session tokens"}')
    parser.add_argument("--scopes", action="append", default=[], type=_pair, metavar="NANGO=SCOPES")
    parser.add_argument(
        "--carry",
        action="append",
        default=[],
        type=_carry,
        metavar="NANGO:PLACE=PATH",
        help="a value of each connection for the line's settings, metadata or account, such as"
        " acme-prod:settings.site=connection_config.subdomain; may be repeated",
    )
    parser.add_argument("--host", default="https://api.nango.dev", help="of a Nango of your own")
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> int:
    """Run it. 0: done; 1: it stopped, and has written nothing."""
    options = _options(arguments)
    try:
        nango = Nango(host=options.host, key=os.environ["NANGO_API_KEY"])
        written = [json.dumps(line) + "\n" for line in lines(nango, options)]
    except KeyError as missing:
        sys.stderr.write(f"stopped: {missing} is not there\n")
    except Stopped as why:
        sys.stderr.write(f"stopped: {why}\n")
    else:
        sys.stdout.writelines(written)
        return 0
    return 1


if __name__ == "__main__":
    sys.exit(main())
