# SPDX-License-Identifier: Apache-2.0
"""What every request passes before a page of the console sees it, and what every answer carries.

Refused: a request that another site's page makes, and a form that does not say that it comes from
one of ours (`Origin`). Answers forbid scripts, styles and frames of anybody else, and every cache.
"""

from collections.abc import Mapping
from typing import Final

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

SAFE_METHODS: Final = ("GET", "HEAD")
SECURITY_HEADERS: Final[Mapping[str, str]] = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self';"
        " connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    "Referrer-Policy": "same-origin",
    "X-Frame-Options": "DENY",
}
HSTS: Final = "max-age=31536000"


class ConsoleGuard:
    """The console's own outermost layer."""

    def __init__(self, app: ASGIApp, origins: frozenset[str], *, is_secure: bool) -> None:
        self._app, self._origins, self._is_secure = app, origins, is_secure

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in SECURITY_HEADERS.items():
                    headers[name] = value
                headers.setdefault("Cache-Control", "no-store")
                if self._is_secure:
                    headers["Strict-Transport-Security"] = HSTS
            await send(message)

        if self._is_foreign(scope, Headers(scope=scope)):
            refused = PlainTextResponse("the request comes from another site\n", 403)
            await refused(scope, receive, answer)
            return
        await self._app(scope, receive, answer)

    def _is_foreign(self, scope: Scope, headers: Headers) -> bool:
        is_safe = scope["method"] in SAFE_METHODS
        site, mode = headers.get("sec-fetch-site"), headers.get("sec-fetch-mode")
        if site in ("cross-site", "same-site") and not (is_safe and mode == "navigate"):
            return True
        origins = headers.getlist("origin")
        return not is_safe and (len(origins) != 1 or origins[0] not in self._origins)
