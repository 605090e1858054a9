# SPDX-License-Identifier: Apache-2.0
"""What the programming interface can be asked: one table of operations, each answered by a view."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any, Final

from hub.device import Device
from hub.errors import HubError
from hub.inspection.api import json_views as facts
from hub.inspection.api.tokens import Scope
from hub.inspection.attack.attack import attack
from hub.inspection.errors import InspectionError
from hub.inspection.views.bill import check_invoices
from hub.inspection.views.bucket_cache import Summaries
from hub.inspection.views.calendar import By, period_before
from hub.inspection.views.documents import SUPPLIER_KEY, TariffBook, tariff_book
from hub.inspection.views.estimates import forecast
from hub.inspection.views.live import fine_uses, power_now
from hub.inspection.views.proof import BillProofs
from hub.inspection.views.readings import compare, readings_view
from hub.inspection.views.releases import decode_message, outgoing_message, releases_view
from hub.inspection.views.slots import local_date
from hub.inspection.views.tariff_views import tariff_table
from hub.text import utc_text
from hub.vault import Database
from protocols.metrology import Period

__all__ = ["OPERATIONS", "Operation", "Parameter", "Session", "WrongParameter"]

MOST_DAYS: Final = 3_700
MOST_FINE_DAYS: Final = 92
"""By the hour or slot."""
LONGEST_TEXT: Final = 200
_DAY: Final = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)


class WrongParameter(HubError):
    """A parameter of a request is missing, unknown or not what it should be."""

    http_status = 400


@dataclass(frozen=True, slots=True)
class Session:
    """What an operation works on."""

    device: Device
    database: Database
    proofs: BillProofs | None

    @property
    def kept(self) -> Summaries:
        """The kept buckets."""
        return Summaries.of(self.device, self.database)

    @property
    def book(self) -> TariffBook:
        """The tariffs the resident knows."""
        return tariff_book(self.device)


@dataclass(frozen=True, slots=True)
class Parameter:
    """A query parameter."""

    name: str
    schema: Mapping[str, Any]
    """Its JSON Schema."""
    parse: Callable[[str], Any]
    required: bool = False
    summary: str = ""


Answer = Callable[[Session, Mapping[str, Any]], Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Operation:
    """Something to ask: GET a path."""

    path: str
    name: str
    scope: Scope
    summary: str
    schema: str
    """The name of what it answers, in the document's schemas."""
    answer: Answer
    parameters: Sequence[Parameter] = field(default=())

    def parse(self, given: Sequence[tuple[str, str]]) -> dict[str, Any]:
        """Return the parameters of a query; raise `WrongParameter` for any that is wrong."""
        known = {parameter.name: parameter for parameter in self.parameters}
        found: dict[str, Any] = {}
        for name, text in given:
            if name not in known:
                raise WrongParameter(f"there is no parameter {name[:LONGEST_TEXT]!r}")
            if name in found:
                raise WrongParameter(f"{name} is given twice")
            try:
                found[name] = known[name].parse(text)
            except ValueError:
                raise WrongParameter(f"{name}: {text[:LONGEST_TEXT]!r} is not one") from None
        for parameter in self.parameters:
            if parameter.required and parameter.name not in found:
                raise WrongParameter(f"{parameter.name} is needed")
        return found


def _day(text: str) -> date:
    if not _DAY.fullmatch(text):
        raise ValueError(text)
    return date.fromisoformat(text)


def _flag(text: str) -> bool:
    if text not in ("true", "false"):
        raise ValueError(text)
    return text == "true"


DATE: Final[Mapping[str, Any]] = {"type": "string", "format": "date"}
FROM: Final = Parameter("from", DATE, _day, required=True, summary="The first local day.")
UNTIL: Final = Parameter("until", DATE, _day, required=True, summary="The last local day.")
BY: Final = Parameter(
    "by", {"type": "string", "enum": [by.value for by in By], "default": "day"}, By,
    summary="How finely; by slot or hour 92 days at most.",
)  # fmt: skip
COMPARE: Final = Parameter(
    "compare", {"type": "boolean", "default": False}, _flag,
    summary="Whether to set the period before it beside it.",
)  # fmt: skip
DAY: Final = Parameter("day", DATE, _day, required=True, summary="The local day.")
PROOFS: Final = Parameter(
    "proofs", {"type": "boolean", "default": False}, _flag,
    summary="Whether to check the supplier's proofs as well; that takes a while.",
)  # fmt: skip
RECIPIENT: Final = Parameter(
    "recipient", {"type": "string"}, str, summary="Only what went to this one."
)


def _device(session: Session, _: Mapping[str, Any]) -> Mapping[str, Any]:
    device = session.device
    fed_in = device.description.feed_in_register
    span = device.meter.journal.span()
    latest = device.meter.vault.latest(device.meter.channel)
    return {
        "meter": device.description.meter.hex(),
        "register": device.description.register.hex(),
        "feed_in_register": None if fed_in is None else fed_in.hex(),
        "zone": device.description.zone,
        "slot_minutes": device.description.slot_minutes,
        "first_day": None if span is None else span[0].isoformat(),
        "last_day": None if span is None else span[1].isoformat(),
        "certified_days": 0 if span is None else span[2],
        "last_reading": None if latest is None else utc_text(latest.time),
        "log_entries": device.disclosure.log.verify(),
    }


def _power(session: Session, _: Mapping[str, Any]) -> Mapping[str, Any]:
    found = facts.power_facts(power_now(session.device))
    if found is None:
        raise InspectionError("the readings do not tell the power")
    return found


def _period(given: Mapping[str, Any], most_days: int) -> Period:
    period = Period(given["from"], given["until"])
    if (period.last - period.first).days >= most_days:
        raise WrongParameter(f"from, until: {most_days} days at most")
    return period


def _readings(session: Session, given: Mapping[str, Any]) -> Mapping[str, Any]:
    by = given.get("by", By.DAY)
    period = _period(given, MOST_DAYS if by.is_of_days else MOST_FINE_DAYS)
    book, kept = session.book, session.kept
    view = readings_view(session.device, period, by, book, kept)
    if not given.get("compare"):
        return facts.readings_facts(view)
    before = readings_view(session.device, period_before(period), by, book, kept)
    return facts.comparison_facts(compare(view, before))


def _fine(session: Session, given: Mapping[str, Any]) -> Mapping[str, Any]:
    uses = fine_uses(session.device, given["day"])
    return {"day": given["day"].isoformat(), "uses": [facts.fine_facts(use) for use in uses]}


def _releases(session: Session, given: Mapping[str, Any]) -> Mapping[str, Any]:
    view = releases_view(session.device, given.get("recipient"))
    listed = facts.releases_facts(view, session.device.zone)
    return {**listed, "messages": [one.sequence for one in view.messages]}


def _message(session: Session, given: Mapping[str, Any]) -> Mapping[str, Any]:
    message, content = outgoing_message(session.device, int(given["entry"]))
    return facts.message_facts(message, content, decode_message(content))


def _attack(session: Session, given: Mapping[str, Any]) -> Mapping[str, Any]:
    return facts.attack_facts(attack(session.device, _period(given, 31)))


def _bills(session: Session, given: Mapping[str, Any]) -> Mapping[str, Any]:
    device, bills = session.device, []
    for applet in device.document_keepers():
        if SUPPLIER_KEY not in device.documents(applet):
            continue
        for checked in check_invoices(device, applet):
            bill = facts.bill_facts(checked, device.zone)
            if given.get("proofs") and session.proofs is not None:
                proof = session.proofs.check(device, applet, checked.invoice)
                bill["proof"] = facts.proof_facts(proof)
            bills.append({"applet": applet.hex().upper(), **bill})
    return {"bills": bills}


def _tariffs(session: Session, _: Mapping[str, Any]) -> Mapping[str, Any]:
    return facts.tariff_table_facts(tariff_table(session.book))


def _forecast(session: Session, _: Mapping[str, Any]) -> Mapping[str, Any]:
    latest = session.device.meter.vault.latest(session.device.meter.channel)
    if latest is None:
        raise InspectionError("there are no readings yet")
    day = local_date(session.device, latest.time)
    month = Period.month(day.year, day.month)
    return facts.forecast_facts(forecast(session.device, session.book, month))


OPERATIONS: Final = (
    Operation(
        "/v1/device", "device", Scope.DEVICE, "Which meter, and how far its days go.", "Device",
        _device,
    ),
    Operation(
        "/v1/power", "power", Scope.READINGS, "The power at the last reading.", "Power", _power
    ),
    Operation(
        "/v1/readings", "readings", Scope.READINGS, "What was used, in buckets of local time.",
        "ReadingsOrComparison", _readings, (FROM, UNTIL, BY, COMPARE),
    ),
    Operation(
        "/v1/readings/fine", "fineReadings", Scope.READINGS,
        "A day as the meter read it, minute by minute where it did.", "Fine", _fine, (DAY,),
    ),
    Operation(
        "/v1/releases", "releases", Scope.RELEASES,
        "What left the house, and what each recipient knows.", "Releases", _releases, (RECIPIENT,),
    ),
    Operation(
        "/v1/messages/{entry:int}", "message", Scope.RELEASES,
        "A message that left, to the byte, by its entry in the log.", "Message", _message,
    ),
    Operation(
        "/v1/attack", "attack", Scope.RELEASES,
        "Which appliances could be inferred from which curve; 31 days at most.", "Attack", _attack,
        (FROM, UNTIL),
    ),
    Operation(
        "/v1/bills", "bills", Scope.BILLS, "Every invoice, recomputed, with its verdict.", "Bills",
        _bills, (PROOFS,),
    ),
    Operation(
        "/v1/tariffs", "tariffs", Scope.BILLS, "Your tariffs' versions side by side.", "Tariffs",
        _tariffs,
    ),
    Operation(
        "/v1/forecast", "forecast", Scope.BILLS, "What this month will come to.", "Forecast",
        _forecast,
    ),
)  # fmt: skip
