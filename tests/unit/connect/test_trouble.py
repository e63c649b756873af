"""What an error of a provider's comes to, for each step of a consent."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest

import vaultd.web
from vaultd.connect.trouble import OURS, Trouble, trouble_of
from vaultd.errors import ProviderError, ProviderRefused, ProviderUnavailable
from vaultd.providers.catalogue import load_catalogue
from vaultd.terms import Verdict


def refused(
    error: str, step: str, said: str | None = None, verdict: Verdict = Verdict.UNKNOWN, words: str | None = None
) -> ProviderRefused:
    refusal = ProviderRefused(error, verdict=verdict)
    refusal.step, refusal.said, refusal.words = step, said or error, words
    return refusal


APP: dict[str, Any] = {"step": "token", "verdict": Verdict.APP}


@pytest.mark.parametrize(
    ("error", "kind", "reason", "told"),
    [
        (refused("access_denied", "authorize"), "declined", "access_denied", "access_denied"),
        (refused("cancelled", "authorize"), "declined", "access_denied", "access_denied"),
        (refused("cancelled", "token"), "setup", "cancelled", "cancelled"),
        (refused("access_denied", "token"), "setup", "unauthorized_client", "unauthorized_client"),
        (refused("access_denied", "userinfo"), "setup", "unauthorized_client", "unauthorized_client"),
        (refused("server_error", "authorize"), "down", "server_error", "server_error"),
        (refused("invalid_grant", "token"), "late", "invalid_grant", "invalid_grant"),
        (refused("invalid_grant", "token", "bad_redirect_uri"), "setup", *["redirect_uri_mismatch"] * 2),
        (refused("redirect_uri_mismatch", **APP), "setup", *["redirect_uri_mismatch"] * 2),
        (refused("invalid_grant", **APP, words="expired_client_token"), "setup", *["unauthorized_client"] * 2),
        (refused("invalid_grant", **APP, words='Invalid "redirect_uri"'), "setup", *["redirect_uri_mismatch"] * 2),
        (refused("unverified_user_email", "token"), "setup", *["unverified_user_email"] * 2),
        (refused("invalid_grant", "authorize"), "setup", "invalid_request", "invalid_request"),
        (refused("invalid_grant", "userinfo"), "setup", "unusable_answer", "server_error"),
        (refused("invalid_issuer", "authorize"), "setup", "unknown_error", "unknown_error"),
        (refused("unusable_answer", "token"), "setup", "unknown_error", "unknown_error"),
        (ProviderUnavailable(), "down", "temporarily_unavailable", "temporarily_unavailable"),
        (ProviderUnavailable(outage=False), "setup", "unusable_answer", "server_error"),
        (ProviderError(), "setup", "unusable_answer", "server_error"),
    ],
    ids=str,
)
def test_what_it_was_is_one_of_four_things(error: ProviderError, kind: str, reason: str, told: str) -> None:
    trouble = trouble_of(error, declined=["cancelled"])
    assert (trouble.kind, trouble.reason, trouble.error) == (kind, reason, told)


def test_linkedins_words_for_a_no_are_a_no() -> None:
    declined = load_catalogue()["linkedin"]["declined_errors"]
    for word in ("user_cancelled_login", "user_cancelled_authorize"):
        assert trouble_of(refused(word, "authorize"), declined=declined) == Trouble("declined", "access_denied")
        assert trouble_of(refused(word, "authorize"), declined=()).kind == "setup"


OAUTHS = {"access_denied", "insufficient_scope", "invalid_grant", "invalid_request", "temporarily_unavailable"}
"""RFC 6749 §4.1.2.1 and §5.2, RFC 6750 §3.1: a provider means by them what the standards do."""


def test_no_provider_can_have_a_sentence_of_ours_shown() -> None:
    """The users' pages find a sentence by an event's reason."""
    english = (Path(vaultd.web.__file__).parent / "texts" / "en.toml").read_text(encoding="utf-8")
    texts = tomllib.loads(english)
    assert set(texts["reason"]) - OAUTHS - OURS == set(), "write it into OURS"
    assert OAUTHS - {"access_denied", "temporarily_unavailable"} <= set(texts["unconnected"])
    for word in sorted(OURS):
        for step in ("authorize", "token", "userinfo"):
            assert trouble_of(refused(word, step), declined=()).reason == "unknown_error"
