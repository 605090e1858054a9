# SPDX-License-Identifier: Apache-2.0
"""Remote reading: what readers ask, each with its login, under what the resident allows them.

A reader shows its login (`login`). It gets JSON or CSV, an entity tag, and a page at a time; what
is wrong is said as RFC 9457 has it.

    400 a parameter is wrong    401 no login that holds     403 not allowed: consent or rule
    404 there is nothing such   406 neither JSON nor CSV    429 too often: see Retry-After
"""

import csv
import enum
import io
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from hashlib import sha256
from http import HTTPStatus
from typing import Annotated, Final
from urllib.parse import urlencode

from msgspec import UNSET, Meta, UnsetType, json
from starlette.requests import Request
from starlette.responses import Response

from hub.device import Device
from hub.inspection.api.json_views import JsonView, Moment
from hub.inspection.api.operations import ApiRefused, Operation, PeriodQuery, Query, WrongParameter
from hub.inspection.readers.handing_over import HandedSlots, HandingOver
from hub.inspection.readers.readers import Reader
from hub.text import local_text, utc_text
from protocols.metrology import Period, medium_of
from sml_codec import Obis

JSON_TYPE: Final = "application/json"
CSV_TYPE: Final = "text/csv"
PROBLEM_TYPE: Final = "application/problem+json"
HEADERS: Final = {
    "Cache-Control": "private, no-cache",
    "Vary": "Accept, Authorization",
    "X-Content-Type-Options": "nosniff",
}


class Resolution(enum.StrEnum):
    """How long a reading is, in minutes."""

    FIVE = "5"
    QUARTER = "15"
    HALF = "30"
    HOUR = "60"
    DAY = "1440"


RegisterCode = (
    Annotated[str, Meta(description="Its OBIS code; by default the first that is allowed.")]
    | UnsetType
)


class RegisterQuery(Query, frozen=True):
    """A register."""

    register: RegisterCode = UNSET


class SlotsQuery(PeriodQuery, frozen=True):
    """Some local days of a register, page by page."""

    register: RegisterCode = UNSET
    resolution: (
        Annotated[Resolution, Meta(description="In minutes; by default as fine as is allowed.")]
        | UnsetType
    ) = UNSET
    cursor: (
        Annotated[date, Meta(description="Where the page before left off: its `next`.")] | UnsetType
    ) = UNSET


class ReadableRegisterJson(JsonView, frozen=True):
    """A register that may be read."""

    register: str
    medium: str
    unit: str
    slot_minutes: int
    certified_until: date | None


class RegistersJson(JsonView, frozen=True):
    """What the resident allows this reader."""

    reader: str
    purpose: str
    first_day: date
    last_day: date
    resolution_minutes: int
    live: bool
    holds_until: date
    zone: str
    registers: list[ReadableRegisterJson]


class ReadSlotJson(JsonView, frozen=True):
    """One reading; `use` is in the register's unit."""

    begin: Moment
    end: Moment
    use: int | None
    state: str


class ReadSlotsJson(JsonView, frozen=True):
    """A page of readings."""

    register: str
    unit: str
    resolution_minutes: int
    slots: list[ReadSlotJson]
    next: date | None


class LiveJson(JsonView, frozen=True):
    """What is used right now: the mean rate over the last readings, and how far off it can be."""

    begin: Moment
    end: Moment
    rate: int
    within: int
    rate_unit: str


class LatestJson(JsonView, frozen=True):
    """The last reading, and what is used right now where that is allowed and known."""

    register: str
    unit: str
    resolution_minutes: int
    slot: ReadSlotJson | None
    live: LiveJson | None


class ProblemJson(JsonView, frozen=True):
    """Why there is no answer (RFC 9457)."""

    type: str
    title: str
    status: int
    detail: str


@dataclass(frozen=True, slots=True)
class ReaderSession:
    """Who asks, and of which hub."""

    device: Device
    reader: Reader

    def handing_over(self, register: str | UnsetType) -> HandingOver:
        """Return what hands over the register that is asked for; raise `WrongParameter`."""
        code = self.reader.scope.registers[0]
        if register is not UNSET:
            try:
                code = Obis.parse(register).code
            except ValueError as error:
                raise WrongParameter(f"register: {error}") from None
        return HandingOver(self.device, self.reader, code)


def _registers(session: ReaderSession, query: Query) -> RegistersJson:
    """What the resident allows you: registers, days, how fine, until when."""
    device, reader = session.device, session.reader
    scope, terms = reader.scope, reader.terms
    session.handing_over(UNSET).require_consent()
    registers = []
    for code in scope.registers:
        if (meter := device.every_register.get(code)) is None:
            continue
        span = meter.journal.span()
        registers.append(
            ReadableRegisterJson(
                register=str(Obis(code)),
                medium=str(medium_of(code)),
                unit=medium_of(code).step,
                slot_minutes=meter.slot_minutes,
                certified_until=None if span is None else span[1],
            )
        )
    return RegistersJson(
        reader=reader.name,
        purpose=terms.purpose,
        first_day=scope.period.first,
        last_day=scope.period.last,
        resolution_minutes=terms.least_minutes,
        live=scope.is_live,
        holds_until=terms.until,
        zone=device.description.zone,
        registers=registers,
    )


def _latest(session: ReaderSession, query: RegisterQuery) -> LatestJson:
    """The last reading, and what is used right now where that is allowed."""
    latest = session.handing_over(query.register).latest()
    page, power = slots_json(latest.slots), latest.power
    live = None
    if power is not None:
        unit = "l/h" if latest.slots.medium.counts_volume else "W"
        live = LiveJson.of(power, rate=power.watts, within=power.within_watts, rate_unit=unit)
    return LatestJson(
        register=page.register,
        unit=page.unit,
        resolution_minutes=page.resolution_minutes,
        slot=page.slots[-1] if page.slots else None,
        live=live,
    )


def _slots(session: ReaderSession, query: SlotsQuery) -> ReadSlotsJson:
    """The readings of some days, a page at a time."""
    period = Period(query.first, query.last)
    since = query.first if query.cursor is UNSET else query.cursor
    if not period.first <= since <= period.last:
        raise WrongParameter("cursor: not a day from `from` to `until`")
    minutes = session.reader.terms.least_minutes
    if query.resolution is not UNSET:
        minutes = int(query.resolution)
    return slots_json(session.handing_over(query.register).slots(period, minutes, since))


def slots_json(page: HandedSlots) -> ReadSlotsJson:
    """Return a page of readings as JSON has it."""
    return ReadSlotsJson(
        register=str(Obis(page.register)),
        unit=page.medium.step,
        resolution_minutes=page.minutes,
        slots=[ReadSlotJson.of(one, state=one.state.name.lower()) for one in page.slots],
        next=page.next_day,
    )


READ_OPERATIONS: Final = (
    Operation("/v1/read/registers", "readableRegisters", None, _registers),
    Operation("/v1/read/latest", "latestReading", None, _latest),
    Operation("/v1/read/slots", "readSlots", None, _slots),
)
"""Those of readers: none is of a token's scope."""


def answer_of(view: JsonView, request: Request, device: Device) -> Response:
    """Return a view as the request takes it, or that it has not changed."""
    media_type, headers = media_type_of(request.headers.get("accept", "*/*")), dict(HEADERS)
    body = _csv_of(view, device).encode() if media_type == CSV_TYPE else json.encode(view)
    if isinstance(view, ReadSlotsJson) and view.next is not None:
        headers["Link"] = _next_page(request, view.next)
    headers["ETag"] = tag = f'"{sha256(media_type.encode() + b" " + body).hexdigest()[:32]}"'
    if tag in [one.strip() for one in request.headers.get("if-none-match", "").split(",")]:
        return Response(None, 304, headers)
    return Response(body, 200, headers, media_type)


def _next_page(request: Request, cursor: date) -> str:
    query = {**request.query_params, "cursor": cursor.isoformat()}
    return f'<?{urlencode(query)}>; rel="next"'


def media_type_of(accept: str) -> str:
    """Return what an Accept field takes: JSON, or CSV where that is wanted more.

    Raises `ApiRefused` with status 406 where it takes neither.
    """
    wanted = {JSON_TYPE: -1.0, CSV_TYPE: -1.0}
    exact = dict.fromkeys(wanted, -1)
    for part in accept.split(","):
        name, *parameters = [text.strip().lower() for text in part.split(";")]
        quality = next((one[2:] for one in parameters if one.startswith("q=")), "1")
        try:
            weight = min(1.0, max(0.0, float(quality)))
        except ValueError:
            weight = 0.0
        for known in wanted:
            fit = (name == "*/*", name == known.partition("/")[0] + "/*", name == known)
            if any(fit) and fit.index(True) > exact[known]:
                exact[known], wanted[known] = fit.index(True), weight
    best = CSV_TYPE if wanted[CSV_TYPE] > wanted[JSON_TYPE] else JSON_TYPE
    if exact[CSV_TYPE] > exact[JSON_TYPE] and wanted[CSV_TYPE] >= wanted[JSON_TYPE]:
        best = CSV_TYPE
    if wanted[best] <= 0:
        raise ApiRefused(406, "there is JSON (application/json) and CSV (text/csv)")
    return best


def _csv_of(view: JsonView, device: Device) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    match view:
        case ReadSlotsJson():
            register, unit, slots = view.register, view.unit, view.slots
        case LatestJson():
            register, unit, slots = view.register, view.unit, [view.slot] if view.slot else []
        case _:
            raise ApiRefused(406, "there is JSON (application/json)")
    writer.writerow(("start_utc", "end_utc", "start_local", "register", "use", "unit", "state"))
    for slot in slots:
        begin, end = int(slot.begin.timestamp()), int(slot.end.timestamp())
        use = "" if slot.use is None else slot.use
        start = local_text(begin, device.zone)
        writer.writerow((utc_text(begin), utc_text(end), start, register, use, unit, slot.state))
    return text.getvalue()


def problem(status: int, detail: str, headers: Mapping[str, str] | None = None) -> Response:
    """Return what is wrong, as RFC 9457 has it."""
    title = HTTPStatus(status).phrase
    body = ProblemJson(type="about:blank", title=title, status=status, detail=detail)
    sent = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff", **(headers or {})}
    return Response(json.encode(body), status, sent, PROBLEM_TYPE)
