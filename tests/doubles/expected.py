"""What comes of each provider's documented answers, written by hand: not read from the catalogue.

Who is in no table is not played that far; see `LEFT_OUT`.
"""

from __future__ import annotations

from typing import Any

SITE = {"sites": [{"id": "00000000-0000-4000-8000-00000000000a", "name": "Made-up site"}]}
SLACK = {
    "team_id": "T0MADEUPT",
    "team_name": "Made-up Team",
    "enterprise_id": "E0MADEUPE",
    "app_id": "A0MADEUPA",
}

KNOWN: dict[str, tuple[str, dict[str, Any]]] = {
    "airtable": ("made.up@example.com", {}),
    "asana": ("ada@example.com", {}),
    "atlassian": ("ada@example.com", SITE),
    "auth0": ("ada@example.com (acme.eu)", {"tenant": "acme.eu"}),
    "box": ("ada@example.com", {}),
    "calendly": (
        "ada@example.com",
        {
            "owner": "https://api.calendly.com/users/MADEUPUSER000001",
            "organization": "https://api.calendly.com/organizations/MADEUPORG0000001",
        },
    ),
    "canva": ("Made Up (made-up-team-id)", {}),
    "confluence": ("ada@example.com", SITE),
    "discord": ("ada", {}),
    "docusign": (
        "made.up@example.com",
        {"account_id": "00000000-0000-4000-8000-00000000000f", "base_uri": "https://na4.docusign.net"},
    ),
    "dropbox": ("ada@example.com", {"account_id": "dbid:AAMadeUpAccountOfNobody0000000000000000"}),
    "figma": ("ada@example.com", {"user_id": "1000000000000000001"}),
    "github": ("ada", {}),
    "github-app": ("ada", {}),
    "gitlab": ("ada", {}),
    "google": ("ada@example.com", {}),
    "hubspot": ("1000001", {"hub_id": "1000001", "user_id": "2000002"}),
    "intercom": ("MyApp 1", {}),
    "jira": ("ada@example.com", SITE),
    "linear": ("Ada Nobody", {}),
    "linkedin": ("made.up@example.com", {}),
    "microsoft": ("ada@example.com", {}),
    "miro": ("Ada Nobody (Made-up Team)", {"team_id": "3074457350000000001"}),
    "monday": ("ada@example.com (acme)", {}),
    "notion": (
        "Ada Nobody (Made-up Workspace)",
        {
            "workspace_id": "00000000-0000-4000-8000-00000000000d",
            "workspace_name": "Made-up Workspace",
            "bot_id": "00000000-0000-4000-8000-00000000000c",
            "owner_id": "00000000-0000-4000-8000-00000000000b",
        },
    ),
    "okta": ("made.up@example.com (acme)", {"org": "acme"}),
    "pagerduty": ("made.up@example.com (made-up)", {}),
    "quickbooks": ("ada@example.com (1000000000000001)", {"realm_id": "1000000000000001"}),
    "reddit": ("ada", {}),
    "salesforce": (
        "https://made-up.my.salesforce.com",
        {
            "instance_url": "https://made-up.my.salesforce.com",
            "identity_url": "https://login.salesforce.com/id/00D000000MADEUPORG/005000000MADEUPUSR",
        },
    ),
    "shopify": ("my-shop", {"shop": "my-shop"}),
    "slack": ("Made-up Team", {**SLACK, "bot_user_id": "U0MADEUPB", "authed_user_id": "U0MADEUPU"}),
    "slack-user": ("U0MADEUPU (Made-up Team)", {**SLACK, "user_id": "U0MADEUPU"}),
    "spotify": ("ada@example.com", {}),
    "strava": ("Ada", {}),
    "stripe": ("acct_MadeUp0000000001", {"stripe_user_id": "acct_MadeUp0000000001"}),
    "twitch": ("ada", {"app_client_id": "made-up-client-id"}),
    "xero": (
        "ada@example.com",
        {"tenants": [{"id": "00000000-0000-4000-8000-00000000000b", "name": "Made Up Company (NZ)"}]},
    ),
    "zendesk": ("ada@example.com (acme)", {"subdomain": "acme"}),
}
"""The account's label and the connection's metadata, the connection settings in it."""

WAYS: dict[str, str] = {
    "basic form": "airtable calendly canva discord docusign figma okta quickbooks reddit slack slack-user spotify xero",
    "basic json": "notion",
    "body form": (
        "asana auth0 box dropbox github github-app gitlab google hubspot intercom linear linkedin microsoft miro "
        "pagerduty salesforce strava stripe twitch"
    ),
    "body json": "atlassian confluence jira monday shopify zendesk",
}
"""How the app proves itself at the token endpoint, and how the request is written."""

REVOKED: dict[str, tuple[str, str]] = {
    "asana": ("POST body form", "refresh"),
    "auth0": ("POST body form", "refresh"),
    "box": ("POST body form", "refresh first"),
    "calendly": ("POST body form", "refresh first"),
    "canva": ("POST basic form", "refresh first"),
    "discord": ("POST basic form", "refresh first"),
    "dropbox": ("POST none none", "second first"),
    "github": ("DELETE basic json", "first"),
    "github-app": ("DELETE basic json", "second first"),
    "gitlab": ("POST body form", "refresh first"),
    "google": ("POST body form", "refresh first"),
    "hubspot": ("POST body form", "refresh"),
    "intercom": ("POST none json", "first"),
    "linear": ("POST body form", "refresh first"),
    "miro": ("POST body json", "second first"),
    "monday": ("POST body json", "refresh first"),
    "notion": ("POST basic json", "second first"),
    "okta": ("POST basic form", "refresh first"),
    "quickbooks": ("POST basic json", "refresh first"),
    "reddit": ("POST basic form", "refresh first"),
    "salesforce": ("POST body form", "refresh first"),
    "shopify": ("DELETE none json", "second first"),
    "slack": ("POST none none", "first"),
    "slack-user": ("POST none none", "first"),
    "strava": ("POST body form", "second first"),
    "stripe": ("POST basic form", "account"),
    "twitch": ("POST none form", "second first"),
    "xero": ("POST basic form", "refresh first"),
    "zendesk": ("DELETE none none", "second first"),
}
"""How tokens are given back, and which: the refresh token, the first access token, or a second one got for it.

Stripe is told the account and no token.
"""

LEFT_OUT: dict[str, str] = {
    "connect": "bitbucket clickup mailchimp todoist typeform webex x zoom",
    "refresh": "asana calendly docusign github intercom okta quickbooks spotify stripe xero",
    "answer to a revocation": "canva discord dropbox hubspot intercom quickbooks reddit strava xero",
}
"""What is not played, since no page was seen that shows the answer.

Whose connecting is left out is asked for the authorization only. Where no page shows a refusal, the double plays one
that nobody knows. A revocation without a documented answer is asked for, and answered as RFC 7009 has it.
"""
