"""Who may talk to the viewer: its own page, and programs that are no browser.

viser takes a websocket from any page that is open in the user's browser, whatever its origin, and serves any file whose
path begins with dots. Both are refused here, and so is a page whose name was made to point at this machine after it
was loaded (DNS rebinding): a request must call the viewer by an address, `localhost` or this machine's name.

A proxy that gives the viewer another name says so in the header `X-Forwarded-Host`. No page can set that for a
websocket, so it is believed.
"""

from __future__ import annotations

import http
import ipaddress
import re
import socket
from collections.abc import Mapping
from urllib.parse import urlsplit

from websockets.legacy.server import WebSocketServerProtocol

SHARE_DOMAIN = "share.viser.studio"
"""Where viser's own share links lie (`--viewer.make-share-url`); nobody else gives names below it an address."""


def refusal(path: str, headers: Mapping[str, str]) -> str | None:
    """Why a request is not answered, in one sentence; None if it is.

    Args:
        path: What is asked for, as the request has it.
        headers: The request's headers, found whatever their case.
    """
    if not _is_plain(path):
        return "Expected the path of a file of the viewer, found one that leads elsewhere."
    forwarded = headers.get("X-Forwarded-Host", "").split(",")[0].strip()
    host = headers.get("Host", "")
    if not forwarded and not _is_own_name(_name_and_port(f"//{host}")[0]):
        return (
            f"Expected the viewer's address or 'localhost', found the name {host[:80]!r}: open it by its address, or "
            "have the proxy set the header X-Forwarded-Host."
        )
    origin = headers.get("Origin")
    if origin is not None and not _is_same(origin, forwarded or host):
        return (
            f"Expected a page of {(forwarded or host)[:80]!r}, found one of {origin[:80]!r}: no other page may use the "
            "viewer; a proxy must set the header X-Forwarded-Host."
        )
    return None


class SameOriginProtocol(WebSocketServerProtocol):
    """viser's connection, which answers whom :func:`refusal` does not refuse."""

    async def process_request(self, path, request_headers):
        reason = refusal(path, request_headers)
        if reason is not None:
            return http.HTTPStatus.FORBIDDEN, {"Content-Type": "text/plain; charset=utf-8"}, f"{reason}\n".encode()
        return await super().process_request(path, request_headers)


def _is_plain(path: str) -> bool:
    """Whether the path stays below where it starts, on every operating system."""
    file = path.partition("?")[0]
    return file.startswith("/") and not file.startswith("//") and not re.search(r"[\\:\0]|/\.\.(/|$)", file)


def _is_own_name(name: str | None) -> bool:
    """Whether a name is an address, which nobody can point elsewhere, or one of this machine's own."""
    if name is None:
        return False
    own = socket.gethostname().lower()
    if name in ("localhost", own, own.partition(".")[0], f"{own.partition('.')[0]}.local"):
        return True
    if name.endswith((".localhost", f".{SHARE_DOMAIN}")):
        return True
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _is_same(origin: str, host: str) -> bool:
    """Whether a page's origin is the host, whose port a proxy may leave out."""
    page_name, page_port = _name_and_port(origin)
    own_name, own_port = _name_and_port(f"//{host}")
    return page_name is not None and page_name == own_name and own_port in (page_port, None)


def _name_and_port(url: str) -> tuple[str | None, int | None]:
    """Name in small letters and port of a URL, those of its scheme where it has none; None for what it lacks."""
    try:
        parts = urlsplit(url)
        return parts.hostname, parts.port or {"http": 80, "https": 443}.get(parts.scheme)
    except ValueError:
        return None, None
