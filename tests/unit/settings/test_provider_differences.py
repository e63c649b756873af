"""What a provider's table may say about its provider's own ways, and the mistakes in it (issue 5 §1, security C0)."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.settings.a_file import ACME, MINIMAL, load_text, one_line
from vaultd.terms import Secret

SHOP = 'connection_settings.shop = {pattern = "[a-z]{1,9}", example = "mine", description = "Your shop."}\n'
TEMPLATED = MINIMAL + ACME.replace("https://acme.example", "https://{shop}.acme.example") + SHOP


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ('token_request_format = "xml"', "token_request_format: has a value that is not known; write 'form' or 'json'"),
        ('token_headers = {Authorization = "x"}', "token_headers.Authorization: is a header that vaultd sets itself"),
        ('userinfo_headers = {"a b" = "x"}', 'userinfo_headers."a b": is no name of a header; write one like Notion'),
        ('token_params = {code = "x"}', "token_params: names code, which vaultd sets itself; leave that out"),
        ('refresh_params = {grant_type = "x"}', "refresh_params: names grant_type, which vaultd sets itself"),
        ('token_params = {redirect_uri = "x"}', "token_params: names redirect_uri, which vaultd sets itself"),
        (
            'parameter_names = {code = "auth_code"}\ntoken_params = {auth_code = "x"}',
            "token_params: names auth_code, which vaultd sets itself; leave that out",
        ),
        (
            'revocation_params = {token = "x"}',
            "revocation_params: names token, which vaultd sets itself; leave that out",
        ),
        (
            'revocation_parameter_names = {token = "accessToken"}\nrevocation_params = {accessToken = "x"}',
            "revocation_params: names accessToken, which vaultd sets itself; leave that out",
        ),
        (
            'callback_metadata = {given = "code"}',
            "callback_metadata: names code, which is the answer's own; write a par",
        ),
        ('callback_scope = "state"', "callback_scope: names state, which is the answer's own; write a parameter that"),
        ('app_pattern = "[0-9]*"', "app_pattern: fits a client_id of which it takes nothing; write one that takes a"),
        (
            'refusals = [{means = "dead", words = {error = []}}]',
            "refusals[0].words.error: is empty, so that no answer would fit; write one, or leave the path out",
        ),
        (
            'refusals = [{means = "dead", status = [400], within = "errors"}]',
            "refusals[0].phrases: is missing, and words are too, so that within has no effect; write one, or leave",
        ),
        ('parameter_names = {state = "s"}', "parameter_names.state: has a value that is not known; write 'client_id'"),
        ('parameter_names = {scope = "code"}', "parameter_names: gives two parameters one name; write another"),
        ('parameter_names = {scope = "x", code = "x"}', "parameter_names: gives two parameters one name"),
        (
            'parameter_names = {scope = "user_scope"}\nauthorization_params = {user_scope = "x"}',
            "authorization_params: names user_scope, which vaultd sets itself",
        ),
        (
            'metadata_fields = {"Team" = "team"}',
            "metadata_fields.Team: is no name for a setting; write another, of low",
        ),
        ('account_source = "guess"', "account_source: has a value that is not known; write 'userinfo', 'token' or"),
        (
            'account_source = "id_token"',
            'id_token_issuers: is missing beside account_source = "id_token"; write the iss',
        ),
        (
            'userinfo_body = "{}"',
            'userinfo_body: stands beside userinfo_method = "GET"; write userinfo_method = "POST"',
        ),
        ('userinfo_method = "POST"\nuserinfo_body = "{"', "userinfo_body: is not JSON; write it as one JSON text"),
        ('error_codes = {x = "y"}', "error_codes.x: has a value that is not known; write 'access_denied'"),
        ('expires = "no"', "expires: is not true or false; write one of them, without quotes"),
        ('rotation = "often"', "rotation: has a value that is not known; write 'always', 'sometimes' or 'never'"),
        ("rotation_grace = -1", "rotation_grace: is too small; write at least 0"),
        ('verified_on = "31.1.2026"', "verified_on: is not a day; write one like 2026-01-31"),
        ('verified = "yes"', "verified: has a value that is not known; write 'docs' or 'unverified'"),
        ('sources = ["acme"]', "sources[0]: is not an absolute URL"),
        ('scope_descriptions = {"a b" = "x"}', "scope_descriptions.\"a b\": 'a b' is not one scope"),
        ('revocation = "slack"', "revocation: has no revocation_endpoint beside it; write one"),
        (
            'revocation = "none"\nrevocation_endpoint = "https://acme.example/r"',
            "revocation: stands beside a revocation_endpoint; write one of the two",
        ),
        ('lookup = {metadata = "sites"}', "lookup.endpoint: is missing; write endpoint = …"),
        ('lookup = {endpoint = "https://a.example", metadata = "s", idfield = "x"}', "lookup.idfield: is not a key of"),
        ('lookup = {endpoint = "http://a.example/", metadata = "s"}', "lookup: is not https; write https://"),
        ('refresh_endpoint = "http://acme.example"', "refresh_endpoint: is not https"),
        ('revocation_endpoint = "https://acme.example/{shop}"', "revocation_endpoint: has a gap {shop}, which conn"),
        ('token_headers = {Version = ""}', "token_headers.Version: is empty; write a value, or leave the key out"),
    ],
)
def test_mistakes(file: Path, line: str, told: str) -> None:
    assert one_line(file, MINIMAL + ACME + line).startswith(f"providers.acme.{told}")


@pytest.mark.parametrize(
    ("line", "told"),
    [
        (
            'fixed_settings = {shop = "UP"}',
            "fixed_settings: has a shop that does not match its pattern; write one like",
        ),
        (
            'fixed_settings = {site = "x"}',
            "fixed_settings: has site, which is none of connection_settings; leave it out",
        ),
        (
            'resources = ["https://{shop}.acme.example"]',
            "resources: has an address with a gap; leave it out: such a pr",
        ),
        ('userinfo_endpoint = "https://{shop}.com/me"', "userinfo_endpoint: has a gap that may choose the host; write"),
        ('userinfo_endpoint = "https://{site}.a.example"', "userinfo_endpoint: has a gap {site}, which connection_set"),
        ('issuer = "https://{site}.acme.example"', "issuer: has a gap {site}, which connection_settings lacks; write"),
        ('id_token_issuers = ["https://{site}.a.example"]', "id_token_issuers: has a gap {site}, which connection_set"),
        ('allowed_authorization_params = ["shop"]', "allowed_authorization_params: names shop, which is one of connec"),
        (
            'metadata_fields = {shop = "shop"}',
            "metadata_fields: names shop, which is one of connection_settings; write",
        ),
        ('userinfo_metadata = {shop = "shop"}', "userinfo_metadata: names shop, which is one of connection_settings"),
        ('callback_metadata = {shop = "shop"}', "callback_metadata: names shop, which is one of connection_settings"),
        (
            'lookup = {endpoint = "https://acme.example", metadata = "shop"}',
            "lookup: has a metadata that is one of connection_settings; write another name",
        ),
    ],
)
def test_mistakes_about_settings(file: Path, line: str, told: str) -> None:
    """C0: what chooses a host comes from the user once, and from nowhere else later."""
    assert one_line(file, TEMPLATED + line).startswith(f"providers.acme.{told}")


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (("[a-z]{1,9}", "[a-z"), "connection_settings.shop.pattern: is not a regular expression; write one like"),
        (('"mine"', '"Mine"'), "connection_settings.shop.example: does not match the pattern beside it; mend one"),
        (('"mine",', '"mine", default = "1",'), "connection_settings.shop.default: does not match the pattern"),
        (('"mine",', '"mine", patern = "1",'), "connection_settings.shop.patern: is not a key of this table; did you"),
        ((', description = "Your shop."', ""), "connection_settings.shop.description: is missing"),
    ],
)
def test_mistakes_in_a_setting(file: Path, change: tuple[str, str], told: str) -> None:
    assert one_line(file, TEMPLATED.replace(*change)).startswith(f"providers.acme.{told}")


@pytest.mark.parametrize("name", ["state", "scope", "client_id", "return_to", "chosen", "Shop", "a-b", "x" * 33])
def test_a_setting_s_name_means_nothing_else(file: Path, name: str) -> None:
    text = MINIMAL + ACME + SHOP.replace("shop =", f'"{name}" =')
    assert "is no name for a setting; write another" in one_line(file, text)


def test_github_s_way_of_revoking_needs_the_app_s_secret(file: Path) -> None:
    text = MINIMAL + ACME.replace('client_secret = "env:SECRET"\n', 'token_endpoint_auth_method = "none"\n')
    text += 'revocation = "github_grant"\nrevocation_endpoint = "https://acme.example/{client_id}/grant"\n'
    assert one_line(file, text).startswith("providers.acme.revocation: needs a client_secret, by which the app proves")


def test_a_mistaken_setting_hides_no_other_mistake(file: Path) -> None:
    text = TEMPLATED.replace("[a-z]{1,9}", "[a-z") + 'fixed_settings = {site = "x"}\n'
    assert one_line(file, text).startswith("providers.acme.connection_settings.shop.pattern")


def test_a_whole_one(file: Path) -> None:
    config = load_text(file, TEMPLATED + 'fixed_settings = {shop = "ours"}').providers["acme"]
    assert config.connection_settings["shop"].example == "mine"
    assert config.token_endpoint == "https://{shop}.acme.example/token"


RAW = 'token_endpoint_auth_method = "client_secret_basic_raw"\n'
RAW_AT_REVOCATION = (
    'revocation_auth_method = "client_secret_basic_raw"\nrevocation_endpoint = "https://acme.example/revoke"\n'
)


@pytest.mark.parametrize("secret", ["a+b/c=", "50%:50%", "with space", '"quoted\\"'])
def test_raw_basic_sends_every_visible_secret(file: Path, secret: str) -> None:
    config = load_text(file, MINIMAL + ACME + RAW + RAW_AT_REVOCATION, SECRET=secret).providers["acme"]
    assert config.client_secret == Secret(secret)


@pytest.mark.parametrize("text", ["s\u00e9cret", "s\u20accret", "tab\there", "nul\x7f"])
@pytest.mark.parametrize("line", [RAW, RAW_AT_REVOCATION])
def test_raw_basic_refuses_what_nobody_says_how_to_write(file: Path, line: str, text: str) -> None:
    """RFC 7617 leaves open how anything beyond ASCII is sent, and has no control characters."""
    told = one_line(file, MINIMAL + ACME + line, SECRET=text)
    assert "is not visible ASCII, which client_secret_basic_raw cannot send; write client_secret_basic or" in told
    assert text not in told
    # Form-encoded it can be sent: of the two ways this is the one that can write anything.
    load_text(file, MINIMAL + ACME + line.replace("basic_raw", "basic"), SECRET=text)


@pytest.mark.parametrize("line", [RAW, RAW_AT_REVOCATION])
def test_raw_basic_refuses_an_id_with_a_colon(file: Path, line: str) -> None:
    """RFC 7617 section 2: what stands behind the first colon is the password."""
    text = MINIMAL + ACME.replace('client_id = "vaultd"', 'client_id = "urn:app"') + line
    assert "beside a client_id with a colon (RFC 7617); write another" in one_line(file, text)
    load_text(file, text.replace("basic_raw", "basic"))


def test_raw_basic_needs_a_secret(file: Path) -> None:
    text = MINIMAL + ACME.replace('client_secret = "env:SECRET"\n', "") + RAW
    assert one_line(file, text).startswith("providers.acme.client_secret: is missing")
