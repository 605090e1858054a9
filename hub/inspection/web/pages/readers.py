# SPDX-License-Identifier: Apache-2.0
"""The page Readers: which programs of others may read, with a login, and what."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from starlette.responses import Response

from hub.inspection.errors import InspectionError
from hub.inspection.export.by_consent import RESOLUTIONS
from hub.inspection.passphrases import WeakPassphrase
from hub.inspection.readers.readers import Reader, Readers, ReaderTermsError
from hub.inspection.readers.terms import ReaderScope
from hub.inspection.store import open_inspection
from hub.inspection.web.access.residents import ResidentRole
from hub.inspection.web.forms import BadInput, date_of, number_of, text_of
from hub.inspection.web.page_request import Page, PageRequest
from protocols.metrology import Period
from sml_codec import Obis

ALL: Final = "all"


def show_readers(request: PageRequest) -> Response:
    """Show the readers, and the form that allows another one."""
    with _readers(request) as readers:
        return _page(request, readers)


def allow(request: PageRequest) -> Response:
    """Allow a reader, and show its token this once."""
    fields = request.fields
    if fields.get("agreed") != "yes":
        raise BadInput("nothing was saved: say that you know what is in it", "agreed")
    name, purpose = text_of(fields, "name"), text_of(fields, "purpose")
    first, last = date_of(fields, "first"), date_of(fields, "last")
    if last < first:
        raise BadInput(f"{last} is before {first}", "last")
    until, minutes = date_of(fields, "until"), number_of(fields, "minutes")
    with _readers(request) as readers:
        scope = ReaderScope.of(
            _chosen(request, readers), Period(first, last), is_live=_choice(request) == "yes"
        )
        try:
            terms = readers.terms(name, purpose, scope, minutes, until)
        except ReaderTermsError as error:
            raise BadInput(str(error), error.field) from None
        _, token = readers.allow(terms)
        request.record("reader allowed", reader=name)
        return _page(request, readers, token, name)


def revoke(request: PageRequest) -> Response:
    """Withdraw what a reader is allowed."""
    with _readers(request) as readers:
        name = _reader(request, readers).name
        readers.revoke(name)
    request.record("reader revoked", reader=name)
    return request.see("/consents/readers")


def set_password(request: PageRequest) -> Response:
    """Give a reader a password."""
    with _readers(request) as readers:
        name = _reader(request, readers).name
        try:
            readers.set_password(
                name, request.fields.get("passphrase", ""), request.parts.residents.passphrases
            )
        except WeakPassphrase as weak:
            raise BadInput(str(weak), "passphrase") from None
    request.record("reader password", reader=name)
    return request.see("/consents/readers")


@contextmanager
def _readers(request: PageRequest) -> Iterator[Readers]:
    with request.device() as device, open_inspection(device) as database:
        yield Readers(database, device)


def _page(request: PageRequest, readers: Readers, token: str = "", name: str = "") -> Response:
    standing = readers.all()
    return request.page(
        "readers.html",
        readers=standing,
        with_password={one.number for one in standing if readers.has_password(one)},
        registers=[str(Obis(code)) for code in readers.device.every_register],
        resolutions=RESOLUTIONS,
        made=token,
        made_name=name,
    )


def _chosen(request: PageRequest, readers: Readers) -> list[bytes]:
    """Return the registers that the form names."""
    known = {str(Obis(code)): code for code in readers.device.every_register}
    chosen = request.fields.get("register", "")
    if chosen == ALL:
        return list(known.values())
    if chosen not in known:
        raise BadInput("the hub has no such register", "register")
    return [known[chosen]]


def _choice(request: PageRequest) -> str:
    choice = request.fields.get("live", "")
    if choice not in ("yes", "no"):
        raise BadInput(f"{choice[:20]!r} is none of the choices", "live")
    return choice


def _reader(request: PageRequest, readers: Readers) -> Reader:
    number = int(request.http.path_params["number"])
    reader = next((one for one in readers.all() if one.number == number), None)
    if reader is None:
        raise InspectionError(f"there is no reader {number}")
    return reader


OWNER: Final = ResidentRole.OWNER
PAGES: Final = (
    Page("/consents/readers", show_readers, OWNER),
    Page("/consents/readers/allow", allow, OWNER, "POST", show_readers),
    Page("/consents/readers/{number:int}/revoke", revoke, OWNER, "POST", show_readers),
    Page("/consents/readers/{number:int}/password", set_password, OWNER, "POST", show_readers),
)
