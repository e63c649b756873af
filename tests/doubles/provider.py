"""A provider played from the fixtures: a real HTTP server that answers what its documentation shows.

What a request must carry is what RFC 6749 and RFC 7636 ask of it: the app's proof, a code once, the verifier of its
challenge, the tokens that were given. Whatever is amiss is kept in `complaints`. A step whose answer no page shows is
not played: asking for it is a complaint too. Only the revocation is answered then as RFC 7009 §2.2 has it.
"""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from joserfc.jwk import ECKey
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from tests.doubles.asked import Asked, read_asked
from tests.doubles.documented import FORM, Answer
from tests.unit.loopback_issuer import sign

METHODS = ["GET", "POST", "DELETE"]
UNHEARD_OF = {"error": "made_up_refusal", "error_description": "No page tells of this."}
OWN = frozenset({"code", "state", "error", "error_description", "code_challenge", "code_challenge_method"})
"""Parameters of the documented way back that are this request's own, and none of the provider's."""


class ProviderDouble:
    """One provider. `steps` says what is played where, `answers` are the documented ones.

    `asked` are the requests so far. `instead` names another documented answer for a step, such as `refresh_error` for
    `refresh`. `life` replaces the `expires_in` of the answer to a code, `next_life` that of the answer to a refresh;
    `without` leaves members out of the first, and `added` puts members into a step's answer, at its top.
    `refuses` are steps that it refuses in words that nobody knows.
    `narrow_life` is that of a narrowed token. `denies` makes the person decline (RFC 6749 §4.1.2.1).
    """

    def __init__(
        self,
        *,
        steps: Mapping[str, str],
        answers: Mapping[str, Answer],
        client: tuple[str, str],
        issuer: str | None,
    ) -> None:
        self.answers = answers
        self.client = client
        self._steps = steps
        self._issuer = issuer
        self._key = ECKey.generate_key("P-256")
        self._consents: dict[str, Mapping[str, Any]] = {}
        self.app = Starlette(routes=[Route("/{place:path}", self._answer, methods=METHODS)])
        self.reset()

    def reset(self) -> None:
        """As if nothing had been asked or switched."""
        self.asked: list[Asked] = []
        self.complaints: list[str] = []
        self.instead: dict[str, str] = {}
        self.refuses: frozenset[str] = frozenset()
        self.life: int | None = None
        self.next_life: int | None = None
        self.without: frozenset[str] = frozenset()
        self.added: dict[str, Mapping[str, Any]] = {}
        self.narrow_life = 28_800
        self.denies = False

    def of(self, step: str) -> list[Asked]:
        """The requests of one step."""
        return [asked for asked in self.asked if asked.step == step]

    async def _answer(self, request: Request) -> Response:
        place = request.path_params["place"]
        step = self._steps.get(place, "nothing")
        if step == "token" and request.method == "POST":
            step = await _kind_of_grant(request)
        asked = await read_asked(request, step=step, host=place.partition("/")[0])
        self.asked.append(asked)
        if step == "authorization":
            return self._consent(asked)
        if step in {"token", "refresh", "narrowing"}:
            self._check_client(asked)
        if step == "token":
            return self._redeem(asked)
        if step == "refresh" and asked.params.get("refresh_token") not in self._given("refresh_token"):
            self.complaints.append("a refresh token that was never given")
        if step in {"userinfo", "lookup"} and asked.token not in self._given("access_token"):
            self.complaints.append(f"{step} with another token than was given")
        if step == "revocation" and "revocation" not in self.answers:
            return Response(status_code=200)  # RFC 7009 §2.2
        if step == "narrowing":
            return self._narrow(asked)
        shorter = step == "refresh" and self.next_life is not None
        return self._documented(step, {"expires_in": self.next_life} if shorter else None)

    def _consent(self, asked: Asked) -> Response:
        missing = {"client_id", "redirect_uri", "response_type", "state"} - asked.params.keys()
        if missing or asked.params.get("response_type") != "code" or asked.params.get("client_id") != self.client[0]:
            self.complaints.append(f"an authorization request that is none: {sorted(missing)}")
            return Response(status_code=400)
        back = {"state": asked.params["state"]} | ({"iss": self._issuer} if self._issuer else {})  # RFC 9207
        if self.denies:
            return RedirectResponse(f"{asked.params['redirect_uri']}?{urlencode(back | {'error': 'access_denied'})}")
        documented = self.answers["authorization"].query() if "authorization" in self.answers else {}
        code = secrets.token_urlsafe(16)
        self._consents[code] = asked.params
        query = {name: value for name, value in documented.items() if name not in OWN} | back | {"code": code}
        return RedirectResponse(f"{asked.params['redirect_uri']}?{urlencode(query)}", status_code=302)

    def _redeem(self, asked: Asked) -> Response:
        consent = self._consents.pop(asked.params.get("code", ""), None)
        if consent is None:
            self.complaints.append("a code that was not given, or not once")
        elif asked.params.get("redirect_uri") != consent["redirect_uri"]:
            self.complaints.append("another redirect_uri than that of the authorization")  # RFC 6749 §4.1.3
        elif _challenge_of(asked.params.get("code_verifier")) != consent.get("code_challenge"):
            self.complaints.append("a verifier that is not that of the challenge")  # RFC 7636 §4.6
        changes: dict[str, Any] = {}
        if "id_token" in self.answers:
            changes["id_token"] = self._id_token(consent or {})
        if self.life is not None:
            changes["expires_in"] = self.life
        return self._documented("token", changes, self.without)

    def _narrow(self, asked: Asked) -> Response:
        """GitHub's scoped token, which ends when the documented refresh's would."""
        if asked.params.get("access_token") not in self._given("access_token"):
            self.complaints.append("a token to narrow that was never given")
        if not {"target", "target_id"} & asked.params.keys():
            self.complaints.append("a narrowing that names no target")
        ends = datetime.now(UTC) + timedelta(seconds=self.narrow_life)
        return self._documented("narrowing", {"expires_at": ends.strftime("%Y-%m-%dT%H:%M:%SZ")})

    def _id_token(self, consent: Mapping[str, Any]) -> str:
        now = int(time.time())
        claims = self.answers["id_token"].members()
        audience = claims["aud"] if isinstance(claims["aud"], list) else [claims["aud"]]
        own = {"aud": [*audience[:-1], self.client[0]], "iat": now, "exp": now + 3600}
        own |= {name: value for name, value in {"nbf": now, "azp": self.client[0]}.items() if name in claims}
        own |= {"nonce": consent["nonce"]} if "nonce" in consent else {}
        return sign(self._key, {"alg": "ES256", "typ": "JWT"}, claims | own).reveal()

    def _check_client(self, asked: Asked) -> None:
        if asked.proof != self.client:
            self.complaints.append(f"{asked.step} without the app's id and secret")

    def _given(self, name: str) -> list[str]:
        """Every token of this kind in the documented answers, nested ones too."""
        answers = [self.answers[step].members() for step in self.answers if step in _GRANTS]
        return [found for members in answers for found in _deep(members, name)]

    def _documented(
        self, step: str, changes: Mapping[str, Any] | None = None, without: frozenset[str] = frozenset()
    ) -> Response:
        if step in self.refuses:
            return Response(json.dumps(UNHEARD_OF), status_code=400, headers={"content-type": "application/json"})
        answer = self.answers.get(self.instead.get(step, step))
        if answer is None:
            self.complaints.append(f"{step}, which no page shows an answer of")
            return Response(status_code=501)
        body = answer.body
        if changes or without:
            body = _rewritten(answer, changes or {}, without)
        if step in self.added:
            body = json.dumps({**json.loads(body), **self.added[step]})
        headers = {"content-type": answer.content_type} if answer.content_type else None
        return Response(body.strip(), status_code=answer.status, headers=headers)


_GRANTS = frozenset({"token", "token_with_rotation", "refresh"})


async def _kind_of_grant(request: Request) -> str:
    params = (await read_asked(request, step="token", host="")).params
    return {"authorization_code": "token", "refresh_token": "refresh"}.get(params.get("grant_type", ""), "nothing")


def _challenge_of(verifier: str | None) -> str | None:
    if verifier is None:
        return None
    return base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()


def _deep(members: object, name: str) -> list[str]:
    if not isinstance(members, dict):
        return []
    own = [members[name]] if isinstance(members.get(name), str) else []
    return own + [found for value in members.values() for found in _deep(value, name)]


def _rewritten(answer: Answer, changes: Mapping[str, Any], without: frozenset[str]) -> str:
    """The documented body with some members changed, wherever they stand in it."""

    def changed(members: object) -> object:
        if not isinstance(members, dict):
            return members
        return {name: changes.get(name, changed(value)) for name, value in members.items() if name not in without}

    members = changed(answer.members())
    return urlencode(members) if answer.content_type == FORM and isinstance(members, dict) else json.dumps(members)
