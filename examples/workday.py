"""What the examples share: where everything is, and a few lines told of each provider's answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import httpx

from vaultd_client import ClientSecretBasic

QUESTION = "What did I work on yesterday?"
INSTRUCTIONS = (
    "Answer from what the tools say and from nothing else. Where a tool says that something is not connected, "
    "repeat its sentence with the link."
)
REVIEWS = {"q": "is:pr is:open review-requested:@me"}
AGENDA = {"singleEvents": "true", "orderBy": "startTime"}
CALENDAR = "https://www.googleapis.com/auth/calendar.readonly"


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """The vault, this agent's credentials there, and the providers' APIs; without a slash at their ends."""

    vault: str
    credentials: ClientSecretBasic
    github: str
    google: str
    slack: str

    @classmethod
    def of(cls, environ: Mapping[str, str]) -> Self:
        """As the environment says; the APIs are the providers' own unless it names others."""
        return cls(
            vault=environ["VAULTD_URL"],
            credentials=ClientSecretBasic(environ["VAULTD_CLIENT_ID"], environ["VAULTD_CLIENT_SECRET"]),
            github=environ.get("GITHUB_API", "https://api.github.com"),
            google=environ.get("GOOGLE_API", "https://www.googleapis.com"),
            slack=environ.get("SLACK_API", "https://slack.com/api"),
        )


def slack_refuses(answer: httpx.Response) -> bool:
    """Slack says under status 200 that it does not take a token (https://api.slack.com/methods/auth.revoke)."""
    said = answer.json() if answer.headers.get("content-type", "").startswith("application/json") else {}
    return said.get("error") in {"invalid_auth", "token_expired", "token_revoked"}


def pull_requests(found: Mapping[str, Any]) -> str:
    """Of GitHub's `/search/issues`."""
    return "\n".join(f"#{item['number']} {item['title']}, by {item['user']['login']}" for item in found["items"])


def events(found: Mapping[str, Any]) -> str:
    """Of Google's `/calendar/v3/calendars/{id}/events`."""
    return "\n".join(f"{event['start']['dateTime'][11:16]} {event['summary']}" for event in found["items"])


def messages(found: Mapping[str, Any]) -> str:
    """Of Slack's `/conversations.history`, which says what went wrong under status 200."""
    if not found["ok"]:
        return f"Slack refused: {found['error']}"
    return "\n".join(f"{message.get('username', message['user'])}: {message['text']}" for message in found["messages"])
