"""Giving tokens back in each provider's own way (issue 5 §1 and §6, security C7)."""

from __future__ import annotations

import base64
import json
from typing import Any, ClassVar, Literal
from urllib.parse import parse_qs

import pytest
from pydantic import ValidationError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from tests.unit.providers.conftest import CLIENT_ID, CLIENT_SECRET, GOOD, provider_of, refused, unavailable
from tests.unit.scripted_server import HOST, ScriptedServer
from vaultd.providers.catalogue import load_catalogue
from vaultd.providers.oauth import OAuthClient
from vaultd.providers.registry import Provider
from vaultd.sandbox.servers import LoopbackServers
from vaultd.terms import Secret, Verdict

STYLES = {"slack": "POST", "bearer_post": "POST", "delete_bearer": "DELETE"}
BASIC = "Basic " + base64.b64encode(b"our+app:cl%21ent+s3cret%2B%2F%3D").decode()
Hint = Literal["refresh_token", "access_token"]


async def revoke(oauth: OAuthClient, provider: Provider, hint: Hint = "access_token") -> None:
    await oauth.revoke(provider, token=Secret("tok3n-1"), hint=hint, metadata={})


class TestGitHub:
    """https://docs.github.com/en/rest/apps/oauth-applications: "Delete an app authorization"."""

    @pytest.fixture
    def github(self, server: ScriptedServer) -> Provider:
        endpoint = f"{server.url}/applications/{{client_id}}/grant"
        return provider_of(server, revocation="github_grant", revocation_endpoint=endpoint)

    async def test_deletes_the_grant(self, oauth: OAuthClient, github: Provider, server: ScriptedServer) -> None:
        server.answers(b"", status=204)
        await revoke(oauth, github)
        assert (server.last.method, server.last.path) == ("DELETE", f"/applications/{CLIENT_ID}/grant")
        assert json.loads(server.last.body) == {"access_token": "tok3n-1"}
        basic = base64.b64decode(server.last.headers["authorization"].removeprefix("Basic ")).decode()
        assert basic == f"{CLIENT_ID}:{CLIENT_SECRET}"
        assert server.last.headers["accept"] == "application/vnd.github+json"

    @pytest.mark.parametrize("status", [404, 422])
    async def test_a_grant_that_is_none(
        self, status: int, oauth: OAuthClient, github: Provider, server: ScriptedServer
    ) -> None:
        server.answers_json({"message": "Not Found"}, status=status)
        await revoke(oauth, github)

    @pytest.mark.parametrize("status", [401, 403, 500, 302])
    async def test_not_known_to_be_gone(
        self, status: int, oauth: OAuthClient, github: Provider, server: ScriptedServer
    ) -> None:
        server.answers_json({"message": "Bad credentials"}, status=status)
        error = await unavailable(lambda: revoke(oauth, github))
        assert "tok3n-1" not in str(error)


class TestStripe:
    """https://docs.stripe.com/connect/oauth-reference: POST /oauth/deauthorize."""

    METADATA: ClassVar = {"stripe_user_id": "acct_1"}

    async def test_ends_the_connection_with_the_account_once(self, oauth: OAuthClient, server: ScriptedServer) -> None:
        server.answers_json({"stripe_user_id": "acct_1"})
        provider = provider_of(server, revocation="stripe")
        for hint in ("refresh_token", "access_token"):
            await oauth.revoke(provider, token=Secret("tok3n-1"), hint=hint, metadata=self.METADATA)
        (asked,) = server.seen
        assert asked.form() == {"client_id": [CLIENT_ID], "stripe_user_id": ["acct_1"]}
        basic = base64.b64decode(asked.headers["authorization"].removeprefix("Basic ")).decode()
        assert basic == f"{CLIENT_SECRET}:"

    async def test_an_account_that_has_left_already_is_gone(self, oauth: OAuthClient, server: ScriptedServer) -> None:
        refusals = load_catalogue()["stripe"]["refusals"]
        provider = provider_of(server, revocation="stripe", refusals=refusals)

        def says(description: str) -> None:
            server.answers_json({"error": "invalid_client", "error_description": description}, status=401)

        async def ended() -> None:
            await oauth.revoke(provider, token=Secret("tok3n-1"), hint="access_token", metadata=self.METADATA)

        says("This application is not connected to stripe account acct_1, or that account does not exist.")
        await ended()
        says("No such application: 'ca_1'")
        assert (await refused(ended)).verdict is Verdict.APP

    async def test_an_account_that_nobody_knows(self, oauth: OAuthClient, server: ScriptedServer) -> None:
        """One that was imported: its metadata was not."""
        error = await refused(lambda: revoke(oauth, provider_of(server, revocation="stripe")))
        assert (error.error, server.seen) == ("unsupported", [])

    async def test_an_account_that_is_not_connected(self, oauth: OAuthClient, server: ScriptedServer) -> None:
        server.answers_json({"error": "invalid_client", "error_description": f"{CLIENT_SECRET} is not"}, status=401)
        provider = provider_of(server, revocation="stripe")
        error = await refused(
            lambda: oauth.revoke(provider, token=Secret("tok3n-1"), hint="access_token", metadata=self.METADATA)
        )
        assert error.error == "invalid_client"
        assert CLIENT_SECRET not in str(error)


@pytest.mark.parametrize("style", STYLES)
class TestWithTheTokenItself:
    async def test_nothing_but_the_token(self, style: str, oauth: OAuthClient, server: ScriptedServer) -> None:
        server.answers_json({"ok": True, "revoked": True})
        await revoke(oauth, provider_of(server, revocation=style))
        assert (server.last.method, server.last.path, server.last.body) == (STYLES[style], "/revoke", b"")
        assert server.last.headers["authorization"] == "Bearer tok3n-1"

    async def test_parameters_in_json(self, style: str, oauth: OAuthClient, server: ScriptedServer) -> None:
        server.answers(b"")
        await revoke(oauth, provider_of(server, revocation=style, revocation_params={"why": "user"}))
        assert json.loads(server.last.body) == {"why": "user"}

    async def test_an_empty_object_and_headers_of_its_own(
        self, style: str, oauth: OAuthClient, server: ScriptedServer
    ) -> None:
        """Intercom is sent an empty object."""
        server.answers(b"")
        headers = {"Acme-Version": "2", "Accept": "text/x"}
        provider = provider_of(server, revocation=style, revocation_request_format="json", revocation_headers=headers)
        await revoke(oauth, provider)
        assert (server.last.body, server.last.headers["content-type"]) == (b"{}", "application/json")
        assert server.last.headers["authorization"] == "Bearer tok3n-1"
        assert (server.last.headers["acme-version"], server.last.headers["accept"]) == ("2", "text/x")

    @pytest.mark.parametrize("answer", [{"ok": False, "error": "token_revoked"}, {"error": "token_expired"}])
    async def test_gone_already(self, style: str, answer: Any, oauth: OAuthClient, server: ScriptedServer) -> None:
        server.answers_json(answer)
        await revoke(oauth, provider_of(server, revocation=style))

    async def test_a_token_that_is_not_accepted(self, style: str, oauth: OAuthClient, server: ScriptedServer) -> None:
        server.answers_json({"error": {".tag": "expired_access_token"}}, status=401)
        await revoke(oauth, provider_of(server, revocation=style))

    async def test_an_outage(self, style: str, oauth: OAuthClient, server: ScriptedServer) -> None:
        server.answers_json({"error": "x"}, status=503)
        await unavailable(lambda: revoke(oauth, provider_of(server, revocation=style)))

    async def test_a_refusal(self, style: str, oauth: OAuthClient, server: ScriptedServer) -> None:
        server.answers_json({"ok": False, "error": "not_allowed"})
        assert (await refused(lambda: revoke(oauth, provider_of(server, revocation=style)))).error == "not_allowed"


@pytest.mark.parametrize("style", ["bearer_post", "delete_bearer"])
async def test_the_token_in_a_header_of_the_provider_s(style: str, oauth: OAuthClient, server: ScriptedServer) -> None:
    """Shopify: the token stands alone in it, and no `Authorization` beside it."""
    server.answers(b"")
    provider = provider_of(server, revocation=style, revocation_token_header="X-Acme-Access-Token")
    await revoke(oauth, provider)
    assert (server.last.method, server.last.headers["x-acme-access-token"]) == (STYLES[style], "tok3n-1")
    assert "authorization" not in server.last.headers
    server.answers_json({"errors": "Invalid API key or access token"}, status=401)
    await revoke(oauth, provider)
    server.answers_json({"error": "not_allowed", "error_description": "tok3n-1 may not"}, status=403)
    assert "tok3n-1" not in str(await refused(lambda: revoke(oauth, provider)))


class TestRfc7009:
    async def test_names_of_the_revocation_s_own(self, oauth: OAuthClient, server: ScriptedServer) -> None:
        """Miro: names at the revocation that the token endpoint does not know."""
        server.answers(b"", status=204)
        provider = provider_of(
            server,
            token_endpoint_auth_method="client_secret_post",
            parameter_names={"client_id": "client_key"},
            revocation_parameter_names={
                "token": "accessToken",
                "client_id": "clientId",
                "client_secret": "clientSecret",
            },
            revocation_request_format="json",
            revocation_hint=False,
        )
        await revoke(oauth, provider)
        expected = {"accessToken": "tok3n-1", "clientId": CLIENT_ID, "clientSecret": CLIENT_SECRET}
        assert json.loads(server.last.body) == expected
        server.answers_json(GOOD)
        await oauth.refresh(provider, refresh_token=Secret("r"))
        assert server.last.form()["client_key"] == [CLIENT_ID]

    @pytest.mark.parametrize("names", [{}, {"token": "access_token"}])
    async def test_without_names_of_its_own_it_has_the_token_endpoint_s(
        self, names: dict[str, str], oauth: OAuthClient, server: ScriptedServer
    ) -> None:
        server.answers(b"")
        await revoke(oauth, provider_of(server, parameter_names=names))
        assert server.last.form()[names.get("token", "token")] == ["tok3n-1"]
        # An empty table says that there the parameters have OAuth's names.
        await revoke(oauth, provider_of(server, parameter_names=names, revocation_parameter_names={}))
        assert server.last.form()["token"] == ["tok3n-1"]

    @pytest.mark.parametrize("written_as", ["form", "json"])
    async def test_by_delete_and_with_headers(
        self, written_as: str, oauth: OAuthClient, server: ScriptedServer
    ) -> None:
        server.answers(b"", status=204)
        provider = provider_of(
            server,
            revocation_method="DELETE",
            revocation_request_format=written_as,
            revocation_headers={"Acme-Version": "2"},
            token_headers={"Acme-Version": "1", "Acme-App": "a"},
        )
        await revoke(oauth, provider)
        assert (server.last.method, server.last.path) == ("DELETE", "/revoke")
        assert b"tok3n-1" in server.last.body
        assert (server.last.headers["acme-version"], server.last.headers["acme-app"]) == ("2", "a")

    async def test_raw_basic(self, oauth: OAuthClient, server: ScriptedServer) -> None:
        server.answers(b"")
        await revoke(oauth, provider_of(server, revocation_auth_method="client_secret_basic_raw"))
        raw = base64.b64encode(f"{CLIENT_ID}:{CLIENT_SECRET}".encode()).decode()
        assert server.last.headers["authorization"] == f"Basic {raw}"

    @pytest.mark.parametrize(
        ("key", "value", "way"),
        [
            ("revocation_method", "DELETE", "bearer_post"),
            ("revocation_parameter_names", {"token": "t"}, "github_grant"),
            ("revocation_token_header", "X-Token", "rfc7009"),
            ("revocation_token_header", "X-Token", "slack"),
        ],
    )
    def test_what_has_no_effect_is_refused(self, key: str, value: Any, way: str, server: ScriptedServer) -> None:
        with pytest.raises(ValidationError, match=f'has no effect beside revocation = "{way}"; leave it out'):
            provider_of(server, **{key: value, "revocation": way})

    @pytest.mark.parametrize("names", [{"token": "client_id"}, {"token": "x", "client_id": "x"}])
    def test_two_parameters_with_one_name(self, names: dict[str, str], server: ScriptedServer) -> None:
        with pytest.raises(ValidationError, match="gives two parameters one name"):
            provider_of(server, revocation_parameter_names=names)

    async def test_parameters_and_names(self, oauth: OAuthClient, server: ScriptedServer) -> None:
        """Strava calls the token `access_token`; Notion wants JSON."""
        server.answers(b"")
        provider = provider_of(
            server,
            parameter_names={"token": "access_token"},
            revocation_params={"why": "user"},
            token_request_format="json",
        )
        await revoke(oauth, provider)
        assert json.loads(server.last.body) == {
            "access_token": "tok3n-1",
            "token_type_hint": "access_token",
            "why": "user",
        }

    async def test_an_error_in_a_shape_of_its_own(self, oauth: OAuthClient, server: ScriptedServer) -> None:
        server.answers_json({"error": {"type": "invalid_token"}}, status=400)
        await revoke(oauth, provider_of(server))

    async def test_a_translated_one(self, oauth: OAuthClient, server: ScriptedServer) -> None:
        server.answers_json({"error": "no_such_token"}, status=400)
        await revoke(oauth, provider_of(server, error_codes={"no_such_token": "invalid_token"}))

    @pytest.mark.parametrize("token_endpoint", ["client_secret_basic", "client_secret_post", "json"])
    @pytest.mark.parametrize(
        ("method", "written_as", "proof", "body"),
        [
            ("client_secret_post", None, None, {"client_id": CLIENT_ID, "client_secret": CLIENT_SECRET}),  # Calendly
            ("client_secret_basic", "json", BASIC, {}),  # QuickBooks
            ("json", None, None, {"client_id": CLIENT_ID, "client_secret": CLIENT_SECRET}),
            ("none", None, None, {"client_id": CLIENT_ID}),  # Twitch
        ],
    )
    async def test_otherwise_than_at_the_token_endpoint(  # noqa: PLR0917 - the columns of the table
        self,
        token_endpoint: str,
        method: str,
        written_as: str | None,
        proof: str | None,
        body: dict[str, str],
        oauth: OAuthClient,
        server: ScriptedServer,
    ) -> None:
        server.answers(b"")
        provider = provider_of(
            server,
            token_endpoint_auth_method=token_endpoint,
            revocation_auth_method=method,
            revocation_request_format=written_as,
            revocation_hint=False,
        )
        await revoke(oauth, provider)
        as_json = "json" in {method, written_as}
        sent = json.loads(server.last.body) if as_json else {k: v[0] for k, v in server.last.form().items()}
        assert sent == {"token": "tok3n-1", **body}
        assert server.last.headers.get("authorization") == proof

    def test_a_proof_needs_a_secret(self, server: ScriptedServer) -> None:
        secretless = {"client_secret": None, "token_endpoint_auth_method": "none"}
        with pytest.raises(ValidationError, match="needs a client_secret"):
            provider_of(server, **secretless, revocation_auth_method="client_secret_post")
        provider_of(server, **secretless, revocation_auth_method="none")

    @pytest.mark.parametrize("changes", [{"revocation": "none", "revocation_endpoint": None}])
    @pytest.mark.parametrize("hint", ["access_token", "refresh_token"])
    async def test_no_way_to(
        self, changes: dict[str, Any], hint: Hint, oauth: OAuthClient, server: ScriptedServer
    ) -> None:
        error = await refused(lambda: revoke(oauth, provider_of(server, **changes), hint))
        assert (error.error, server.seen) == ("unsupported", [])


class Grantor:
    """A provider that refreshes and revokes, each as it is told."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []
        self.refresh: tuple[Any, int] = ({**GOOD, "access_token": "fresh"}, 200)
        self.revocation: tuple[Any, int] = ({}, 200)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        request = Request(scope, receive)
        form = parse_qs((await request.body()).decode())
        if request.url.path == "/token":
            self.asked.append(("refresh", form["refresh_token"][0]))
            body, status = self.refresh
        else:
            bearer = request.headers.get("authorization", "").removeprefix("Bearer ")
            self.asked.append(("revoke", form["token"][0] if "token" in form else bearer))
            body, status = self.revocation
        answer: Response = JSONResponse(body, status)
        await answer(scope, receive, send)


class TestWhichTokenIsTaken:
    """A grant whose access token has ended is given back all the same."""

    @pytest.fixture
    def grantor(self, servers: LoopbackServers) -> tuple[Grantor, str]:
        app = Grantor()
        return app, servers.serve(app)

    def provider(self, url: str, **changes: Any) -> Provider:
        at = ScriptedServer(url=url)
        return provider_of(at, **({"allow_private_hosts": [HOST]} | changes))

    @pytest.mark.parametrize(
        "changes",
        [{"revocation": "bearer_post"}, {"revocation": "delete_bearer"}, {"revocation_token": "access_token"}],
    )
    async def test_a_refresh_token_becomes_an_access_token_first(
        self, changes: dict[str, Any], oauth: OAuthClient, grantor: tuple[Grantor, str]
    ) -> None:
        app, url = grantor
        await revoke(oauth, self.provider(url, **changes), "refresh_token")
        assert app.asked == [("refresh", "tok3n-1"), ("revoke", "fresh")]

    async def test_a_dead_refresh_token_needs_no_revoking(
        self, oauth: OAuthClient, grantor: tuple[Grantor, str]
    ) -> None:
        app, url = grantor
        app.refresh = {"error": "invalid_grant"}, 400
        await revoke(oauth, self.provider(url, revocation="bearer_post"), "refresh_token")
        assert app.asked == [("refresh", "tok3n-1")]

    async def test_another_refusal_is_told(self, oauth: OAuthClient, grantor: tuple[Grantor, str]) -> None:
        app, url = grantor
        app.refresh = {"error": "invalid_client"}, 401
        provider = self.provider(url, revocation="bearer_post")
        assert (await refused(lambda: revoke(oauth, provider, "refresh_token"))).error == "invalid_client"

    async def test_an_outage_is_tried_again(self, oauth: OAuthClient, grantor: tuple[Grantor, str]) -> None:
        app, url = grantor
        app.revocation = {}, 503
        await unavailable(lambda: revoke(oauth, self.provider(url, revocation="bearer_post"), "refresh_token"))

    async def test_an_access_token_ends_with_its_refresh_token(
        self, oauth: OAuthClient, grantor: tuple[Grantor, str]
    ) -> None:
        app, url = grantor
        provider = self.provider(url, revocation_token="refresh_token")
        await revoke(oauth, provider, "access_token")
        assert app.asked == []
        await revoke(oauth, provider, "refresh_token")
        assert app.asked == [("revoke", "tok3n-1")]
