# SPDX-License-Identifier: Apache-2.0
"""The views as JSON has them: typed models for the command line, the pages and the interface.

A model takes its members from the attributes of a view and converts them: moments from epoch
seconds, buckets and records one by one. `as_json` is what is printed or sent. The OpenAPI document
is made from the same models, each under its class's name without `Json`.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import date, datetime
from functools import cache
from typing import Annotated, Any, Final, Literal, Self
from zoneinfo import ZoneInfo

from msgspec import UNSET, Meta, Struct, UnsetType, convert, field, to_builtins
from msgspec.structs import fields

from hub.disclosure import Disclosure
from hub.disclosure.older_words import given_under_older_words
from hub.disclosure.published import TakenList
from hub.disclosure.wording import consent_in_words
from hub.inspection.attack.appliances import Appliance
from hub.inspection.attack.attack import AttackResult, AttackView
from hub.inspection.locales.catalogue import LANGUAGES, catalogue
from hub.inspection.locales.learning import learned_in_words
from hub.inspection.views.bill import CheckedBill, ProofCheck, Verdict
from hub.inspection.views.bucket import BandUse, StateCounts, UseBucket
from hub.inspection.views.calendar import By
from hub.inspection.views.demand_items import DemandDetail
from hub.inspection.views.door import SetAsideView
from hub.inspection.views.estimates import FORECAST_METHOD, BillForecast, TariffOffer
from hub.inspection.views.learned import Learned
from hub.inspection.views.live import FineUse
from hub.inspection.views.memory import CarriedAmount
from hub.inspection.views.meters import MeterSwap
from hub.inspection.views.readings import Comparison, ReadingsView
from hub.inspection.views.releases import Field, OutgoingMessage, RecordedRelease, ReleasesView
from hub.inspection.views.tariff_views import PriceRow, TariffColumn
from hub.meters.odd import Odd
from hub.text import local_day, local_text
from protocols.metrology import Medium, Period, find_zone
from protocols.published import DocumentKind
from sml_codec import Obis

DAY_SECONDS: Final = 86_400
TOGETHER: Final = "all of them together"
Unit = Literal["Wh", "l"]
Moment = Annotated[datetime, Meta(tz=True)]
_fields = cache(fields)  # looked up for every bucket


class JsonView(
    Struct,
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    rename={"begin": "from", "end": "until"},
):
    """A view as JSON has it."""

    @classmethod
    def of(cls, view: object, **members: object) -> Self:
        """Return the model of a view: some members as given here, the others its attributes.

        Raises `msgspec.ValidationError` where one is not what the model says.
        """
        values = {
            member.encode_name: members[member.name]
            if member.name in members
            else getattr(view, member.name)
            for member in _fields(cls)
            if members.get(member.name, member.default) is not UNSET
        }
        # Not strict: epoch seconds become moments.
        return convert(values, cls, strict=False, from_attributes=True)

    def as_json(self) -> dict[str, Any]:
        """Return the members by name; whole numbers are of any length."""
        members: dict[str, Any] = to_builtins(self)
        return members


class ErrorJson(JsonView, frozen=True):
    """Why there is no answer."""

    error: str


class _Money(JsonView, frozen=True):
    exact: int
    decimals: int = field(name="exact_decimals")
    to_cents: str = field(name="rounded")
    currency: str


class DeviceJson(JsonView, frozen=True):
    """A meter, and how far its days go."""

    meter: str
    register: str
    feed_in_register: str | None
    zone: str
    slot_minutes: int
    first_day: date | None
    last_day: date | None
    certified_days: int
    last_reading: Moment | None
    log_entries: int


class PowerJson(JsonView, frozen=True):
    """The mean power over the last stretch of readings."""

    watts: int
    within_watts: int
    begin: Moment
    end: Moment
    register_wh: int


class _Peak(JsonView, frozen=True):
    begin: Moment
    seconds: int
    energy_wh: int
    watts: int


class _CorrectedDay(JsonView, frozen=True):
    day: date
    slots: int
    """How many of its slots were corrected."""


class _Bucket(JsonView, frozen=True):
    begin: Moment
    end: Moment
    local_from: Moment
    local_until: Moment
    energy_wh: int | None
    fed_in_wh: int | None = field(name="feed_in_wh")
    states: StateCounts = field(name="slots")
    unknown_seconds: int
    unattributed_wh: int
    is_provisional: bool = field(name="provisional")
    peak: _Peak | None
    bands: list[BandUse]
    price_micro: int | None
    energy_cost: _Money | None
    cost: _Money | None
    reason: str = field(name="no_cost_because")


class _Exchange(JsonView, frozen=True):
    """A meter that was exchanged for another."""

    time: Moment
    old_meter: str
    new_meter: str
    end_wh: int
    start_wh: int


class ReadingsJson(JsonView, frozen=True):
    """A period in buckets. What is called energy is in `unit`, litres of a meter of volume."""

    medium: str
    unit: Unit
    zone: str
    slot_seconds: int
    first_day: date
    last_day: date
    by: By
    tariffs: list[str]
    total: _Bucket
    buckets: list[_Bucket]
    corrected_days: list[_CorrectedDay]
    """Days whose readings came late or were replaced after they had been certified."""
    meter_exchanges: list[_Exchange] | UnsetType = UNSET


class ComparisonJson(JsonView, frozen=True):
    """Two periods and their difference."""

    now: ReadingsJson
    before: ReadingsJson
    energy_difference_wh: int | None
    energy_ratio_ppm: int | None
    cost_difference: _Money | None


class _FineUse(JsonView, frozen=True):
    begin: Moment
    end: Moment
    energy_wh: int | None
    watts: int | None
    is_suspect: bool = field(name="suspect")


class FineJson(JsonView, frozen=True):
    """A day between its readings. Of a meter of volume watt-hours are litres, watts litres/h."""

    medium: str
    unit: Unit
    day: date
    uses: list[_FineUse]


class _Window(JsonView, frozen=True):
    first_day: date
    last_day: date
    days: float


class _KnownOfMeter(JsonView, frozen=True):
    medium: str
    slots: int
    numbers: int
    bits: int
    nothing_finer_than_minutes: int | None


class _Known(JsonView, frozen=True):
    in_words: dict[str, str]
    slots: int
    numbers: int
    bundles: int
    bits: int
    shortest_window: _Window | None
    nothing_finer_than_minutes: int | None
    peaks: int
    counts: int
    samples: int
    exported_readings: int
    output_bits: int
    sums_over_households: int
    of_meters: dict[str, _KnownOfMeter] | UnsetType = UNSET
    """By meter, empty the hub's own, where anything is known of a further one."""


class _Recorded(JsonView, frozen=True):
    time: Moment
    recipient: str
    purpose: str


class _Publication(JsonView, frozen=True):
    number: int
    time: Moment
    meters: int


class _Release(_Recorded, frozen=True):
    statement: str
    published: _Publication | None
    """Where what it was worked out with stood on the list for everybody; null: on none."""
    register: str | None
    registers: list[str | None]
    begin: Moment
    end: Moment
    first_day: date
    last_day: date
    bits: int
    size: int = field(name="bytes")
    corrected_slots: int
    """How many of the slots that it is about had been corrected by then."""
    goes_on_from: Moment | None
    """Since when earlier use counts in it, too, by what bills before have left; null: none does."""


class _Refusal(_Recorded, frozen=True):
    why: str


class _Output(_Recorded, frozen=True):
    output: str
    bits: int
    is_set: bool
    """Whether the applet has ever set it; if not, that is what the recipient was told."""


class _Export(_Recorded, frozen=True):
    resolution_minutes: int
    readings: int


class _Aggregate(_Recorded, frozen=True):
    begin: Moment
    end: Moment
    region: str
    resolution_minutes: int
    values: int
    group: int = field(name="households")
    index: str | None


class _Unattributed(_Recorded, frozen=True):
    begin: Moment
    end: Moment
    limit_wh: int
    opened: bool
    bits: int


class _Copy(JsonView, frozen=True):
    time: Moment
    form: str
    begin: Moment
    end: Moment
    readings: int
    size: int
    sha256: str


class DisclosedJson(JsonView, frozen=True):
    """What left the house."""

    released: list[_Release]
    refusals: list[_Refusal] = field(name="refused")
    known: dict[str, _Known]
    bytes_left_house: int
    outputs: list[_Output]
    exports: list[_Export]
    aggregates: list[_Aggregate]
    unattributed: list[_Unattributed]
    copies: list[_Copy]
    readings_left_house: int = field(name="raw_readings_left_house")


class ReleasesJson(DisclosedJson, frozen=True):
    """What left the house, and the log's entries of the messages."""

    messages: list[int]


class _PublishedDocument(_Publication, frozen=True):
    kind: DocumentKind
    name: str
    digest: str
    code: str


class _PublishedList(JsonView, frozen=True):
    signer: str
    time: Moment = field(name="taken")
    applets: list[str]
    code: str
    entries: list[_PublishedDocument]


class PublishedJson(JsonView, frozen=True):
    """The public lists that the hub was handed, with the codes that people compare."""

    lists: list[_PublishedList]


class MessageJson(JsonView, frozen=True):
    """A message that left, to the byte, and what can be read in it without its applet."""

    sequence: int = field(name="entry")
    time: Moment
    recipient: str
    purpose: str
    applet: str
    size: int
    fields: list[Field]
    content: str = field(name="bytes")


class _Consent(JsonView, frozen=True):
    number: int
    recipient: str
    purpose: str
    statement: str
    least_days: int
    least_minutes: int
    answers: int
    within_days: int
    bits: int
    least_group: int
    slot_bits: int
    memory_days: int
    """How many days back a number may depend on, by what earlier ones have handed on."""
    published: int
    """For how many meters what it is worked out with has to be published; 0: it need not be."""
    corrected_minutes: int
    """Over how many minutes of corrected slots a total may be told by itself; 0: none may."""
    until: date
    replaces: int | None
    revoked: Moment | None
    in_words: dict[str, str]
    is_older: bool = field(name="given_under_older_words")


class ConsentsJson(JsonView, frozen=True):
    """What the resident has allowed, past consents included."""

    consents: list[_Consent]


class _OddTelegram(JsonView, frozen=True):
    number: int
    kind: Odd
    reason: str
    meter: str
    time: Moment | None
    """The moment that it would stand for, where that is known."""
    arrived: Moment
    registers: dict[str, int]
    """What the hub's registers show in it, in watt-hours, by OBIS code."""


class SetAsideJson(JsonView, frozen=True):
    """Telegrams that could not be taken as readings, the newest first."""

    total: int
    """How many are set aside."""
    beyond: int
    """How many more came when there was no more room; they are not kept."""
    set_aside: list[_OddTelegram]
    """The newest of them."""


def set_aside_json(view: SetAsideView) -> SetAsideJson:
    """Return what is set aside."""
    telegrams = [
        _OddTelegram.of(
            one.telegram,
            number=one.number,
            meter=one.telegram.meter.hex(),
            arrived=one.telegram.arrival,
            registers={str(Obis(code)): wh for code, wh in one.telegram.registers.items()},
        )
        for one in view.newest
    ]
    return SetAsideJson.of(view, set_aside=telegrams)


class _Activation(JsonView, frozen=True):
    appliance: Appliance
    begin: Moment
    end: Moment
    watts: int


class _Attacked(JsonView, frozen=True):
    step_seconds: int
    known_steps: int
    found: int
    wrong: int
    activations: list[_Activation]


class AttackJson(JsonView, frozen=True):
    """What an attacker could infer from each curve."""

    first_day: date
    last_day: date
    house: _Attacked
    recipients: dict[str, _Attacked]
    together: _Attacked


class _Item(JsonView, frozen=True):
    component: str
    kind: str
    label: str
    begin: Moment
    end: Moment
    quantity: int | None
    unit: str
    rate: int | None
    amount_exact: int


class _Memory(JsonView, frozen=True):
    """Which bill of its contract an invoice is, and what it leaves for the next one."""

    account: str
    bill: int
    paid: int | None
    brought: list[CarriedAmount]
    """What it goes on from."""
    carried: list[CarriedAmount]
    last: bool | UnsetType = UNSET
    """True where the contract ends with it: it settles all, and leaves nothing."""


class InvoiceJson(JsonView, frozen=True):
    """An invoice, and what the readings say of it."""

    number: int = field(name="invoice")
    meter: str
    medium: str
    unit: Unit
    """Of `energy_wh`, which of a meter of volume is in litres."""
    replaces: int | None
    issued: Moment
    begin: Moment
    end: Moment
    zone: str
    first_day: date
    last_day: date
    currency: str
    total: str = field(name="invoiced")
    recomputed: str | None
    verdict: Verdict
    reason: str
    items: list[_Item]
    exact_decimals: int | None
    missing_slots: list[Moment]
    energy_wh: int
    difference: str | None = field(name="difference_to_replaced")
    """Where readings were corrected: the total less that of the invoice that it replaces."""
    corrected_days: list[_CorrectedDay]
    """Those that the difference is for."""
    corrected_since: list[_CorrectedDay]
    """Those that were corrected after it was billed: it matches what was known before."""
    replaced_by: int | None
    demands: list[DemandDetail] | UnsetType = UNSET
    """What the powers billed are made of, under a tariff with a price for them."""
    memory: _Memory | UnsetType = UNSET
    proof: ProofCheck | UnsetType = UNSET
    meter_exchanges: list[_Exchange] | UnsetType = UNSET


class BillJson(InvoiceJson, frozen=True, kw_only=True):
    """An invoice that an applet keeps."""

    applet: str


class BillsJson(JsonView, frozen=True):
    """All invoices."""

    bills: list[BillJson]


class TariffsJson(JsonView, frozen=True):
    """Tariff versions side by side."""

    columns: list[TariffColumn]
    rows: list[PriceRow]


class _Offer(JsonView, frozen=True):
    tariff: str
    revision: int
    cost: _Money | None
    bill: dict[str, Any] | None
    reason: str = field(name="no_cost_because")


class OffersJson(JsonView, frozen=True):
    """What a period cost, and would have cost under other tariffs."""

    first_day: date
    last_day: date
    energy_wh: int | None
    now: _Money | None
    offers: list[_Offer]


class _Backtest(JsonView, frozen=True):
    first_day: date
    forecast: _Money
    actual: _Money
    error_ppm: int


class ForecastJson(JsonView, frozen=True):
    """What a month will come to, and how earlier forecasts did."""

    method: str
    tariff: str
    first_day: date
    last_day: date
    known_until: Moment
    known_wh: int
    energy_wh: int
    so_far: _Money | None
    cost: _Money
    bill: dict[str, Any]
    mean_error_ppm: int | None
    worst_error_ppm: int | None
    backtests: list[_Backtest]


def readings_json(view: ReadingsView) -> ReadingsJson:
    """Return a readings view."""
    zone = view.clock
    return ReadingsJson.of(
        view,
        **medium_facts(view.medium),
        **_days(view.period),
        total=_bucket(view.total, zone),
        buckets=[_bucket(bucket, zone) for bucket in view.buckets],
        corrected_days=[_CorrectedDay.of(one) for one in view.corrected],
        meter_exchanges=_exchanges(view.swaps),
    )


def _exchanges(swaps: Sequence[MeterSwap]) -> list[_Exchange] | UnsetType:
    """Return the exchanges; the member is there where there are any."""
    return [
        _Exchange.of(swap, old_meter=swap.old_meter.hex(), new_meter=swap.new_meter.hex())
        for swap in swaps
    ] or UNSET


def _bucket(bucket: UseBucket, zone: ZoneInfo) -> _Bucket:
    return _Bucket.of(
        bucket,
        local_from=local_text(bucket.begin, zone),
        local_until=local_text(bucket.end, zone),
    )


def comparison_json(comparison: Comparison) -> ComparisonJson:
    """Return two views and their difference."""
    now, before = map(readings_json, (comparison.now, comparison.before))
    return ComparisonJson.of(comparison, now=now, before=before)


def medium_facts(medium: Medium) -> dict[str, str]:
    """Return what a meter measures, and the unit of its registers' steps."""
    return {"medium": str(medium), "unit": medium.step}


def fine_json(day: date, uses: Iterable[FineUse], medium: Medium) -> FineJson:
    """Return a day between its readings."""
    return FineJson.of(None, **medium_facts(medium), day=day, uses=list(uses))


def disclosed_json(view: ReleasesView, zone: ZoneInfo) -> DisclosedJson:
    """Return what left the house."""
    known = view.known | ({TOGETHER: view.together} if len(view.known) > 1 else {})
    return DisclosedJson.of(
        view,
        released=list(map(_release, view.releases)),
        known={name: _known(learned, zone) for name, learned in known.items()},
        refusals=[_Refusal.of(entry, **entry.facts) for entry in view.refusals],
        outputs=[
            _Output.of(entry, **entry.facts, is_set="not_set" not in entry.facts)
            for entry in view.outputs
        ],
        exports=[_Export.of(entry, **entry.facts) for entry in view.exports],
        aggregates=[
            _Aggregate.of(entry, **{**entry.facts, "index": entry.facts.get("index") or None})
            for entry in view.aggregates
        ],
        unattributed=[
            _Unattributed.of(entry, **{**entry.facts, "opened": bool(entry.facts["opened"])})
            for entry in view.unattributed
        ],
        copies=[
            _Copy.of(entry, **entry.facts, sha256=entry.facts["copy"].hex())
            for entry in view.copies
        ],
    )


def _release(record: RecordedRelease) -> _Release:
    return _Release.of(
        record.release,
        register=next(filter(None, record.release.registers), None),
        registers=[name or None for name in record.release.registers],
        published=record.release.published and _Publication.of(record.release.published),
        begin=record.begin,
        corrected_slots=record.release.corrected_slots,
        goes_on_from=record.release.recalled_from,
        end=record.end,
        **_local_days(record.begin, record.end, find_zone(record.about.zone)),
        size=record.size,
    )


def _known(learned: Learned, zone: ZoneInfo) -> _Known:
    knowledge, finest = learned.knowledge, learned.finest_seconds
    window = knowledge.shortest_window
    return _Known.of(
        learned,
        in_words={
            language: learned_in_words(learned, replace(catalogue(language), zone=zone))
            for language in LANGUAGES
        },
        slots=knowledge.slots,
        bundles=knowledge.bundles,
        peaks=knowledge.peaks,
        counts=knowledge.counts,
        shortest_window=window
        and {
            **_local_days(*window, zone),
            "days": round((window[1] - window[0]) / DAY_SECONDS, 2),
        },
        nothing_finer_than_minutes=None if finest is None else finest // 60,
        samples=sum(one.count for one in learned.samples),
        exported_readings=sum(one.count for one in learned.exports),
        sums_over_households=0 if learned.sums is None else learned.sums.count,
        of_meters={
            "" if one.meter is None else one.meter.name: _known_of_meter(one)
            for one in learned.parts
        }
        or UNSET,
    )


def _known_of_meter(part: Learned) -> _KnownOfMeter:
    finest = part.finest_seconds
    about = None if part.meter is None else part.meter.about
    return _KnownOfMeter.of(
        part,
        medium=str(Medium.ELECTRICITY if about is None else about.medium),
        slots=part.knowledge.slots,
        nothing_finer_than_minutes=None if finest is None else finest // 60,
    )


def consents_json(disclosure: Disclosure) -> ConsentsJson:
    """Return every consent, what it means, and whether it was given under older words."""
    given = disclosure.consents()
    older = given_under_older_words(disclosure.log, given)
    return ConsentsJson(
        consents=[
            _Consent.of(
                one.terms,
                number=one.number,
                replaces=one.replaces,
                revoked=one.revoked,
                in_words={
                    language: consent_in_words(one.terms, language) for language in LANGUAGES
                },
                is_older=one.number in older,
            )
            for one in given
        ]
    )


def published_json(lists: Sequence[TakenList]) -> PublishedJson:
    """Return the public lists."""
    return PublishedJson(lists=[_published(one) for one in lists])


def _published(one: TakenList) -> _PublishedList:
    return _PublishedList.of(
        one,
        signer=one.signer.hex(),
        applets=sorted(applet.hex().upper() for applet in one.applets),
        code=one.documents.code,
        entries=[
            _PublishedDocument.of(entry, number=number, code=code, digest=entry.digest.hex())
            for number, (entry, code) in enumerate(
                zip(one.documents.entries, one.documents.codes(), strict=True), 1
            )
        ],
    )


def message_json(message: OutgoingMessage, content: bytes, decoded: Sequence[Field]) -> MessageJson:
    """Return an outgoing message to the byte, and what can be read in it without its applet."""
    return MessageJson.of(
        message,
        applet=message.applet.hex().upper(),
        size=len(content),
        fields=decoded,
        content=content.hex(),
    )


def attack_json(view: AttackView) -> AttackJson:
    """Return what an attacker could infer from each curve."""
    return AttackJson.of(
        view,
        **_days(view.period),
        house=_attacked(view.house),
        recipients={name: _attacked(result) for name, result in view.recipients.items()},
        together=_attacked(view.together),
    )


def _attacked(result: AttackResult) -> _Attacked:
    return _Attacked.of(
        result,
        step_seconds=result.curve.step_seconds,
        known_steps=sum(watts is not None for watts in result.curve.watts),
    )


def invoice_json(
    checked: CheckedBill, zone: ZoneInfo, proof: ProofCheck | None = None
) -> InvoiceJson:
    """Return a checked invoice, and what is said of its proof if that was checked."""
    invoice, bill, about = checked.invoice, checked.bill, checked.about
    days = zone if about is None else find_zone(about.zone)
    medium = Medium.ELECTRICITY if about is None else about.medium
    return InvoiceJson.of(
        invoice,
        **medium_facts(medium),
        meter=invoice.meter.hex(),
        replaces=invoice.replaces or None,
        zone=zone.key if about is None else about.zone,
        **_local_days(invoice.begin, invoice.end, days),
        recomputed=bill and bill.total,
        verdict=checked.verdict,
        reason=checked.reason,
        items=bill.items if bill else [],
        exact_decimals=bill and bill.exact_decimals,
        missing_slots=bill.missing_slots if bill else [],
        energy_wh=checked.energy_wh,
        difference=invoice.difference or None,
        corrected_days=[_CorrectedDay.of(one) for one in invoice.corrected],
        corrected_since=[_CorrectedDay.of(one) for one in checked.corrected_since],
        replaced_by=checked.replaced_by,
        demands=list(checked.demands) or UNSET,
        memory=UNSET
        if invoice.account is None
        else _Memory.of(
            invoice,
            account=invoice.account.hex(),
            brought=checked.brought,
            carried=checked.carried,
            last=invoice.is_last or UNSET,
        ),
        proof=proof or UNSET,
        meter_exchanges=_exchanges(checked.swaps),
    )


def offers_json(view: ReadingsView, offers: Iterable[TariffOffer]) -> OffersJson:
    """Return what a period cost, and would have cost under other tariffs."""
    return OffersJson.of(
        view.total,
        **_days(view.period),
        now=view.total.cost,
        offers=[
            _Offer.of(
                offer,
                tariff=offer.tariff.name,
                revision=offer.tariff.revision,
                bill=offer.bill and offer.bill.as_json(),
            )
            for offer in offers
        ],
    )


def forecast_json(forecast: BillForecast) -> ForecastJson:
    """Return a forecast and how earlier ones did."""
    return ForecastJson.of(
        forecast,
        method=FORECAST_METHOD,
        tariff=forecast.tariff.name,
        **_days(forecast.period),
        bill=forecast.bill.as_json(),
        backtests=[_Backtest.of(test, first_day=test.period.first) for test in forecast.backtests],
    )


def _days(period: Period) -> dict[str, date]:
    return {"first_day": period.first, "last_day": period.last}


def _local_days(begin: int, end: int, zone: ZoneInfo) -> dict[str, str]:
    return {"first_day": local_day(begin, zone), "last_day": local_day(end - 1, zone)}
