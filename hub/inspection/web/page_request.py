# SPDX-License-Identifier: Apache-2.0
"""One request of one resident, as the pages see it, and how a page becomes a route.

A page is a plain function from `PageRequest` to an answer; it runs in a thread of its own. Whoever
is not signed in, or may not, does not reach it; a form without this session's token does not
either. What the hub's parts refuse becomes a page that says so in a line: where it came with a
form, this form again, as it was filled in, with the field in fault marked.
"""

import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import date
from typing import Any, Final
from urllib.parse import quote

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import FormData, UploadFile
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from hub.device import Device
from hub.errors import HubError
from hub.inspection.errors import SHOWN_ERRORS
from hub.inspection.locales.catalogue import Catalogue
from hub.inspection.locales.reasons import error_in_words
from hub.inspection.store import open_inspection
from hub.inspection.views.bucket_cache import BucketCache
from hub.inspection.views.documents import TariffBook, tariff_book
from hub.inspection.views.meters import NoSuchMeter, meter_called
from hub.inspection.web.access.request_guard import UPLOAD_BYTES
from hub.inspection.web.access.residents import ResidentRole
from hub.inspection.web.access.sessions import ResidentSession
from hub.inspection.web.forms import BadInput, date_of
from hub.inspection.web.parts import Parts
from protocols.metrology import Period

MOST_FIELDS: Final = 40
MOST_FILES: Final = 3
MOST_FAULTS: Final = 8
"""Fields of an address that are looked at before it is said to make no sense."""
SECTIONS: Final = {
    "readings": "nav.readings",
    "releases": "nav.releases",
    "consents": "nav.consents",
    "bill": "nav.bill",
    "applets": "nav.applets",
    "log": "nav.log",
    "export": "nav.export",
    "about": "nav.about",
    "set-aside": "set_aside.title",
}
"""The pages that others are below, and what they are called."""


class Attributes(str):
    """Attributes of an HTML element, of names of ours alone: templates write them as they are."""

    __slots__ = ()

    def __html__(self) -> str:
        """Return them unescaped."""
        return str(self)


@dataclass(frozen=True, slots=True)
class Look:
    """The hub, opened to be looked at."""

    hub: Device
    device: Device
    """The meter that is looked at: the hub's own, or the further one that was chosen."""
    kept: BucketCache
    book: TariffBook
    """The tariffs the resident knows, for what the meter counts."""


@dataclass(frozen=True, slots=True)
class PageRequest:
    """A request, who makes it, and what it needs to be answered."""

    parts: Parts
    http: Request
    session: ResidentSession | None
    fields: Mapping[str, str]
    files: Mapping[str, bytes]
    words: Catalogue
    problem: str = ""
    """Why what was sent is shown again, in words."""
    fault: str = ""
    """The field that is in fault; empty where it is none by itself."""
    ignored: frozenset[str] = frozenset()
    """Fields of the address that were in fault, and are left out."""

    def device(self) -> Device:
        """Open the hub; to be used in a `with`."""
        return self.parts.settings.open_device()

    @contextmanager
    def look(self) -> "Iterator[Look]":
        """Open the hub with what inspection keeps of it, to look at the meter that is chosen."""
        with self.device() as hub, open_inspection(hub) as database:
            meter = self.meter(hub)
            yield Look(hub, meter, BucketCache.of(meter, database), tariff_book(meter))

    def meter(self, hub: Device) -> Device:
        """Return the meter that the address or the form chooses; raise `BadInput` for none."""
        fields = self.fields if self.http.method == "POST" else self.http.query_params
        name = "" if "meter" in self.ignored else fields.get("meter", "")
        try:
            return meter_called(hub, name)
        except NoSuchMeter as error:
            raise BadInput(str(error), "meter") from None

    def about(self, meter: Device) -> "PageRequest":
        """Return the request as it is answered about a meter: in its units, by its days."""
        return replace(self, words=self.words.for_meter(meter.description))

    @property
    def resident(self) -> ResidentSession:
        """The session of who is signed in."""
        assert self.session is not None  # pages without one never ask
        return self.session

    @property
    def is_owner(self) -> bool:
        """Whether who is signed in may change things."""
        return self.session is not None and self.session.resident.role is ResidentRole.OWNER

    @property
    def address(self) -> str:
        """Where the request comes from; empty where that is not known."""
        return self.http.client.host if self.http.client else ""

    def record(self, event: str, **facts: str | int) -> None:
        """Put on record what the resident who is signed in did."""
        name = self.resident.resident.name
        self.parts.incidents.happened(event, {"resident": name, **facts})

    def query(self, name: str, default: str = "") -> str:
        """Return a field of the address."""
        return default if name in self.ignored else self.http.query_params.get(name, default)

    @property
    def section(self) -> str:
        """The page that this one is below, or is; the first one where it is below none."""
        first = self.http.url.path.split("/")[1]
        return f"/{first}" if first in SECTIONS else "/"

    @property
    def section_name(self) -> str:
        """What that page is called."""
        return self.words.t(SECTIONS.get(self.section[1:], "nav.now"))

    @property
    def here(self) -> str:
        """A page that can be opened again as it is: this one, or the one whose form was sent."""
        return self.section if self.http.method == "POST" else self.http.url.path

    def is_again(self, form: str, **same: object) -> bool:
        """Tell whether this is a form that was sent and is shown again, as it was filled in.

        `form` is where it is sent to; `same` are hidden fields that tell it from others like it.
        """
        if not self.problem or self.http.url.path != form:
            return False
        return all(self._sent(name) == str(value) for name, value in same.items())

    def typed(self, form: str, name: str, default: object = "", **same: object) -> str:
        """Return what a field of a form shows: what was typed, or what is usual."""
        usual = "" if default is None else str(default)
        return self._sent(name, usual) if self.is_again(form, **same) else usual

    def marks(self, form: str, name: str, hint: str = "", **same: object) -> Attributes:
        """Return the attributes of a field: which hint it has, and whether it is in fault."""
        is_fault = bool(name) and name == self.fault and self.is_again(form, **same)
        described = " ".join(filter(None, ("problem" if is_fault else "", hint)))
        text = f' aria-describedby="{described}"' if described else ""
        return Attributes(text + ' aria-invalid="true" autofocus' if is_fault else text)

    def _sent(self, name: str, default: str = "") -> str:
        fields = self.fields if self.http.method == "POST" else self.http.query_params
        return fields.get(name, default)

    def page(self, template: str, status: int = 200, **context: Any) -> Response:
        """Return a page."""
        text = self.parts.templates.get_template(template).render(
            request=self,
            t=self.words.t,
            words=self.words,
            session=self.session,
            path=self.http.url.path,
            **context,
        )
        return HTMLResponse(text, status)

    def see(self, path: str) -> Response:
        """Send the browser to another page."""
        return RedirectResponse(path, 303)


def days_of(request: PageRequest, most_days: int) -> Period:
    """Return the days from `first` to `last`; raise `BadInput` unless they are 1 to `most_days`."""
    first, last = date_of(request.fields, "first"), date_of(request.fields, "last")
    require_days(first, last, most_days)
    return Period(first, last)


def require_days(first: date, last: date, most_days: int) -> None:
    """Raise `BadInput` unless these are 1 to `most_days` days."""
    if not 0 <= (last - first).days < most_days:
        raise BadInput(
            "the last day must not be before the first, and not more than"
            f" {most_days - 1} days after it",
            "last",
        )


def download(name: str, content: bytes, media_type: str = "application/octet-stream") -> Response:
    """Return a file for the browser to keep."""
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return Response(content, media_type=media_type, headers=headers)


@dataclass(frozen=True, slots=True)
class Page:
    """A page, and who may see it."""

    path: str
    handler: Callable[[PageRequest], Response]
    role: ResidentRole | None
    """None: everybody, signed in or not."""
    method: str = "GET"
    form: Callable[[PageRequest], Response] | None = None
    """What shows the form that is sent here: again, where what was sent is refused."""

    def route(self, parts: Parts) -> Route:
        """Return the route that serves it."""

        async def endpoint(http: Request) -> Response:
            return await _answer(self, parts, http)

        methods = ["GET", "HEAD"] if self.method == "GET" else [self.method]
        return Route(self.path, endpoint, methods=methods)


async def _answer(page: Page, parts: Parts, http: Request) -> Response:
    session = parts.session_of(http.cookies.get(parts.cookie), is_idle=_is_poll(http))
    words = parts.wording(http)
    form = FormData()
    if http.method == "POST":
        form = await http.form(
            max_files=MOST_FILES, max_fields=MOST_FIELDS, max_part_size=UPLOAD_BYTES
        )
    texts = {name: value for name, value in form.multi_items() if isinstance(value, str)}
    files = {
        name: await value.read()
        for name, value in form.multi_items()
        if isinstance(value, UploadFile)
    }
    await form.close()
    request = PageRequest(parts, http, session, texts, files, words)
    return await run_in_threadpool(_guarded, page, request)


def _is_poll(http: Request) -> bool:
    """Tell whether a page asks by itself, with nobody at it."""
    return "hx-request" in http.headers


def _guarded(page: Page, request: PageRequest) -> Response:
    if page.role is not None:
        if request.session is None:
            if _is_poll(request.http):
                return Response(status_code=204, headers={"HX-Redirect": "/sign-in"})
            target = request.http.url.path if request.http.method != "POST" else "/"
            return request.see(f"/sign-in?next={quote(target, safe='/')}")
        if page.method == "POST" and not request.session.accepts(request.fields.get("token", "")):
            return refuse(request, "forged form", 403)
        if not request.session.resident.role.includes(page.role):
            return refuse(request, "reader would change", 403)
    try:
        return page.handler(request)
    except sqlite3.Error as error:  # a busy database among them: later it may go
        return _shown_again(page, request, error, 503)
    except SHOWN_ERRORS as error:
        # The page is there, whatever the programming interface says of such an error: never 404.
        status = BadInput.http_status if isinstance(error, BadInput) else HubError.http_status
        return _shown_again(page, request, error, status)


def _shown_again(page: Page, request: PageRequest, error: Exception, status: int) -> Response:
    """Show the form again with what was typed and what is wrong; where there is none, an error."""
    problem, refused = error_in_words(error, request.words), error
    again = replace(request, problem=problem, fault=_fault(error))
    for _ in range(MOST_FAULTS):
        show = page.form if page.method == "POST" else page.handler if _fault(refused) else None
        if show is None:
            break
        again = replace(again, ignored=again.ignored | {_fault(refused)})
        try:
            answer = show(again)
        except (*SHOWN_ERRORS, sqlite3.Error) as another:
            if page.method == "POST" or _fault(another) in again.ignored:
                break
            refused = another
            continue
        if answer.status_code == 200:
            answer.status_code = status
            return answer
        break
    return request.page("error.html", status, reason=problem)


def _fault(error: Exception) -> str:
    return error.field if isinstance(error, BadInput) else ""


def refuse(request: PageRequest, event: str, status: int) -> Response:
    """Refuse a request, and put that on record."""
    facts = {
        "address": request.address,
        "path": request.http.url.path[:80],
        "resident": request.session.resident.name if request.session else "",
    }
    request.parts.incidents.refused(event, facts)
    reason = request.words.t(f"refused.{event.replace(' ', '-')}")
    return request.page("error.html", status, reason=reason)
