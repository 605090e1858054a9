# SPDX-License-Identifier: Apache-2.0
"""Signing in and out, the first owner, the language.

These forms are there before there is a session, so they carry a token that answers to a cookie of
their own: another site can send neither.
"""

import hmac
from hashlib import sha256
from typing import Final

from starlette.responses import Response

from hub.inspection.web.access.residents import LONGEST, ResidentError, Role
from hub.inspection.web.access.throttle import TooManyAttempts
from hub.inspection.web.page_request import BadInput, Call, Page, refuse
from hub.inspection.web.wording import LANGUAGES

__all__ = ["PAGES"]

DOOR_COOKIE: Final = "door"
_DOOR: Final = b"meterlet door 1"
YEAR: Final = 365 * 86_400
WELCOME: Final = "welcome"


def _door_token(call: Call, cookie: str) -> str:
    return hmac.new(call.parts.sessions.door_key, _DOOR + cookie.encode(), sha256).hexdigest()


def _with_door(call: Call, template: str, status: int = 200, **context: object) -> Response:
    """Return a page with a form for somebody who is not signed in."""
    cookie = call.request.cookies.get(DOOR_COOKIE) or call.parts.settings.randomness(16).hex()
    answer = call.page(template, status, token=_door_token(call, cookie), **context)
    _set_cookie(call, answer, DOOR_COOKIE, cookie)
    return answer


def _set_cookie(
    call: Call, answer: Response, name: str, value: str, seconds: int | None = None
) -> None:
    answer.set_cookie(
        name,
        value,
        max_age=seconds,
        path="/",
        secure=call.parts.settings.is_secure,
        httponly=True,
        samesite="strict",
    )


def _came_from_door(call: Call) -> bool:
    cookie = call.request.cookies.get(DOOR_COOKIE, "")
    return bool(cookie) and hmac.compare_digest(
        call.fields.get("token", "").encode(), _door_token(call, cookie).encode()
    )


def show_sign_in(call: Call) -> Response:
    """Ask who it is."""
    if call.session is not None:
        return call.see("/")
    if not call.parts.residents.all():
        return call.see("/welcome")
    return _with_door(call, "sign_in.html", next=_inside(call.asked("next", "/")), problem="")


def sign_in(call: Call) -> Response:
    """Begin a session for whoever knows a resident's passphrase."""
    if not _came_from_door(call):
        return refuse(call, "forged form", 403)
    name = call.fields.get("name", "").strip().lower()[:64]
    target = _inside(call.fields.get("next", "/"))
    parts, address = call.parts, _address(call)
    try:
        parts.throttle.require(address, name, parts.settings.now())
    except TooManyAttempts as error:
        parts.incidents.refused("sign-in too soon", {"address": address, "name": ascii(name)})
        problem = call.words.t("sign_in.wait", seconds=error.seconds)
        return _with_door(call, "sign_in.html", 429, next=target, problem=problem)
    resident = parts.residents.verify(name, call.fields.get("passphrase", "")[: 2 * LONGEST])
    if resident is None:
        _failed(call, address, name)
        problem = call.words.t("sign_in.wrong")
        return _with_door(call, "sign_in.html", 403, next=target, problem=problem)
    parts.throttle.succeeded(address, name)
    return _begin(call, name, "sign-in", target)


def _failed(call: Call, address: str, name: str) -> None:
    parts = call.parts
    tried, turned_away = parts.throttle.failed(address, name, parts.settings.now())
    parts.incidents.refused(
        "wrong passphrase",
        {"address": address, "name": ascii(name), "tried": tried, "turned_away": turned_away},
    )


def _begin(call: Call, name: str, event: str, target: str) -> Response:
    resident = call.parts.residents.find(name)
    assert resident is not None
    call.parts.sessions.end(call.request.cookies.get(call.parts.cookie))
    token, _ = call.parts.sessions.begin(resident)
    call.parts.incidents.happened(event, {"resident": name, "address": _address(call)})
    answer = call.see(target)
    _set_cookie(call, answer, call.parts.cookie, token)
    return answer


def show_welcome(call: Call) -> Response:
    """Ask for the first owner."""
    if call.parts.residents.all():
        return call.see("/sign-in")
    return _with_door(call, "welcome.html", problem="")


def welcome(call: Call) -> Response:
    """Make the first owner, for whoever reads the code on the console."""
    if not _came_from_door(call):
        return refuse(call, "forged form", 403)
    parts, address = call.parts, _address(call)
    if parts.residents.all():
        return call.see("/sign-in")
    try:
        parts.throttle.require(address, WELCOME, parts.settings.now())
    except TooManyAttempts as error:
        problem = call.words.t("sign_in.wait", seconds=error.seconds)
        return _with_door(call, "welcome.html", 429, problem=problem)
    code = call.fields.get("code", "").strip().lower()
    if not hmac.compare_digest(code.encode(), parts.welcome_code.encode()):
        _failed(call, address, WELCOME)
        return _with_door(call, "welcome.html", 403, problem=call.words.t("welcome.wrong_code"))
    name, passphrase = (
        call.fields.get("name", "").strip().lower(),
        call.fields.get("passphrase", ""),
    )
    if passphrase != call.fields.get("again", ""):
        return _with_door(call, "welcome.html", 400, problem=call.words.t("welcome.not_twice"))
    try:
        parts.residents.add_first(name, passphrase)
    except ResidentError as error:
        return _with_door(call, "welcome.html", 400, problem=str(error))
    parts.throttle.succeeded(address, WELCOME)
    return _begin(call, name, "first owner", "/")


def sign_out(call: Call) -> Response:
    """End the session."""
    call.parts.sessions.end(call.request.cookies.get(call.parts.cookie))
    facts = {"resident": call.resident.resident.name, "address": _address(call)}
    call.parts.incidents.happened("sign-out", facts)
    answer = call.see("/sign-in")
    answer.delete_cookie(call.parts.cookie, path="/")
    return answer


def choose_language(call: Call) -> Response:
    """Remember a browser's language."""
    language = call.fields.get("language", "")
    if language not in LANGUAGES:
        raise BadInput("no such language")
    answer = call.see(_inside(call.fields.get("next", "/")))
    _set_cookie(call, answer, "language", language, YEAR)
    return answer


def _inside(target: str) -> str:
    """Return a path of our own pages, whatever was asked for."""
    plain = target.startswith("/") and not target.startswith(("//", "/\\"))
    return target if plain and target.isascii() and target.isprintable() else "/"


def _address(call: Call) -> str:
    return call.request.client.host if call.request.client else ""


PAGES: Final = (
    Page("/sign-in", show_sign_in, None),
    Page("/sign-in", sign_in, None, "POST"),
    Page("/welcome", show_welcome, None),
    Page("/welcome", welcome, None, "POST"),
    Page("/sign-out", sign_out, Role.READER, "POST"),
    Page("/language", choose_language, Role.READER, "POST"),
)
