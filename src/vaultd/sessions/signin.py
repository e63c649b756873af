"""Sign-in at the `[login]` issuer: OpenID Connect with code, PKCE, state and nonce (security B8)."""

from __future__ import annotations

import secrets
from dataclasses import dataclass

from authlib.oauth2.rfc7636 import create_s256_code_challenge

from vaultd.errors import ConsentRefused
from vaultd.jose import JwtRefused
from vaultd.sessions.flows import Flow, Flows
from vaultd.sessions.id_token import SignedIn, check_id_token
from vaultd.sessions.issuer import LoginIssuer


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What the issuer's redirect brought, not believed yet, and the browser that it came through."""

    unverified_state: str
    unverified_code: str | None
    unverified_error: str | None
    unverified_issuer: str | None
    browser: str


class SignIn:
    """Sends a browser to the issuer and believes what it brings back only when everything fits."""

    def __init__(self, *, issuer: LoginIssuer, flows: Flows, redirect_uri: str) -> None:
        self.issuer = issuer
        self._flows = flows
        self._redirect_uri = redirect_uri

    async def begin(self, browser: str, continue_to: str) -> str:
        """The URL at the issuer. Raises `SignInUnavailable` when the issuer does not answer."""
        state = secrets.token_urlsafe(32)
        flow = Flow(verifier=secrets.token_urlsafe(48), nonce=secrets.token_urlsafe(32), continue_to=continue_to)
        url = await self.issuer.authorization_url(
            {
                "response_type": "code",
                "redirect_uri": self._redirect_uri,
                "scope": "openid",
                "state": state,
                "nonce": flow.nonce,
                "code_challenge": create_s256_code_challenge(flow.verifier),
                "code_challenge_method": "S256",
            }
        )
        await self._flows.begin(flow, state=state, browser=browser)
        return url

    async def finish(self, answer: Answer) -> tuple[SignedIn, str]:
        """Who signed in, and where they wanted to go. Raises `ConsentRefused` or `SignInUnavailable`."""
        # 1. our own state, once, from the browser that began (login CSRF)
        flow = await self._flows.take(unverified_state=answer.unverified_state, browser=answer.browser)
        if flow is None:
            raise ConsentRefused("This sign-in is no longer valid. Try again.", reason="state")
        # 2. the issuer that was asked, also where it says no (mix-up)
        await self.issuer.check_answering(answer.unverified_issuer)
        # 3. its own refusal
        if answer.unverified_error is not None or not answer.unverified_code:
            raise ConsentRefused("You did not sign in.", reason="login_denied")
        # 4. the code for an ID token, with the verifier that only we know
        tokens = await self.issuer.redeem(
            code=answer.unverified_code, verifier=flow.verifier, redirect_uri=self._redirect_uri
        )
        # 5. the ID token, fully verified
        try:
            signed_in = check_id_token(
                await self.issuer.verify(tokens.unverified_id_token),
                issuer=self.issuer.name,
                client_id=self.issuer.client_id,
                nonce=flow.nonce,
                access_token=tokens.access_token,
            )
        except JwtRefused as error:
            raise ConsentRefused("The sign-in was not accepted.", reason="id_token", detail=str(error)) from None
        return signed_in, flow.continue_to
