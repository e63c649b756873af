"""Tokens of providers that sign an app's own users in: Auth0, Clerk, Supabase, Cognito, Firebase."""

from __future__ import annotations

from collections.abc import Mapping

from tests.wire.guides.shapes import APP, VAULT, Refused, Shape
from vaultd.sandbox.person import ACCOUNT_SCOPES

_USER_ID = "123e4567-e89b-12d3-a456-426614174000"
_AUTH0 = {
    "sub": "auth0|123456",
    "aud": [VAULT, "https://my-domain.auth0.com/userinfo"],
    "azp": "my_client_id",
    "scope": f"openid profile {ACCOUNT_SCOPES}",
    "my_custom_claim": "my_custom_value",
}
_AUTH0_PAGES = ("https://auth0.com/docs/secure/tokens/access-tokens/access-token-profiles",)
_AUTH0_OTHER_API = Refused(
    "another API's",
    {"aud": ["https://example.com/health-api", "https://my-domain.auth0.com/userinfo"]},
    "wrong_audience",
)

_CLERK = {
    "azp": APP,
    "fva": [7, -1],
    "jti": "1234567890",
    "sid": "sess_123",
    "sub": "user_123",
    "v": 2,
    "pla": "u:free,o:pro",
    "fea": "o:dashboard,o:impersonation",
    "o": {"id": "org_123", "slg": "org-slug", "rol": "admin", "per": "read,manage", "fpm": "3,2"},
}
_CLERK_PAGES = (
    "https://clerk.com/docs/guides/sessions/session-tokens",
    "https://clerk.com/docs/guides/sessions/manual-jwt-verification",
    "https://clerk.com/docs/guides/sessions/customize-session-tokens",
)

_SUPABASE = {
    "aal": "aal1",
    "amr": [{"method": "password", "timestamp": 1640991600}],
    "app_metadata": {"provider": "email", "providers": ["email"]},
    "aud": "authenticated",
    "email": "user@example.com",
    "phone": "",
    "role": "authenticated",
    "session_id": _USER_ID,
    "sub": _USER_ID,
    "user_metadata": {"name": "John Doe"},
    "is_anonymous": False,
}
_SUPABASE_PAGES = (
    "https://supabase.com/docs/guides/auth/jwt-fields",
    "https://supabase.com/docs/guides/auth/signing-keys",
)
_SUPABASE_KEY = dict.fromkeys(_SUPABASE, ...) | {"iss": "supabase", "ref": "abcdefghijklmnopqrst"}
_SUPABASE_REFUSED = (
    Refused("an anonymous user's", {"is_anonymous": True}, "wrong_claim"),
    Refused("another role's", {"role": "service_role"}, "wrong_claim"),
    Refused("for nobody who signed in", {"aud": "anon", "role": "anon"}, "wrong_audience"),
    # Whoever has the app's page has this one, and the legacy secret signs it as well.
    Refused("the project's anon key", {**_SUPABASE_KEY, "role": "anon"}, "wrong_issuer"),
    Refused("the project's service key", {**_SUPABASE_KEY, "role": "service_role"}, "wrong_issuer"),
)

OF_APPS: Mapping[str, Shape] = {
    "auth0": Shape(
        pages=_AUTH0_PAGES,
        header={"alg": "RS256", "typ": "JWT"},
        claims=_AUTH0,
        client="azp",
        refused=(
            _AUTH0_OTHER_API,
            Refused("another app's", {"azp": "another_client_id"}, "wrong_presenter"),
            Refused("an ID token", {"aud": "my_client_id", "azp": ..., "scope": ...}, "wrong_audience"),
        ),
    ),
    "auth0-rfc9068": Shape(
        pages=_AUTH0_PAGES,
        header={"alg": "RS256", "typ": "at+jwt"},
        claims={name: value for name, value in _AUTH0.items() if name != "azp"}
        | {"client_id": "my_client_id", "jti": "73WakrfVbNJBaAmhQtEeDv"},
        client="client_id",
        refused=(_AUTH0_OTHER_API, Refused("another app's", {"client_id": "another_client_id"}, "wrong_presenter")),
    ),
    "clerk": Shape(
        pages=_CLERK_PAGES,
        header={"alg": "RS256", "typ": "JWT"},
        claims=_CLERK,
        client=None,
        life=60,
        refused=(
            Refused("of a page of another origin", {"azp": "https://evil.example"}, "wrong_claim"),
            Refused("of a page without an origin", {"azp": ...}, "missing_claim"),
        ),
    ),
    "clerk-with-audience": Shape(
        pages=_CLERK_PAGES,
        header={"alg": "RS256", "typ": "JWT"},
        claims={**_CLERK, "aud": VAULT},
        client="azp",
        life=60,
        refused=(
            Refused("without the custom claim", {"aud": ...}, "missing_claim"),
            Refused("of another JWT template", {"aud": "https://convex.example"}, "wrong_audience"),
            Refused("of a page of another origin", {"azp": "https://evil.example"}, "wrong_presenter"),
        ),
    ),
    "supabase": Shape(
        pages=_SUPABASE_PAGES,
        header={"alg": "ES256", "typ": "JWT"},
        claims=_SUPABASE,
        client=None,
        refused=_SUPABASE_REFUSED,
    ),
    "supabase-legacy": Shape(
        pages=_SUPABASE_PAGES,
        header={"alg": "HS256", "typ": "JWT"},
        claims=_SUPABASE,
        client=None,
        refused=_SUPABASE_REFUSED,
    ),
    "cognito": Shape(
        pages=(
            "https://docs.aws.amazon.com/cognito/latest/developerguide/amazon-cognito-user-pools-using-the-access-token.html",
        ),
        header={"alg": "RS256"},
        claims={
            "sub": "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee",
            "device_key": "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee",
            "cognito:groups": ["admin"],
            "token_use": "access",
            "scope": "aws.cognito.signin.user.admin",
            "origin_jti": "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee",
            "jti": "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee",
            "client_id": "57cbishk4j24pabc1234567890",
            "username": "janedoe@example.com",
        },
        client=None,
        refused=(
            Refused("another app client's", {"client_id": "1example23456789"}, "wrong_claim"),
            Refused(
                "an ID token",
                {"token_use": "id", "aud": "57cbishk4j24pabc1234567890", "client_id": ..., "scope": ...},
                "wrong_claim",
            ),
        ),
    ),
    "firebase": Shape(
        pages=("https://firebase.google.com/docs/auth/admin/verify-id-tokens",),
        header={"alg": "RS256", "typ": "JWT"},
        claims={
            "aud": "my-project",
            "user_id": "Xk893u23H9SI893",
            "sub": "Xk893u23H9SI893",
            "email": "user@example.com",
            "email_verified": True,
            "firebase": {"identities": {"email": ["user@example.com"]}, "sign_in_provider": "password"},
        },
        client=None,
        refused=(
            Refused("another project's audience", {"aud": "another-project"}, "wrong_audience"),
            Refused("another project's", {"iss": "https://securetoken.google.com/another-project"}, "wrong_issuer"),
        ),
    ),
}
