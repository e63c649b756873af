"""What a provider's table may say of its scopes, and what is asked of the catalogue's."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from vaultd.providers.config import ProviderConfig
from vaultd.terms import Scopes

TABLE = {
    "client_id": "ours",
    "token_endpoint_auth_method": "none",
    "authorization_endpoint": "https://acme.example/authorize",
    "token_endpoint": "https://acme.example/token",
}


def config(**keys: Any) -> ProviderConfig:
    return ProviderConfig.model_validate(TABLE | keys)


@pytest.mark.parametrize(
    ("keys", "told"),
    [
        ({"scope_aliases": {"a": ["x"], "b": ["x"]}}, "has one spelling twice"),
        ({"scope_aliases": {"a": ["b"], "b": ["c"]}}, "has one spelling twice"),
        ({"scope_implies": {"a*b*": ["c"]}}, "has an asterisk too many at a*b*"),
        ({"scope_implies": {"ab*": ["*c*"]}}, "has an asterisk too many at ab*"),
        ({"scope_implies": {"a": ["*"]}}, "has an asterisk too many at a"),
        ({"scope_implies": {"a*": ["aa*"]}}, "has a longer pattern beside a*"),
        ({"scope_implies": {"a": ["b"]}, "scopes_along": ["a"]}, "names a, which includes others"),
        ({"scope_implies": {"a": ["b"]}, "scope_aliases": {"a": ["x"]}, "scopes_along": ["x"]}, "names x, which"),
        ({"scope_implies": {"a:*": ["b:*"]}, "scopes_along": ["a:c"]}, "names a:c, which includes others"),
        ({"scope_aliases": {"a": ["B"], "b": ["c"]}, "scopes_ignore_case": True}, "has one spelling twice"),
        ({"scope_aliases": {"Mail": ["mail"]}, "scopes_ignore_case": True}, "has one spelling twice"),
        ({"scope_aliases": {"a": ["x/a"]}, "scope_prefixes": ["x/"]}, "has one spelling twice"),
        (
            {"scope_implies": {"A": ["b"]}, "scopes_along": ["a"], "scopes_ignore_case": True},
            "names a, which includes others",
        ),
        ({"scopes_generic": ["*"]}, "has *; write one asterisk at most, and text beside it"),
        ({"scopes_generic": ["*/x/*"]}, "has */x/*; write one asterisk at most"),
        ({"scopes_of_app": True}, "Input should be 'never', 'unless_asked' or 'always'"),
    ],
)
def test_what_cannot_be_meant_is_a_mistake(keys: dict[str, Any], told: str) -> None:
    with pytest.raises(ValidationError) as caught:
        config(**keys)
    assert told in str(caught.value)


def test_what_vaultd_needs_itself_is_of_two_kinds() -> None:
    rules = config(identity_scopes=["openid"], renewal_scopes=["offline_access"]).scope_rules
    assert rules.own == Scopes({"openid", "offline_access"})
    assert rules.lies_within({"read", "openid", "offline_access"}, {"read"})
    assert rules.outside({"openid"}, {"read"}) == Scopes({"openid"}), "it is on nobody's list for that"


def test_what_tokens_prove() -> None:
    known = config(renewal_scopes=["offline"])
    assert known.scopes_shown(renewable=True, signed=False) == {"offline", "offline_access"}
    assert known.scopes_shown(renewable=False, signed=True) == {"openid"}
    assert known.scopes_shown(renewable=False, signed=False) == set()
