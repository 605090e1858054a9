# SPDX-License-Identifier: Apache-2.0
"""What every request passes before a page sees it, and what every answer carries.

Refused, and on record: a Host that is not ours (a rebound name), a request from another site's
page, an Origin that is not ours on anything that changes, a path that is not written plainly, a
body larger than its page takes. Answers forbid scripts, styles and frames of anybody else, and
every cache.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Final

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from hub.inspection.locales.catalogue import best_language, catalogue
from hub.inspection.locales.reasons import reason_in_words

FORM_BYTES: Final = 64 * 1024
UPLOAD_BYTES: Final = 4 * 1024 * 1024
LONGEST_PATH: Final = 512
LONGEST_QUERY: Final = 2048
SAFE_METHODS: Final = ("GET", "HEAD")

SECURITY_HEADERS: Final[Mapping[str, str]] = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self';"
        " connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    # `no-referrer` would make browsers send `Origin: null` with our own forms.
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
HSTS: Final = "max-age=31536000"

Record = Callable[[str, Mapping[str, str]], Awaitable[None]]
"""Puts a refusal on record: its kind, and facts of bounded size."""


@dataclass(slots=True)
class _Bounded:
    """A request's body, which ends in a refusal once it is too large."""

    inner: Receive
    limit: int
    received: int = 0

    @property
    def is_over(self) -> bool:
        """Whether more came than the page takes."""
        return self.received > self.limit

    async def receive(self) -> Message:
        """Return the next part; raise status 413 where it is one too many."""
        message = await self.inner()
        self.received += len(message.get("body", b""))
        if self.is_over:
            raise HTTPException(413)
        return message


@dataclass(frozen=True, slots=True)
class Guard:
    """The outermost layer of the application."""

    app: ASGIApp
    hosts: frozenset[str]
    origins: frozenset[str]
    is_secure: bool
    record: Record
    uploads: frozenset[str]
    """The paths that take files."""
    bearer_prefix: str = "/api/"
    """Below it clients show a token and no cookie: they send no Origin."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self.app(scope, receive, send)
                return
            return  # no WebSockets here
        guarded = self._guarding(scope, send)
        headers = Headers(scope=scope)
        refused = self._refusal(scope, headers)
        limit = UPLOAD_BYTES if scope["path"] in self.uploads else FORM_BYTES
        if refused is None and _declared(headers) > limit:
            refused = 413, "oversized request", f"at most {limit} bytes"
        if refused is not None:
            await self._refuse(scope, headers, guarded, refused)
            return
        body = _Bounded(receive, limit)
        await self.app(scope, body.receive, guarded)
        if body.is_over:
            await self._record(scope, "oversized request")

    def _refusal(self, scope: Scope, headers: Headers) -> tuple[int, str, str] | None:
        """Return status, kind and reason if the request must not be looked at, else None."""
        if [headers.get("host")] != headers.getlist("host") or headers["host"] not in self.hosts:
            return 421, "forged host", "this is not the name of the hub's pages"
        raw: bytes = scope.get("raw_path") or scope["path"].encode()
        if not _is_plain(raw) or len(scope.get("query_string", b"")) > LONGEST_QUERY:
            return 400, "path trick", "that is no address of a page"
        if scope["method"] not in (*SAFE_METHODS, "POST"):
            return 405, "unknown method", "only GET, HEAD and POST"
        site, mode = headers.get("sec-fetch-site"), headers.get("sec-fetch-mode")
        # A link from elsewhere may be followed: the cookie does not come with it.
        if site in ("cross-site", "same-site") and (
            mode != "navigate" or scope["method"] not in SAFE_METHODS
        ):
            return 403, "cross-site request", "the request comes from another site"
        if scope["method"] not in SAFE_METHODS and not scope["path"].startswith(self.bearer_prefix):
            if headers.getlist("origin") != [headers.get("origin")]:
                return 403, "cross-site request", "the request does not say where it comes from"
            if headers["origin"] not in self.origins:
                return 403, "cross-site request", "the request comes from another site"
        return None

    async def _refuse(
        self, scope: Scope, asked: Headers, send: Send, refused: tuple[int, str, str]
    ) -> None:
        status, kind, reason = refused
        words = catalogue(best_language(asked.get("accept-language", "")))
        await self._record(scope, kind)
        body = f"{reason_in_words(reason, words)}\n".encode()
        headers = [
            (b"content-type", b"text/plain; charset=utf-8"),
            (b"content-length", str(len(body)).encode()),
            (b"connection", b"close"),
        ]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    async def _record(self, scope: Scope, kind: str) -> None:
        client = scope.get("client")
        facts = {
            "address": str(client[0]) if client else "",
            "method": scope["method"][:10],
            "path": ascii(scope["path"])[1:81],
        }
        await self.record(kind, facts)

    def _guarding(self, scope: Scope, send: Send) -> Send:
        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in SECURITY_HEADERS.items():
                    headers[name] = value
                if self.is_secure:
                    headers["Strict-Transport-Security"] = HSTS
                headers.setdefault("Cache-Control", "no-store")
            await send(message)

        return guarded


def _declared(headers: Headers) -> int:
    length = headers.get("content-length", "0")
    return int(length) if length.isdecimal() and len(length) < 16 else 1 << 60


def _is_plain(raw: bytes) -> bool:
    """Tell whether a path says where it leads without escapes, dots or doubled slashes."""
    allowed = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/-._"
    path = raw.partition(b"?")[0]
    return (
        path.startswith(b"/")
        and len(path) <= LONGEST_PATH
        and not set(path) - set(allowed)
        and b"//" not in path
        and b"/." not in path
        and b".." not in path
    )
