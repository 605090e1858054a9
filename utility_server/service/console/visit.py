# SPDX-License-Identifier: Apache-2.0
"""One request of one operator, as the console's pages see it, and how a page becomes a route."""

import hmac
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from hashlib import sha256
from typing import Any, Final
from urllib.parse import quote

from anyio import to_thread
from fastapi import FastAPI
from jinja2 import Environment
from starlette.datastructures import FormData, UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from utility_server.service.access.roles import Principal, Role
from utility_server.service.access.sessions import ConsoleSession
from utility_server.service.console import words
from utility_server.service.console.inside import Inside, InsideAnswer, InsideProblem
from utility_server.service.parts import ServiceParts
from utility_server.service.words import utc_text

MOST_FIELDS: Final = 20
LARGEST_FILE: Final = 1 << 16
SURE: Final = "sure"
"""The field with which an operator confirms what cannot be undone."""
POLL_HEADER: Final = "x-poll"
NAVIGATION: Final = (
    ("/", "Bill run", (Role.BILLING, Role.AUDITOR)),
    ("/customers", "Customers", (Role.BILLING, Role.AUDITOR)),
    ("/invoices", "Invoices", (Role.BILLING, Role.AUDITOR)),
    ("/tariffs", "Tariffs", tuple(Role)),
    ("/ledger", "Ledger", (Role.BILLING, Role.AUDITOR)),
    ("/settlement", "Settlement", (Role.SETTLEMENT, Role.AUDITOR)),
    ("/regions", "Regions", (Role.GRID, Role.AUDITOR)),
    ("/rollouts", "Roll-outs", (Role.FLEET, Role.AUDITOR)),
    ("/audit", "Audit", (Role.AUDITOR,)),
    ("/keys", "Keys", (Role.ADMIN, Role.AUDITOR)),
    ("/certificates", "Certificates", (Role.ADMIN, Role.AUDITOR)),
)


@dataclass(frozen=True, slots=True)
class Console:
    """What the pages share."""

    parts: ServiceParts
    api: FastAPI
    templates: Environment

    @property
    def cookie(self) -> str:
        """The session's cookie; over TLS no other host and no plain connection can set it."""
        name = "meterlet_console"
        return f"__Host-{name}" if self.parts.settings.is_secure else name

    @property
    def origin_cookie(self) -> str:
        """The cookie of a browser that is at the identity provider."""
        return f"{self.cookie}_sign_in"


@dataclass(frozen=True, slots=True)
class Visit:
    """A request, and who makes it."""

    console: Console
    http: Request
    session: ConsoleSession | None
    fields: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, bytes] = field(default_factory=dict, repr=False)

    @property
    def parts(self) -> ServiceParts:
        """What the service has."""
        return self.console.parts

    @property
    def principal(self) -> Principal:
        """Who has signed in."""
        assert self.session is not None  # pages without one never ask
        return self.session.principal

    @property
    def inside(self) -> Inside:
        """The interface, as this person."""
        return Inside(self.console.api, self.principal, self.http.state.identification)

    @property
    def is_poll(self) -> bool:
        """Whether a page that renews itself asks, and not whoever looks at it."""
        return POLL_HEADER in self.http.headers

    @property
    def now_text(self) -> str:
        """The time, as the interface writes moments; these compare as texts."""
        return utc_text(self.parts.settings.now())

    def may(self, *roles: Role) -> bool:
        """Tell whether one of these roles is his."""
        return self.principal.may(roles)

    def value(self, name: str, default: str = "") -> str:
        """Return a field of the address."""
        return self.http.query_params.get(name, default)[:1024]

    def page(
        self, template: str, status: int = 200, refused: InsideAnswer | str = "", **context: Any
    ) -> Response:
        """Return a page; where its form was refused, with why and with all that was filled in."""
        reason = refused
        if isinstance(refused, InsideAnswer):
            status, reason = refused.status, refused.problem

        def entered(name: str, usual: str = "", form: str = "") -> str:
            """Return what a field has: as it was sent, if this is its form, shown again."""
            was_sent = bool(reason) and self.http.url.path.endswith(form)
            return self.fields.get(name, "") if was_sent else usual

        session, path = self.session, self.http.url.path
        shown = [
            (address, name)
            for address, name, roles in NAVIGATION
            if session is not None and session.principal.may(roles)
        ]
        first = f"/{path.split('/')[1]}"
        current = "/" if first == "/runs" else first
        text = self.console.templates.get_template(template).render(
            visit=self, session=session, navigation=shown, current=current,
            once=self.parts.settings.randomness(16).hex(), Role=Role, refused=reason,
            done="" if reason or session is None else self.done,
            entered=entered, **context,
        )  # fmt: skip
        return HTMLResponse(text, status)

    @property
    def is_sure(self) -> bool:
        """Whether the form comes from the page that says what it does, and not from a list."""
        return self.fields.get(SURE) == "yes"

    def ask_first(self, title: str, does: str, back: str) -> Response:
        """Say what a form does that cannot be undone, and let it be sent again or left."""
        again = {name: text for name, text in self.fields.items() if name not in ("token", SURE)}
        return self.page("sure.html", title=title, does=does, back=back, again=again)

    def see(self, path: str, done: str = "") -> Response:
        """Send the browser to another page; `done` is what that page says was done."""
        mark = f"?done={done}.{self._mark(done)}" if done else ""
        return RedirectResponse(path + mark, 303)

    @property
    def done(self) -> str:
        """What was done just now, in this session: a link that is made up says nothing."""
        key, _, mark = self.value("done").partition(".")
        is_ours = bool(key) and hmac.compare_digest(mark.encode(), self._mark(key).encode())
        return words.DONE.get(key, "") if is_ours else ""

    def _mark(self, done: str) -> str:
        token = "" if self.session is None else self.session.form_token
        return hmac.new(token.encode(), b"done " + done.encode(), sha256).hexdigest()[:32]

    def problem(self, answer: InsideAnswer, back: str) -> Response:
        """Say why something was refused."""
        return self.page("problem.html", answer.status, reason=answer.problem, back=back)


def last_month(visit: Visit) -> str:
    """Return the month before this one, as `2025-03`."""
    today = date.fromtimestamp(visit.parts.settings.now())
    return f"{today.replace(day=1) - timedelta(days=1):%Y-%m}"


Handler = Callable[[Visit], Awaitable[Response]]


@dataclass(frozen=True, slots=True)
class ConsolePage:
    """A page, and who may see it."""

    path: str
    handler: Handler
    roles: tuple[Role, ...] | None
    """None: everybody, signed in or not."""
    method: str = "GET"
    most_files: int = 1
    largest_file: int = LARGEST_FILE
    """In bytes, of each."""

    def route(self, console: Console) -> Route:
        """Return the route that serves it."""

        async def endpoint(http: Request) -> Response:
            return await _answer(self, console, http)

        methods = ["GET", "HEAD"] if self.method == "GET" else [self.method]
        return Route(self.path, endpoint, methods=methods)


async def _answer(page: ConsolePage, console: Console, http: Request) -> Response:
    cookie, is_poll = http.cookies.get(console.cookie), POLL_HEADER in http.headers
    # The form first: its last byte can come after the session's end, and then it changes nothing.
    fields, files = await _form(page, http) if page.method == "POST" else ({}, {})
    session = await to_thread.run_sync(lambda: console.parts.sessions.find(cookie, is_poll=is_poll))
    if session is not None:
        http.state.principal = session.principal
    visit = Visit(console, http, session, fields, files)
    if page.roles is not None:
        if session is None:
            target = http.url.path if page.method == "GET" else "/"
            return visit.see(f"/sign-in?next={quote(target, safe='/')}")
        # A form of another session, or of none, changes nothing.
        if page.method == "POST" and not session.accepts(fields.get("token", "")):
            return visit.page("problem.html", 403, reason=_OTHER_FORM, back="/")
        if not session.principal.may(page.roles):
            if page.path == "/":
                return visit.see("/welcome")  # to the first page that is theirs
            return visit.page("problem.html", 403, reason=_OTHER_ROLE, back="/welcome")
    try:
        return await page.handler(visit)
    except InsideProblem as problem:
        return visit.page("problem.html", problem.status, reason=str(problem), back="/welcome")


_OTHER_FORM: Final = "that form is of another session; open the page again"
_OTHER_ROLE: Final = "your roles do not show this page"


async def _form(page: ConsolePage, http: Request) -> tuple[dict[str, str], dict[str, bytes]]:
    form: FormData = await http.form(
        max_files=page.most_files, max_fields=MOST_FIELDS, max_part_size=LARGEST_FILE
    )
    fields, files = {}, {}
    try:
        for name, value in form.multi_items():
            if isinstance(value, UploadFile):
                content = await value.read(page.largest_file + 1)
                if len(content) > page.largest_file:
                    raise HTTPException(413)
                files[name] = content
            else:
                fields[name] = value
    finally:
        await form.close()  # also what was refused
    return fields, files
