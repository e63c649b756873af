"""What each provider's refusals mean, as its pages and those who met them show them (`tests/fixtures/providers`)."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import ValidationError

from tests.doubles.documented import Answer, load_documented
from vaultd.errors import ProviderError, ProviderRefused, ProviderUnavailable
from vaultd.outbound import Reply
from vaultd.providers.catalogue import load_catalogue
from vaultd.providers.config import ProviderConfig
from vaultd.providers.lint import entry_config
from vaultd.providers.replies import read_answer
from vaultd.terms import Verdict, system_clock

ENTRIES = load_catalogue()
MEANINGS = {"error": "dead", "busy": "busy", "app": "app", "down": "down"}
PLAYED = {
    (name, step): answer
    for name, answers in load_documented().items()
    for step, answer in answers.items()
    if step.startswith("refresh_")
}
OWN = ProviderConfig.model_validate(
    {
        "authorization_endpoint": "https://acme.example/authorize",
        "token_endpoint": "https://acme.example/token",
        "client_id": "app",
        "token_endpoint_auth_method": "none",
    }
)


def meaning(answer: Answer, config: ProviderConfig, **headers: str) -> str:
    """What is made of an answer to a refresh; "nothing" where it is of no use and yet no outage."""
    reply = Reply(answer.status, {"content-type": answer.content_type, **headers}, answer.body.encode())
    try:
        read_answer(reply, config, sent=(), now=system_clock())
    except ProviderRefused as error:
        return error.verdict.value
    except ProviderUnavailable as error:
        return "down" if error.outage else "nothing"
    return "well"


def refusal(status: int, body: str) -> Answer:
    return Answer(page="", seen="", status=status, content_type="application/json", body=body)


@pytest.mark.parametrize(("name", "step"), PLAYED)
def test_each_provider_is_understood_in_its_own_words(name: str, step: str) -> None:
    assert meaning(PLAYED[name, step], entry_config(ENTRIES[name])) == MEANINGS[step.split("_")[1]]


@pytest.mark.parametrize("name", [name for name, entry in ENTRIES.items() if entry["refusals"] != "unknown"])
def test_every_refusal_of_an_entry_is_played_as_its_page_shows_it(name: str) -> None:
    written: list[dict[str, Any]] = ENTRIES[name]["refusals"]
    shown = {(answer.page, MEANINGS[step.split("_")[1]]) for (whose, step), answer in PLAYED.items() if whose == name}
    assert {(refusal["page"], refusal["means"]) for refusal in written} == shown


@pytest.mark.parametrize("name", [name for name, entry in ENTRIES.items() if entry["refusals"] == "unknown"])
def test_nothing_is_played_of_those_whose_refusals_nobody_knows(name: str) -> None:
    assert name not in {whose for whose, _ in PLAYED}


@pytest.mark.parametrize("config", [OWN, *(entry_config(ENTRIES[name]) for name in ("okta", "box", "strava"))])
@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_a_provider_that_is_down_says_nothing_about_a_grant(config: ProviderConfig, status: int) -> None:
    """Okta answers a rate limit with 429 and `invalid_grant`."""
    assert meaning(refusal(status, '{"error": "invalid_grant"}'), config) == "down"


def test_who_says_when_to_come_again_has_not_said_no() -> None:
    answer = refusal(400, '{"error": "made_up"}')
    assert meaning(answer, OWN, **{"retry-after": "7"}) == "nothing"
    assert meaning(answer, OWN) == meaning(answer, OWN, **{"retry-after": "0"}) == "unknown"
    assert meaning(refusal(400, '{"error": "invalid_grant"}'), OWN, **{"retry-after": "7"}) == "dead"


@pytest.mark.parametrize(
    ("error", "means"),
    [
        ("invalid_grant", Verdict.DEAD),
        ("invalid_client", Verdict.APP),
        ("unauthorized_client", Verdict.UNKNOWN),
        ("invalid_request", Verdict.UNKNOWN),
        ("access_denied", Verdict.UNKNOWN),
        # OpenID Connect Core 1.0 §3.1.2.6
        ("interaction_required", Verdict.DEAD),
        ("login_required", Verdict.DEAD),
        ("consent_required", Verdict.DEAD),
        ("rate_limit_exceeded", Verdict.BUSY),
        ("too_many_requests", Verdict.BUSY),
        # A word with a sentence behind it: https://github.com/ccpgames/sso-issues/issues/54
        ("invalid_client: Invalid client_id or client_secret", Verdict.APP),
        ("invalid_grant: Token is expired or invalid.", Verdict.DEAD),
        ("the invalid_grant: made up", Verdict.UNKNOWN),
    ],
)
def test_what_no_entry_knows_is_judged_by_the_standard_as_far_as_that_leaves_no_doubt(
    error: str, means: Verdict
) -> None:
    assert meaning(refusal(400, f'{{"error": "{error}"}}'), OWN) == means.value


def test_a_refusal_under_200_is_one_where_the_table_names_that_status() -> None:
    """Some answer with a number of their own, and no `error`."""
    words = {"means": "dead", "words": {"errcode": ["40030", "42002"]}}
    body = '{"errcode": 40030, "errmsg": "invalid refresh_token"}'
    table = OWN.model_dump(exclude_unset=True)
    named = ProviderConfig.model_validate({**table, "refusals": [{**words, "status": [200]}]})
    assert meaning(refusal(200, body), named) == "dead"
    assert meaning(refusal(200, '{"errcode": 0, "access_token": "x"}'), named) == "well"
    unnamed = ProviderConfig.model_validate({**table, "refusals": [words]})
    assert meaning(refusal(200, body), unnamed) == "well"
    with pytest.raises(ValidationError, match="every good answer would fit"):
        ProviderConfig.model_validate({**table, "refusals": [{"means": "dead", "status": [200]}]})


@pytest.mark.parametrize(
    ("error", "words", "means"),
    [
        ("access_denied", "Rate limit exceeded: access_token not expired", "busy"),
        ("invalid_request", "Too many requests", "busy"),
        ("made_up", "Login Rate Exceeded", "busy"),
        ("made_up", "You are being throttled.", "busy"),
        ("invalid_grant", "Rate limit exceeded", "dead"),  # what is known is not changed by a sentence
        ("invalid_client", "Rate limit exceeded", "app"),
        ("made_up", "The corporate limitation has expired", "unknown"),
    ],
)
def test_who_is_only_asked_too_often_has_not_said_no(error: str, words: str, means: str) -> None:
    body = json.dumps({"error": error, "error_description": words})
    assert meaning(refusal(400, body), OWN) == means


def test_words_in_an_older_encoding_are_read_where_it_is_named() -> None:
    body = '{"error": "invalid_grant", "error_description": "ung\u00fcltig"}'.encode("latin-1")
    for charset, means in (("ISO-8859-1", "dead"), ("windows-1252", "dead"), ("utf-8", "nothing")):
        reply = Reply(400, {"content-type": f"application/json;charset={charset}"}, body)
        with pytest.raises(ProviderError) as caught:
            read_answer(reply, OWN, sent=(), now=system_clock())
        assert getattr(getattr(caught.value, "verdict", None), "value", "nothing") == means


def test_what_entra_says_of_one_tenants_app_is_not_taken_for_the_app_everywhere() -> None:
    body = '{"error": "unauthorized_client", "error_codes": [700016], "error_description": "AADSTS700016: …"}'
    assert meaning(refusal(400, body), entry_config(ENTRIES["microsoft"])) == "unknown"


@pytest.mark.parametrize("name", ["github", "github-app", "google", "slack", "slack-user"])
def test_a_redirect_uri_that_is_not_registered_is_the_apps_matter_and_ends_no_grant(name: str) -> None:
    error = "bad_redirect_uri" if name.startswith("slack") else "redirect_uri_mismatch"
    for status in (200, 400):
        body = f'{{"ok": false, "error": "{error}"}}'
        assert meaning(refusal(status, body), entry_config(ENTRIES[name])) == "app"


def test_an_address_that_is_not_verified_says_nothing_about_a_grant() -> None:
    body = '{"error": "unverified_user_email"}'
    assert meaning(refusal(200, body), entry_config(ENTRIES["github"])) == "unknown"


def test_the_words_of_a_malformed_request_are_not_those_of_a_dead_grant() -> None:
    for name in ("linkedin", "linear", "bitbucket", "shopify"):
        body = '{"error": "invalid_request", "error_description": "A required parameter is missing."}'
        for status in (400, 401):
            assert meaning(refusal(status, body), entry_config(ENTRIES[name])) == "unknown"
