# SPDX-License-Identifier: Apache-2.0
"""Releases as JSON has them: what left the house, what may, and what could be inferred from it."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from typing import Final
from zoneinfo import ZoneInfo

from msgspec import UNSET, UnsetType, field

from hub.disclosure import Disclosure
from hub.disclosure.older_words import given_under_older_words
from hub.disclosure.published import TakenList
from hub.disclosure.wording import consent_in_words
from hub.inspection.api.json_views import JsonView, Moment, local_days, period_days
from hub.inspection.attack.appliances import Appliance
from hub.inspection.attack.attack import AttackResult, AttackView
from hub.inspection.locales.catalogue import LANGUAGES, catalogue
from hub.inspection.locales.learning import learned_in_words
from hub.inspection.views.learned import Learned
from hub.inspection.views.releases import Field, OutgoingMessage, RecordedRelease, ReleasesView
from protocols.metrology import Medium, find_zone
from protocols.published import DocumentKind

DAY_SECONDS: Final = 86_400
TOGETHER: Final = "all of them together"


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
        **local_days(record.begin, record.end, find_zone(record.about.zone)),
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
            **local_days(*window, zone),
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
        **period_days(view.period),
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
