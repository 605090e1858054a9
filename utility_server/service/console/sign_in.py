# SPDX-License-Identifier: Apache-2.0
"""Signing in at the console: with a password and a code, or at the identity provider; and out."""

import hmac
from hashlib import sha256
from typing import Final

from anyio import to_thread
from starlette.responses import HTMLResponse, Response

from utility_server.errors import AccessProblem, TooManySignIns
from utility_server.service.access.known_browsers import LIFE_SECONDS as KNOWN_SECONDS
from utility_server.service.access.oidc import SIGN_IN_SECONDS
from utility_server.service.access.roles import Principal
from utility_server.service.console.visit import ConsolePage, Visit

BACK: Final = "/sign-in/back"
_FORM: Final = b"meterlet console sign-in 1"
_TOKEN_SIZE: Final = 32
REFUSED: Final = "the name, the password or the code is not right"
"""One answer, whichever it is, and whether or not there is such an operator."""


async def show_sign_in(visit: Visit) -> Response:
    """Ask who it is."""
    return _asked(visit, 200, "")


def _asked(visit: Visit, status: int, problem: str) -> Response:
    """Return the page, with a token that ties its form to this browser."""
    parts = visit.parts
    browser = visit.http.cookies.get(_door(visit), "")
    if len(browser) != 2 * _TOKEN_SIZE:
        browser = parts.settings.randomness(_TOKEN_SIZE).hex()
    issuer = "" if parts.sign_in is None else parts.sign_in.provider.settings.issuer
    target = visit.fields.get("next") or visit.value("next", "/welcome")
    answer = visit.page(
        "sign_in.html", status, problem=problem, token=_token(browser), next=_inside(target),
        issuer=issuer, name=visit.fields.get("name", "")[:32],
        needs_code=parts.operators.needs_factor,
    )  # fmt: skip
    _set_cookie(visit, answer, _door(visit), browser)
    return answer


async def sign_in(visit: Visit) -> Response:
    """Begin a session for whoever knows an operator's password."""
    browser, token = visit.http.cookies.get(_door(visit), ""), visit.fields.get("token", "")
    if not browser or not hmac.compare_digest(token.encode(), _token(browser).encode()):
        return _asked(visit, 403, "that form was not of this browser; try again")
    parts, name = visit.parts, visit.fields.get("name", "").strip().lower()[:64]
    source = visit.http.client.host if visit.http.client else ""
    named = await to_thread.run_sync(parts.operators.find, name)
    known = visit.http.cookies.get(_known(visit, name), "")
    browser = parts.browsers.nonce_of(known, name, "" if named is None else named.epoch)
    try:
        operator = await to_thread.run_sync(
            lambda: parts.operators.sign_in(
                name,
                visit.fields.get("password", ""),
                source,
                visit.fields.get("code", ""),
                browser=browser,
            )
        )
    except TooManySignIns as error:
        answer = _asked(visit, 429, str(error))
        answer.headers["Retry-After"] = str(error.seconds)
        return answer
    if operator is None:
        parts.metrics.refused("password")
        parts.settings.log("sign-in-refused", {"request": visit.http.state.identification})
        return _asked(visit, 403, REFUSED)
    begun = await _begin(visit, operator.principal, operator.epoch, visit.fields.get("next", ""))
    mark = parts.browsers.make(operator.name, operator.epoch)
    _set_cookie(visit, begun, _known(visit, operator.name), mark, KNOWN_SECONDS, site="strict")
    return begun


async def go_to_provider(visit: Visit) -> Response:
    """Send the browser to the identity provider."""
    parts = visit.parts
    if parts.sign_in is None:
        return visit.see("/sign-in")
    redirect, target = _redirect(visit), _inside(visit.value("next", "/welcome"))
    try:
        address, browser = await to_thread.run_sync(parts.sign_in.begin, redirect, target)
    except AccessProblem as error:
        return _asked(visit, 503, str(error))
    answer = visit.see(address)
    # Lax: the provider sends the browser back by a link, and the cookie has to come with it.
    _set_cookie(visit, answer, visit.console.origin_cookie, browser, SIGN_IN_SECONDS)
    return answer


async def come_back(visit: Visit) -> Response:
    """Begin a session for whoever the identity provider says has signed in."""
    parts = visit.parts
    state, code = visit.value("state"), visit.value("code")
    browser = visit.http.cookies.get(visit.console.origin_cookie, "")
    if parts.sign_in is None or not state or not code or not browser:
        return _asked(visit, 400, "the identity provider has not signed you in")
    redirect = _redirect(visit)
    try:
        principal, target = await to_thread.run_sync(
            parts.sign_in.finish, state, code, browser, redirect
        )
    except AccessProblem as error:
        parts.metrics.refused("sign-in")
        return _asked(visit, 403, str(error))
    answer = await _begin(visit, principal, "", target)
    answer.delete_cookie(visit.console.origin_cookie, path="/")
    return answer


async def sign_out(visit: Visit) -> Response:
    """End the session."""
    if visit.session is None or not visit.session.accepts(visit.fields.get("token", "")):
        return visit.see("/sign-in")
    await to_thread.run_sync(visit.parts.sessions.end, visit.http.cookies.get(visit.console.cookie))
    await _record(visit, visit.principal, "sign_out")
    answer = visit.see("/sign-in")
    answer.delete_cookie(visit.console.cookie, path="/")
    return answer


async def _begin(visit: Visit, principal: Principal, epoch: str, target: str) -> Response:
    """Begin a new session: a cookie that the browser had is ended, never taken over."""
    sessions, old = visit.parts.sessions, visit.http.cookies.get(visit.console.cookie)
    await to_thread.run_sync(sessions.end, old)
    token = await to_thread.run_sync(sessions.begin, principal, epoch)
    await _record(visit, principal, "sign_in")
    # A page of ours sends the browser on, so that a strict cookie comes along from there.
    text = visit.console.templates.get_template("signed_in.html").render(
        target=_inside(target or "/welcome")
    )
    answer = HTMLResponse(text)
    _set_cookie(visit, answer, visit.console.cookie, token, site="strict")
    return answer


async def _record(visit: Visit, principal: Principal, action: str) -> None:
    request = visit.http.state.identification
    await to_thread.run_sync(
        visit.parts.audit.append, principal.who, action, "console", "200", request
    )


def _set_cookie(
    visit: Visit, answer: Response, name: str, value: str, age: int | None = None,
    site: str = "lax",
) -> None:  # fmt: skip
    is_secure = visit.parts.settings.is_secure
    answer.set_cookie(
        name, value, max_age=age, path="/", secure=is_secure, httponly=True,
        samesite="strict" if site == "strict" else "lax",
    )  # fmt: skip


def _door(visit: Visit) -> str:
    return f"{visit.console.cookie}_door"


def _known(visit: Visit, name: str) -> str:
    """Return the cookie of browsers in which a name has signed in: several share a browser."""
    digest = sha256(name.encode("utf-8", "replace")).hexdigest()[:12]
    return f"{visit.console.cookie}_known_{digest}"


def _token(browser: str) -> str:
    return hmac.new(browser.encode(), _FORM, sha256).hexdigest()


def _redirect(visit: Visit) -> str:
    """Return where the provider sends the browser: on our own origin, whatever was asked."""
    scheme = "https" if visit.parts.settings.is_secure else "http"
    return f"{scheme}://{visit.http.headers['host']}{BACK}"  # one of our names: the entrance says


def _inside(target: str) -> str:
    """Return a path of our own pages, whatever was asked for."""
    plain = target.startswith("/") and not target.startswith(("//", "/\\"))
    return target if plain and target.isascii() and target.isprintable() else "/welcome"


PAGES: Final = (
    ConsolePage("/sign-in", show_sign_in, None),
    ConsolePage("/sign-in", sign_in, None, "POST"),
    ConsolePage("/sign-in/provider", go_to_provider, None),
    ConsolePage(BACK, come_back, None),
    ConsolePage("/sign-out", sign_out, None, "POST"),
)
