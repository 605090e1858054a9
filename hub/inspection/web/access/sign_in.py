# SPDX-License-Identifier: Apache-2.0
"""Signing in and out, the first owner, the language.

These forms are there before there is a session, so they carry a token that answers to a cookie of
their own: another site can send neither.
"""

import hmac
from dataclasses import replace
from hashlib import sha256
from typing import Final

from starlette.responses import Response

from hub.inspection.locales.catalogue import LANGUAGES
from hub.inspection.locales.reasons import error_in_words
from hub.inspection.passphrases import LONGEST
from hub.inspection.web.access.residents import ResidentError, ResidentRole
from hub.inspection.web.access.throttle import TooManyAttempts
from hub.inspection.web.forms import BadInput
from hub.inspection.web.page_request import Page, PageRequest, refuse

DOOR_COOKIE: Final = "door"
_DOOR: Final = b"meterlet door 1"
YEAR: Final = 365 * 86_400
WELCOME: Final = "welcome"


def _door_token(request: PageRequest, cookie: str) -> str:
    return hmac.new(request.parts.sessions.door_key, _DOOR + cookie.encode(), sha256).hexdigest()


def _with_door(
    request: PageRequest, template: str, status: int = 200, **context: object
) -> Response:
    """Return a page with a form for somebody who is not signed in."""
    cookie = request.http.cookies.get(DOOR_COOKIE) or request.parts.settings.randomness(16).hex()
    answer = request.page(template, status, token=_door_token(request, cookie), **context)
    _set_cookie(request, answer, DOOR_COOKIE, cookie)
    return answer


def _asked_again(
    request: PageRequest, template: str, status: int, problem: str, fault: str, **context: object
) -> Response:
    """Return the form as it was filled in, but for secrets, with what is wrong with it."""
    return _with_door(replace(request, problem=problem, fault=fault), template, status, **context)


def _set_cookie(
    request: PageRequest, answer: Response, name: str, value: str, seconds: int | None = None
) -> None:
    answer.set_cookie(
        name,
        value,
        max_age=seconds,
        path="/",
        secure=request.parts.settings.is_secure,
        httponly=True,
        samesite="strict",
    )


def _came_from_door(request: PageRequest) -> bool:
    cookie = request.http.cookies.get(DOOR_COOKIE, "")
    return bool(cookie) and hmac.compare_digest(
        request.fields.get("token", "").encode(), _door_token(request, cookie).encode()
    )


def show_sign_in(request: PageRequest) -> Response:
    """Ask who it is."""
    if request.session is not None:
        return request.see("/")
    if not request.parts.residents.all():
        return request.see("/welcome")
    return _with_door(request, "sign_in.html", next=_inside(request.query("next", "/")))


def sign_in(request: PageRequest) -> Response:
    """Begin a session for whoever knows a resident's passphrase."""
    if not _came_from_door(request):
        return refuse(request, "forged form", 403)
    name = request.fields.get("name", "").strip().lower()[:64]
    target = _inside(request.fields.get("next", "/"))
    parts, address = request.parts, request.address
    try:
        parts.throttle.admit(address, name, parts.settings.now())
    except TooManyAttempts as error:
        parts.incidents.refused("sign-in too soon", {"address": address, "name": ascii(name)})
        problem = request.words.t("sign_in.wait", seconds=error.seconds)
        return _asked_again(request, "sign_in.html", 429, problem, "passphrase", next=target)
    resident = parts.residents.verify(name, request.fields.get("passphrase", "")[: 2 * LONGEST])
    if resident is None:
        _failed(request, address, name)
        problem = request.words.t("sign_in.wrong")
        return _asked_again(request, "sign_in.html", 403, problem, "passphrase", next=target)
    parts.throttle.succeeded(address, name)
    return _begin(request, name, "sign-in", target)


def _failed(request: PageRequest, address: str, name: str) -> None:
    parts = request.parts
    tried, turned_away = parts.throttle.failures(address, name)
    parts.incidents.refused(
        "wrong passphrase",
        {"address": address, "name": ascii(name), "tried": tried, "turned_away": turned_away},
    )


def _begin(request: PageRequest, name: str, event: str, target: str) -> Response:
    resident = request.parts.residents.find(name)
    assert resident is not None
    request.parts.sessions.end(request.http.cookies.get(request.parts.cookie))
    token, _ = request.parts.sessions.begin(resident)
    request.parts.incidents.happened(event, {"resident": name, "address": request.address})
    answer = request.see(target)
    _set_cookie(request, answer, request.parts.cookie, token)
    return answer


def show_welcome(request: PageRequest) -> Response:
    """Ask for the first owner."""
    if request.parts.residents.all():
        return request.see("/sign-in")
    return _with_door(request, "welcome.html")


def welcome(request: PageRequest) -> Response:
    """Make the first owner, for whoever reads the code on the console."""
    if not _came_from_door(request):
        return refuse(request, "forged form", 403)
    parts, address = request.parts, request.address
    if parts.residents.all():
        return request.see("/sign-in")
    try:
        parts.throttle.admit(address, WELCOME, parts.settings.now())
    except TooManyAttempts as error:
        problem = request.words.t("sign_in.wait", seconds=error.seconds)
        return _asked_again(request, "welcome.html", 429, problem, "code")
    code = request.fields.get("code", "").strip().lower()
    if not hmac.compare_digest(code.encode(), parts.welcome_code.encode()):
        _failed(request, address, WELCOME)
        problem = request.words.t("welcome.wrong_code")
        return _asked_again(request, "welcome.html", 403, problem, "code")
    name = request.fields.get("name", "").strip().lower()
    passphrase = request.fields.get("passphrase", "")
    if passphrase != request.fields.get("again", ""):
        problem = request.words.t("welcome.not_twice")
        return _asked_again(request, "welcome.html", 400, problem, "again")
    try:
        parts.residents.add_first(name, passphrase)
    except ResidentError as error:
        problem = error_in_words(error, request.words)
        return _asked_again(request, "welcome.html", 400, problem, error.field)
    parts.throttle.succeeded(address, WELCOME)
    return _begin(request, name, "first owner", "/")


def sign_out(request: PageRequest) -> Response:
    """End the session."""
    request.parts.sessions.end(request.http.cookies.get(request.parts.cookie))
    request.record("sign-out", address=request.address)
    answer = request.see("/sign-in")
    answer.delete_cookie(request.parts.cookie, path="/")
    return answer


def choose_language(request: PageRequest) -> Response:
    """Remember a browser's language."""
    language = request.fields.get("language", "")
    if language not in LANGUAGES:
        raise BadInput("there is no such language")
    answer = request.see(_inside(request.fields.get("next", "/")))
    _set_cookie(request, answer, "language", language, YEAR)
    return answer


def _inside(target: str) -> str:
    """Return a path of our own pages, whatever was asked for."""
    plain = target.startswith("/") and not target.startswith(("//", "/\\"))
    return target if plain and target.isascii() and target.isprintable() else "/"


PAGES: Final = (
    Page("/sign-in", show_sign_in, None),
    Page("/sign-in", sign_in, None, "POST"),
    Page("/welcome", show_welcome, None),
    Page("/welcome", welcome, None, "POST"),
    Page("/sign-out", sign_out, ResidentRole.READER, "POST"),
    Page("/language", choose_language, ResidentRole.READER, "POST"),
)
