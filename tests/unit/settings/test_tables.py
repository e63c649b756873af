"""The tables of the configuration file: issuers, clients, providers, and what one says about another."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import pytest

from tests.unit.settings.a_file import ACME, ISSUER, MINIMAL, load_text, one_line, report
from vaultd.clients.config import ProviderGrant
from vaultd.settings.crossrefs import check_references
from vaultd.settings.inheritance import complete_providers
from vaultd.terms import Secret


class TestIssuers:
    def test_defaults(self, file: Path) -> None:
        issuer = load_text(file, MINIMAL + ISSUER).issuers["app"]
        assert issuer.issuer == "https://login.example.com/"
        assert issuer.algorithms == ("RS256", "ES256", "EdDSA")
        assert (issuer.client_claim, issuer.account_scopes) == ("azp", "required")

    @pytest.mark.parametrize("algorithms", ["", 'algorithms = ["HS256"]'])
    def test_a_shared_secret_goes_with_hs256_alone(self, file: Path, algorithms: str) -> None:
        text = f'{MINIMAL}{ISSUER}hs256_secret = "env:SECRET"\n{algorithms}'
        assert load_text(file, text).issuers["app"].algorithms == ("HS256",)

    def test_without_discovery_an_issuer_is_any_text(self, file: Path) -> None:
        text = ISSUER.replace("https://login.example.com/", "our-login") + 'jwks_file = "keys.json"'
        issuer = load_text(file, MINIMAL + text).issuers["app"]
        assert issuer.jwks_file == file.parent / "keys.json"

    @pytest.mark.parametrize(
        ("line", "told"),
        [
            ('algorithms = ["none"]', "algorithms: 'none' is not accepted; write some of RS256"),
            ('algorithms = ["HS512"]', "algorithms: 'HS512' is not accepted"),
            ("algorithms = []", "algorithms: is empty"),
            ('algorithms = ["HS256"]', "algorithms: HS256 needs hs256_secret"),
            ('hs256_secret = "env:SECRET"\nalgorithms = ["RS256", "HS256"]', 'algorithms: must be ["HS256"] beside'),
            ('hs256_secret = "env:SECRET"\njwks_uri = "https://x.example"', "jwks_uri: stands beside hs256_secret"),
            ('hs256_secret = "env:SECRET"\njwks_file = "x"', "jwks_file: stands beside hs256_secret"),
            ('hs256_secret = "env:SHORT"\nalgorithms = ["HS256"]', "hs256_secret: is shorter than 32 bytes"),
            ('jwks_uri = "http://127.0.0.1/keys"', "jwks_uri: is plain http; write https://, or add '127.0.0.1' to"),
            ('jwks_uri = "http://x.example/keys"', "jwks_uri: is not https"),
            ('client_claim = "sub"', "client_claim: has a value that is not known; write 'azp', 'client_id', 'cid' or"),
            ("required_claims = {role = 1.5}", "required_claims.role: is no text, whole number, true or false"),
            ('allow_private_hosts = ["http://127.0.0.1"]', "allow_private_hosts[0]: 'http://127.0.0.1' is not a host"),
            ('trusted_clients = [""]', "trusted_clients[0]: is empty; write a value, or leave the key out"),
            ('trusted_clients = ["a\\nb"]', "trusted_clients[0]: has a line break"),
        ],
    )
    def test_mistakes(self, file: Path, line: str, told: str) -> None:
        assert one_line(file, MINIMAL + ISSUER + line).startswith(f"issuers.app.{told}")

    @pytest.mark.parametrize(
        ("change", "told"),
        [
            (("https://login.example.com/", "our-login"), "issuer: is not an absolute URL"),
            (("https://login.example.com/", "http://127.0.0.1:9000"), "issuer: is plain http"),
            (('audience = ["https://vault.example.com"]', ""), "audience: is missing"),
            (
                ("[issuers.app]", "[issuers.app]\n[issuers.app.required_claims]\na = 1\n[issuers.b]"),
                "issuer: is missing",
            ),
        ],
    )
    def test_mistakes_in_what_must_be_there(self, file: Path, change: tuple[str, str], told: str) -> None:
        assert one_line(file, MINIMAL + ISSUER.replace(*change)).startswith(f"issuers.app.{told}")

    def test_a_loopback_issuer_that_is_named(self, file: Path) -> None:
        text = ISSUER.replace("https://login.example.com/", "http://127.0.0.1:9000")
        load_text(file, MINIMAL + text + 'allow_private_hosts = ["127.0.0.1"]')

    def test_one_issuer_in_two_tables(self, file: Path) -> None:
        line = one_line(file, MINIMAL + ISSUER + ISSUER.replace("app", "again"))
        assert line == "issuers.again.issuer: is that of [issuers.app] too; write one table for both"


CLIENT = '[clients.agent]\nauth = "client_secret_basic"\nsecret = "env:SECRET"\n'


class TestClients:
    def test_a_list_of_scopes_is_a_grant(self, file: Path) -> None:
        text = f'{MINIMAL}{ACME}{CLIENT}providers = {{acme = ["a", "b"]}}'
        assert load_text(file, text).clients["agent"].providers["acme"] == ProviderGrant(scopes=("a", "b"))

    def test_a_scope_with_an_asterisk_in_it_is_one_like_any_other(self, file: Path) -> None:
        """RFC 6749 §3.3."""
        text = f'{MINIMAL}{ACME}{CLIENT}providers = {{acme = ["files:*", "**"]}}'
        assert load_text(file, text).clients["agent"].providers["acme"].scopes == ("files:*", "**")

    @pytest.mark.parametrize("secret", ["env:HASH", "sha256:" + "aB" * 32])
    def test_the_hash_of_a_secret(self, file: Path, secret: str) -> None:
        settings = load_text(file, MINIMAL + CLIENT.replace("env:SECRET", secret), HASH="sha256:" + "aB" * 32)
        assert settings.clients["agent"].secret == Secret("sha256:" + "aB" * 32)

    @pytest.mark.parametrize(
        ("line", "told"),
        [
            ("implicit = true", 'implicit: is only for auth = "none"'),
            ('implicit = "yes"', "implicit: is not true or false"),
            ("limits = {per_second = 0, burst = 1}", "limits.per_second: is too small; write more than 0"),
            ("limits = {per_second = nan, burst = 1}", "limits.per_second: is "),
            ("limits = {per_second = 1, burst = 1.5}", "limits.burst: is not a whole number"),
            ("limits = {per_second = 1}", "limits.burst: is missing; write burst = 100"),
            ("limits = {per_second = 1, burst = 1, per_minute = 1}", "limits.per_minute: is not a key of this table"),
            ("subject_limits = {per_second = -1, burst = 1}", "subject_limits.per_second: is too small"),
            ("subject_limits = {per_second = 1}", "subject_limits.burst: is missing; write burst = 100"),
            ("limits = {per_second = 1, burst = 100000000}", "limits.burst: is too large; write at most 10000000"),
            (
                'ip_allowlist = ["everyone"]',
                "ip_allowlist[0]: 'everyone' does not appear to be an IPv4 or IPv6 network",
            ),
            (
                'operator_scopes = ["audit:write"]',
                "operator_scopes[0]: has a value that is not known; write 'audit:read'",
            ),
            ('redirect_uris = ["app.example.com"]', "redirect_uris[0]: is not an absolute URL"),
            ("providers = {acme = {scope = []}}", "providers.acme.scopes: is missing"),
            ("providers = {acme = 1}", "providers.acme: is not a table"),
            ('providers = {acme = {scopes = [], on_wider_grant = "x"}}', "providers.acme.on_wider_grant: has a value"),
            (
                'providers = {acme = ["a", "*"]}',
                'providers.acme: has "*", but there are no wildcards; write the name of each scope',
            ),
            (f"providers = {{acme = {[f's{number}' for number in range(201)]}}}", "providers.acme: has more than 200"),
            (f'providers = {{acme = ["{"s" * 256}"]}}', "providers.acme[0]: is longer than 255 characters"),
            ('providers = {acme = {scopes = ["*"]}}', 'providers.acme.scopes: has "*", but there are no wildcards'),
            (
                'providers = {acme = {narrow = {target = "o", permissions = {contents = "read"}}}}',
                'providers.acme.narrow: is only for a provider with narrowing = "github_scoped", which acme is not',
            ),
            (
                "providers = {acme = {narrow = {permissions = {a = 'read'}}}}",
                "providers.acme.narrow.target: is missing",
            ),
            (
                'providers = {acme = {narrow = {target = "o", permissions = {contents = "all"}}}}',
                "providers.acme.narrow.permissions.contents: has a value that is not known; write 'read', 'write' or",
            ),
            (
                'providers = {acme = {scopes = ["x"], narrow = {target = "o", permissions = {contents = "read"}}}}',
                "providers.acme.narrow: stands beside scopes, which its permissions are already",
            ),
            (
                'providers = {acme = {on_wider_grant = "allow", narrow = {target = "o", permissions = {a = "read"}}}}',
                'providers.acme.narrow: stands beside on_wider_grant = "allow", which would undo it',
            ),
            ('providers = {"*" = ["a"]}', 'providers."*": is no provider, and there are no wildcards; write one line'),
            ("providers = {acmee = []}", 'providers.acmee: names no table [providers.acmee]; did you mean "acme"?'),
        ],
    )
    def test_mistakes(self, file: Path, line: str, told: str) -> None:
        lines = report(file, MINIMAL + ACME + CLIENT + line)
        assert any(each.startswith(f"clients.agent.{told}") for each in lines), lines

    @pytest.mark.parametrize(
        ("table", "told"),
        [
            ('auth = "client_secret_post"', 'secret: is missing; auth = "client_secret_post" needs it'),
            ('auth = "none"\nsecret = "env:SECRET"', 'secret: stands beside auth = "none"'),
            ('auth = "none"\noperator_scopes = ["keys:read"]', 'operator_scopes: stands beside auth = "none"'),
            ('auth = "client_secret_post"\nsecret = "env:SHORT"', "secret: is shorter than 32 characters"),
            ('auth = "client_secret_post"\nsecret = "sha256:abc"', "secret: is no hash; write sha256: and 64"),
            ('auth = "tls_client_auth"', "auth: has a value that is not known; write 'client_secret_basic',"),
            ("", 'auth: is missing; write auth = "client_secret_basic"'),
        ],
    )
    def test_secrets_and_methods(self, file: Path, table: str, told: str) -> None:
        assert one_line(file, f"{MINIMAL}[clients.agent]\n{table}").startswith(f"clients.agent.{told}")


class TestProviders:
    @pytest.mark.parametrize(
        ("line", "told"),
        [
            (
                'revocation_endpoint = "http://127.0.0.1/r"',
                "revocation_endpoint: is plain http; write https://, or add",
            ),
            ('resources = ["api.example"]', "resources[0]: is not an absolute URL"),
            ('scopes = ["a,b c"]', "scopes[0]: 'a,b c' is not one scope"),
            ('scopes = ["repo,gist"]', "scopes[0]: 'repo,gist' has a comma; write one scope a string"),
            ('scope_separator = ", "', "scope_separator: is too long"),
            ("assumed_ttl = 0", "assumed_ttl: is too small; write more than 0"),
            ('assumed_ttl = "3600"', "assumed_ttl: is not a whole number"),
            ("refresh_margin = 3600", "refresh_margin: is not below assumed_ttl"),
            ('narrowing = "github"', "narrowing: has a value that is not known; write 'none', 'refresh' or"),
            ('narrowing = "github_scoped"', "narrowing: has no narrowing_endpoint beside it; write one"),
            (
                'revocation_ends = "token"\ntoken_revocation_endpoint = "https://acme.example/{client_id}/one"',
                'revocation_ends: is "token" beside a token_revocation_endpoint; leave one of the two out',
            ),
            ("refresh_margin = -1", "refresh_margin: is too small; write at least 0"),
            ('authorization_params = {state = "x"}', "authorization_params: names state, which vaultd sets itself"),
            ('allowed_authorization_params = ["redirect_uri"]', "allowed_authorization_params: names redirect_uri"),
            ('token_endpoint_auth_method = "none"', "client_secret: stands beside token_endpoint_auth_method"),
            ('clientid = "x"', 'clientid: is not a key of this table; did you mean "client_id"?'),
        ],
    )
    def test_mistakes(self, file: Path, line: str, told: str) -> None:
        assert one_line(file, MINIMAL + ACME + line).startswith(f"providers.acme.{told}")

    def test_a_secret_is_needed_but_for_none(self, file: Path) -> None:
        text = MINIMAL + ACME.replace('client_secret = "env:SECRET"', "")
        assert one_line(file, text).startswith("providers.acme.client_secret: is missing; write env:NAME")
        load_text(file, text + 'token_endpoint_auth_method = "none"')

    def test_a_provider_within_the_network(self, file: Path) -> None:
        text = ACME.replace("https://acme.example/token", "http://127.0.0.1:8000/token")
        load_text(file, MINIMAL + text + 'allow_private_hosts = ["127.0.0.1"]')

    def test_a_name_that_the_catalogue_does_not_have(self, file: Path) -> None:
        text = '[providers.nobody]\nclient_id = "x"\nclient_secret = "env:SECRET"'
        line = one_line(file, MINIMAL + text)
        assert line.startswith("providers.nobody: is not in the catalogue; ")
        assert line.endswith("write its authorization_endpoint and token_endpoint")

    def test_a_circle_is_told_once(self, file: Path) -> None:
        tables = "".join(
            f'[providers.{name}]\nclient_id = "x"\nclient_secret = "env:SECRET"\nextends = "{parent}"\n'
            for name, parent in (("outside", "b"), ("b", "c"), ("c", "b"))
        )
        assert report(file, MINIMAL + tables) == [
            "providers.b.extends: goes round in a circle (b → c → b); leave out one of them"
        ]
        alone = '[providers.a]\nclient_id = "x"\nclient_secret = "env:SECRET"\nextends = "a"'
        assert one_line(file, MINIMAL + alone).startswith("providers.a.extends: goes round in a circle (a → a)")

    def test_what_a_parent_got_wrong_is_told_once(self, file: Path) -> None:
        text = ACME.replace("https://acme.example/token", "http://acme.example/token")
        second = '[providers.second]\nextends = "acme"\nclient_id = "x"\nclient_secret = "env:SECRET"\n'
        assert one_line(file, MINIMAL + text + second).startswith("providers.acme.token_endpoint: is not https")

    def test_what_only_the_child_got_wrong_is_told(self, file: Path) -> None:
        second = '[providers.second]\nextends = "acme"\nclient_id = "x"\nassumed_ttl = 30\n'
        assert [line.partition(":")[0] for line in report(file, MINIMAL + ACME + second)] == [
            "providers.second.client_secret",
            "providers.second.refresh_margin",
        ]


class TestTheCatalogue:
    CATALOGUE: ClassVar[dict[str, dict[str, Any]]] = {
        "github": {"token_endpoint": "t", "scopes": ["a"], "display_name": "GitHub"}
    }

    def _complete(self, **tables: dict[str, Any]) -> dict[str, Any]:
        inherited = complete_providers(tables, self.CATALOGUE)
        assert not inherited.mistakes
        return dict(inherited.tables)

    def test_an_entry_lies_beneath_the_table_of_its_name(self) -> None:
        completed = self._complete(github={"client_id": "x", "scopes": ["b"]})
        assert completed["github"] == {**self.CATALOGUE["github"], "client_id": "x", "scopes": ["b"]}

    def test_own_endpoints_put_the_entry_aside(self) -> None:
        own = {"token_endpoint": "mine", "client_id": "x"}
        assert self._complete(github=own)["github"] == own

    def test_a_table_that_wants_nothing_revoked_takes_over_nothing_about_it(self) -> None:
        entry = dict.fromkeys(("token_endpoint", "revocation", "revocation_endpoint", "revocation_method"), "x")
        entry |= {"token_revocation_endpoint": "x", "revocation_ends": "installation"}
        inherited = complete_providers({"acme": {"revocation": "none", "client_id": "y"}}, {"acme": entry})
        assert inherited.tables["acme"] == {"token_endpoint": "x", "revocation": "none", "client_id": "y"}
        other = complete_providers({"acme": {"revocation": "slack"}}, {"acme": entry})
        assert other.tables["acme"] == entry | {"revocation": "slack"}

    def test_a_second_app_has_its_own_credentials(self) -> None:
        first = {"client_id": "x", "client_secret": "s", "scopes": ["b"]}
        completed = self._complete(github=first, work={"extends": "github", "client_id": "y"})
        assert completed["work"] == {
            "token_endpoint": "t",
            "scopes": ["b"],
            "display_name": "GitHub",
            "extends": "github",
            "client_id": "y",
        }

    def test_an_entry_can_be_extended_without_a_table_of_its_name(self) -> None:
        for name in ("work", "github"):
            assert self._complete(**{name: {"extends": "github"}})[name]["token_endpoint"] == "t"

    def test_a_name_that_is_nearly_one(self) -> None:
        inherited = complete_providers({"githb": {"client_id": "x"}}, self.CATALOGUE)
        assert [mistake.text for mistake in inherited.mistakes] == ['is not in the catalogue; did you mean "github"?']

    def test_a_grant_for_an_entry_without_a_table(self) -> None:
        document: dict[str, Any] = {"clients": {"agent": {"providers": {"github": []}}}}
        (mistake,) = check_references(document, self.CATALOGUE)
        assert mistake.text == "is in the catalogue only; write [providers.github] with your app's client_id"
