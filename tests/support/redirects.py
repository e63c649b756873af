"""Places that look like one that is allowed, in every way that is known to have fooled somebody (security B4)."""

from __future__ import annotations

from urllib.parse import quote, urlsplit

EVIL = "evil.example"


def elsewhere() -> list[str]:
    """Places of somebody else's, and what browsers make one of."""
    return [
        f"https://{EVIL}/",
        f"http://{EVIL}",
        f"HTTPS://{EVIL}/",
        f"//{EVIL}/",
        f"///{EVIL}/",
        f"////{EVIL}/",
        f"/\\{EVIL}",
        f"\\/{EVIL}",
        f"\\\\{EVIL}",
        f"/\\/{EVIL}",
        f"/\t/{EVIL}",
        f"/\n/{EVIL}",
        f"\t//{EVIL}",
        f"%2f%2f{EVIL}",
        f"/%2f{EVIL}",
        f"/%5c{EVIL}",
        f"/.//{EVIL}",
        f"/..//{EVIL}",
        f"https:{EVIL}",
        f"https:/{EVIL}",
        f"https:\\\\{EVIL}",
        f"https:///{EVIL}",
        f"//{EVIL}:443/",
        f"//user@{EVIL}/",
        f"//{EVIL}%00.example.com/",
        f"//{EVIL}%2fexample.com",
        f"//{EVIL}#.example.com",
        f"//{EVIL}?.example.com",
        "//0x7f000001/",
        "//2130706433/",
        "//[::1]/",
        "//[::ffff:7f00:1]/",
        "//evil\u3002example/",
        "//ｅvil.example/",  # noqa: RUF001 - it is what is tried
        "//xn--evl-hpa.example/",
        "javascript:alert(document.domain)",
        "JaVaScRiPt:alert(1)",
        "java\tscript:alert(1)",
        "data:text/html,<script>alert(1)</script>",
        "vbscript:msgbox(1)",
        "blob:https://evil.example/1",
        "file:///etc/passwd",
        "about:blank",
        "intent://evil.example#Intent;scheme=https;end",
        "ftp://evil.example/",
        "mailto:a@evil.example",
    ]


def like(url: str) -> list[str]:
    """Variants of an allowed URL that a careless comparison takes for it."""
    parts = urlsplit(url)
    host, port, path = parts.hostname or "", parts.port, parts.path
    origin = f"{parts.scheme}://{parts.netloc}"
    return [
        f"{parts.scheme}://{EVIL}@{parts.netloc}{path}",
        f"{parts.scheme}://{parts.netloc}@{EVIL}{path}",
        f"{parts.scheme}://{parts.netloc}%40{EVIL}{path}",
        f"{parts.scheme}://{parts.netloc}\\@{EVIL}{path}",
        f"{parts.scheme}://{parts.netloc}:@{EVIL}{path}",
        f"{parts.scheme}://{parts.netloc}#@{EVIL}{path}",
        f"{parts.scheme}://{parts.netloc}.{EVIL}{path}",
        f"{parts.scheme}://{host}.{EVIL}:{port}{path}",
        f"{parts.scheme}://{EVIL}.{host}:{port}{path}",
        f"{parts.scheme}://{host}.:{port}{path}",
        f"{parts.scheme}://{host}:1{path}",
        f"{parts.scheme}://{host}:0{port}{path}",
        f"{parts.scheme}://{host}{path}",
        f"{parts.scheme.upper()}://{parts.netloc}{path}",
        f"https://{parts.netloc}{path}",
        f"//{parts.netloc}{path}",
        f"{parts.scheme}:{parts.netloc}{path}",
        f"{parts.scheme}:/{parts.netloc}{path}",
        f"{parts.scheme}:\\\\{parts.netloc}{path}",
        f"{parts.scheme}://localhost:{port}{path}",
        f"{origin}{path.upper()}",
        f"{origin}{path}/",
        f"{origin}{path}/../..",
        f"{origin}{path}/..;/x",
        f"{origin}/x/..{path}",
        f"{origin}/{path}",
        f"{origin}/.{path}",
        f"{origin}/%2e{path}",
        f"{origin}/%{ord(path[1]):02x}{path[2:]}",
        f"{origin}{path}%2f",
        f"{origin}{path}%00",
        f"{origin}{path}\x00",
        f"{origin}{path}?",
        f"{origin}{path}?next=https://{EVIL}",
        f"{origin}{path}&x=1",
        f"{origin}{path}#",
        f"{origin}{path}#https://{EVIL}",
        f"{origin}{path};x",
        f"{origin}{path}*",
        f" {url}",
        f"{url} ",
        f"{url}\t",
        f"{url}\r\nLocation: https://{EVIL}/",
        f"{url}%0d%0aLocation:%20https://{EVIL}/",
        f"{url},https://{EVIL}/",
        f"{url} https://{EVIL}/",
        quote(url, safe=""),
        quote(quote(url, safe=""), safe=""),
    ]


def own_paths() -> list[str]:
    """Paths of vaultd's own to which nobody may be sent by a link, and what only looks like one."""
    return [
        "/auth/logout",
        "/auth/login",
        "/auth/login/callback?code=x&state=y",
        "/auth/callback/github?code=x&state=y",
        "/v1/audit/events",
        "/oauth/token",
        "/docs",
        "/connections/../auth/logout",
        "/connections/%2e%2e/auth/logout",
        "/connections/00000000-0000-4000-8000-000000000000/disconnect",
        "/connections\\@evil.example",
        "/connections@evil.example",
        "/connections//evil.example",
        f"//{EVIL}/connections",
        f"https://{EVIL}/connections",
        "/auth/connect/../login",
        "/auth/connect/%2e%2e/login",
        "/auth/connect/..%2flogin",
        "/auth/connect//evil.example",
        "/auth/connect\\evil",
        "connections",
        "",
    ]
