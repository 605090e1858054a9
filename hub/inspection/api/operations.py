# SPDX-License-Identifier: Apache-2.0
"""What the programming interface can be asked: one table of operations, each answered by a view.

An operation is a function: its docstring, the model of its parameters and the model of its answer
make the route, the parser and the OpenAPI document.
"""

import enum
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import date
from typing import Annotated, Any, Final, get_args, get_type_hints

from msgspec import UNSET, Meta, Struct, UnsetType, ValidationError, convert, field
from msgspec.structs import fields

from hub.device import Device
from hub.errors import HubError
from hub.inspection.api.json_bills import (
    BillJson,
    BillsJson,
    ForecastJson,
    TariffsJson,
    forecast_json,
    invoice_json,
)
from hub.inspection.api.json_meters import FlowJson, MetersJson, flow_json, meters_json
from hub.inspection.api.json_readings import (
    ComparisonJson,
    DeviceJson,
    FineJson,
    PowerJson,
    ReadingsJson,
    SetAsideJson,
    comparison_json,
    fine_json,
    readings_json,
    set_aside_json,
)
from hub.inspection.api.json_releases import (
    AttackJson,
    ConsentsJson,
    MessageJson,
    PublishedJson,
    ReleasesJson,
    attack_json,
    consents_json,
    disclosed_json,
    message_json,
    published_json,
)
from hub.inspection.api.json_views import JsonView
from hub.inspection.api.tokens import Scope
from hub.inspection.attack.attack import attack
from hub.inspection.errors import InspectionError
from hub.inspection.views.bill import BillProofs, check_invoices
from hub.inspection.views.bucket_cache import BucketCache
from hub.inspection.views.calendar import By, period_before
from hub.inspection.views.documents import supplied_applets, tariff_book
from hub.inspection.views.door import set_aside_view
from hub.inspection.views.estimates import forecast
from hub.inspection.views.live import fine_uses, month_of_readings, power_now
from hub.inspection.views.meters import meter_called
from hub.inspection.views.published import published_view
from hub.inspection.views.readings import compare, readings_view
from hub.inspection.views.releases import decode_message, outgoing_message, releases_view
from hub.inspection.views.tariff_views import tariff_table
from hub.vault.database import Database
from protocols.metrology import Period

MOST_DAYS: Final = 3_700
MOST_FINE_DAYS: Final = 92
"""By the hour or slot."""
MOST_ATTACKED_DAYS: Final = 31
MOST_SET_ASIDE: Final = 1_000
LONGEST_TEXT: Final = 200
FLAGS: Final = {"true": True, "false": False}


class WrongParameter(HubError):
    """A parameter of a request is missing, unknown or not what it should be."""

    http_status = 400


class ApiRefused(HubError):
    """A request that is answered with no view: `headers` go with the refusal."""

    def __init__(self, status: int, reason: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(reason)
        self.http_status, self.headers = status, headers or {}


@dataclass(frozen=True, slots=True)
class ApiSession:
    """What an operation works on."""

    device: Device
    database: Database
    proofs: BillProofs | None

    def meter(self, name: str) -> Device:
        """Return the meter of a name; raise `NoSuchMeter` where there is none."""
        return meter_called(self.device, name)


class Query(Struct, frozen=True, kw_only=True):
    """The parameters of an operation; these are none."""


MeterName = Annotated[
    str, Meta(description="A further meter by its name, as gas; without: the hub's own.")
]


class MeterQuery(Query, frozen=True):
    """One of the hub's meters."""

    meter: MeterName = ""


class PeriodQuery(Query, frozen=True):
    """Some local days."""

    first: Annotated[date, Meta(description="The first local day.")] = field(name="from")
    last: Annotated[date, Meta(description="The last local day.")] = field(name="until")

    def period(self, most_days: int) -> Period:
        """Return the days; raise `WrongParameter` for more than `most_days`."""
        period = Period(self.first, self.last)
        if (period.last - period.first).days >= most_days:
            raise WrongParameter(f"from, until: {most_days} days at most")
        return period


class ReadingsQuery(PeriodQuery, frozen=True):
    """A period, and how it is shown."""

    by: Annotated[By, Meta(description="How finely; by slot or hour 92 days at most.")] = By.DAY
    compare: Annotated[bool, Meta(description="Whether to set the period before it beside it.")] = (
        False
    )
    meter: MeterName = ""


class DayQuery(Query, frozen=True):
    """A local day of a meter."""

    day: Annotated[date, Meta(description="The local day.")]
    meter: MeterName = ""


class RecipientQuery(Query, frozen=True):
    """Somebody who was told something."""

    recipient: Annotated[str, Meta(description="Only what went to this one.")] | UnsetType = UNSET


class EntryQuery(Query, frozen=True):
    """An entry of the log."""

    entry: Annotated[int, Meta(description="The message's entry in the log.")]


class BillsQuery(Query, frozen=True):
    """Whose bills, and how far they are checked."""

    meter: Annotated[
        str, Meta(description="Only those of this meter by its name, as gas; without: all.")
    ] = ""
    proofs: Annotated[
        bool,
        Meta(description="Whether to check the supplier's proofs as well; that takes a while."),
    ] = False


@dataclass(frozen=True, slots=True)
class Operation:
    """Something to ask: GET a path."""

    path: str
    name: str
    scope: Scope | None
    """What of the resident's tokens may ask it; None: readers may (`remote_reading`), no token."""
    answer: Callable[[Any, Any], JsonView]

    @property
    def summary(self) -> str:
        """What it answers, in a line."""
        return str(self.answer.__doc__)

    @property
    def query(self) -> type[Query]:
        """The model of its parameters, in the address and the path."""
        query: type[Query] = get_type_hints(self.answer)["query"]
        return query

    @property
    def answers(self) -> tuple[type[JsonView], ...]:
        """The models of its answers."""
        answer = get_type_hints(self.answer)["return"]
        return get_args(answer) or (answer,)

    def parse(self, given: Sequence[tuple[str, str]], path: Mapping[str, Any]) -> Query:
        """Return the parameters of a request; raise `WrongParameter` for any that is wrong."""
        members = dict(path)
        known = {member.encode_name: member for member in fields(self.query)}
        for name, text in given:
            if name not in known or name in path:
                raise WrongParameter(f"there is no parameter {name[:LONGEST_TEXT]!r}")
            if name in members:
                raise WrongParameter(f"{name} is given twice")
            members[name] = _value(name, text, known[name].type)
        for name, member in known.items():
            if member.required and name not in members:
                raise WrongParameter(f"{name} is needed")
        return convert(members, self.query)


def _value(name: str, text: str, kind: Any) -> object:
    for value in (text, FLAGS.get(text)):
        with suppress(ValidationError):
            converted: object = convert(value, kind)
            return converted
    raise WrongParameter(f"{name}: {text[:LONGEST_TEXT]!r} is not one {_expected(kind)}")


def _expected(kind: Any) -> str:
    """Return what a parameter may be, of which a text is not one."""
    # Annotated, and what may be left out, is of an arguments' list; a bare type is itself.
    while plain := next(iter(get_args(kind)), None):
        kind = plain
    if kind is date:
        return "that is written like 2025-03-31"
    if isinstance(kind, type) and issubclass(kind, enum.Enum):
        return "of " + ", ".join(str(member.value) for member in kind)
    return "of true, false" if kind is bool else "that can be taken"


def _device(session: ApiSession, query: Query) -> DeviceJson:
    """Which meter, and how far its days go."""
    device, about = session.device, session.device.description
    span = device.main.journal.span()
    latest = device.main.vault.latest(device.main.channel)
    first, last, days = span or (None, None, 0)
    return DeviceJson.of(
        about,
        meter=about.meter.hex(),
        register=about.register.hex(),
        feed_in_register=about.feed_in_register and about.feed_in_register.hex(),
        first_day=first,
        last_day=last,
        certified_days=days,
        last_reading=latest and latest.time,
        log_entries=device.disclosure.log.verify(),
    )


def _meters(session: ApiSession, query: Query) -> MetersJson:
    """All meters of the hub: electricity, gas, water, heat, appliances."""
    return meters_json(session.device)


def _power(session: ApiSession, query: MeterQuery) -> PowerJson | FlowJson:
    """The power at the last reading, or the flow through a meter of volume."""
    device = session.meter(query.meter)
    power, medium = power_now(device), device.description.medium
    if power is None:
        raise InspectionError("the readings do not tell the power")
    return flow_json(power, medium) if medium.counts_volume else PowerJson.of(power)


def _readings(session: ApiSession, query: ReadingsQuery) -> ReadingsJson | ComparisonJson:
    """What was used, in buckets of local time."""
    period = query.period(MOST_DAYS if query.by.is_of_days else MOST_FINE_DAYS)
    device = session.meter(query.meter)
    book, kept = tariff_book(device), BucketCache.of(device, session.database)
    view = readings_view(device, period, query.by, book, kept)
    if not query.compare:
        return readings_json(view)
    before = readings_view(device, period_before(period), query.by, book, kept)
    return comparison_json(compare(view, before))


def _fine(session: ApiSession, query: DayQuery) -> FineJson:
    """A day as the meter read it, minute by minute where it did."""
    device = session.meter(query.meter)
    return fine_json(query.day, fine_uses(device, query.day), device.description.medium)


def _set_aside(session: ApiSession, query: Query) -> SetAsideJson:
    """Telegrams that could not be taken as readings, and why; the newest 1,000 in full."""
    return set_aside_json(set_aside_view(session.device, MOST_SET_ASIDE))


def _releases(session: ApiSession, query: RecipientQuery) -> ReleasesJson:
    """What left the house, and what each recipient knows."""
    recipient = None if query.recipient is UNSET else query.recipient
    view = releases_view(session.device, recipient)
    messages = [message.sequence for message in view.messages]
    return ReleasesJson.of(disclosed_json(view, session.device.zone), messages=messages)


def _published(session: ApiSession, query: Query) -> PublishedJson:
    """What the signers of tariffs, indexes and profiles show to everybody."""
    return published_json(published_view(session.device))


def _consents(session: ApiSession, query: Query) -> ConsentsJson:
    """What the resident has allowed, past consents included."""
    return consents_json(session.device.disclosure)


def _message(session: ApiSession, query: EntryQuery) -> MessageJson:
    """A message that left, to the byte, by its entry in the log."""
    message, content = outgoing_message(session.device, query.entry)
    return message_json(message, content, decode_message(content))


def _attack(session: ApiSession, query: PeriodQuery) -> AttackJson:
    """Which appliances could be inferred from which curve; 31 days at most."""
    return attack_json(attack(session.device, query.period(MOST_ATTACKED_DAYS)))


def _bills(session: ApiSession, query: BillsQuery) -> BillsJson:
    """Every invoice, recomputed, with its verdict."""
    device, proofs = session.device, session.proofs if query.proofs else None
    only = meter_called(device, query.meter).description.meter if query.meter else None
    bills = []
    for applet in supplied_applets(device):
        for checked in check_invoices(device, applet, only):
            proof = None if proofs is None else proofs.check(device, applet, checked.invoice)
            invoice = invoice_json(checked, device.zone, proof)
            bills.append(
                BillJson.of(
                    invoice,
                    applet=applet.hex().upper(),
                    proof=invoice.proof,
                    meter_exchanges=invoice.meter_exchanges,
                )
            )
    return BillsJson(bills=bills)


def _tariffs(session: ApiSession, query: MeterQuery) -> TariffsJson:
    """Your tariffs' versions side by side."""
    return TariffsJson.of(tariff_table(tariff_book(session.meter(query.meter))))


def _forecast(session: ApiSession, query: MeterQuery) -> ForecastJson:
    """What this month will come to."""
    device = session.meter(query.meter)
    return forecast_json(forecast(device, tariff_book(device), month_of_readings(device)))


OPERATIONS: Final = (
    Operation("/v1/device", "device", Scope.DEVICE, _device),
    Operation("/v1/meters", "meters", Scope.DEVICE, _meters),
    Operation("/v1/power", "power", Scope.READINGS, _power),
    Operation("/v1/readings", "readings", Scope.READINGS, _readings),
    Operation("/v1/readings/fine", "fineReadings", Scope.READINGS, _fine),
    Operation("/v1/readings/set-aside", "setAside", Scope.READINGS, _set_aside),
    Operation("/v1/releases", "releases", Scope.RELEASES, _releases),
    Operation("/v1/published", "published", Scope.RELEASES, _published),
    Operation("/v1/consents", "consents", Scope.RELEASES, _consents),
    Operation("/v1/messages/{entry:int}", "message", Scope.RELEASES, _message),
    Operation("/v1/attack", "attack", Scope.RELEASES, _attack),
    Operation("/v1/bills", "bills", Scope.BILLS, _bills),
    Operation("/v1/tariffs", "tariffs", Scope.BILLS, _tariffs),
    Operation("/v1/forecast", "forecast", Scope.BILLS, _forecast),
)
