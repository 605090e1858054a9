# SPDX-License-Identifier: Apache-2.0
"""How the log's entries say consents, requests and releases; and releases, read back.

A request or release that is about another register than the import register says so; entries that
name none, as all of older releases of this program, are about the import register.
"""

from collections.abc import Mapping, Sequence
from struct import Struct
from typing import Any, Final

from hub.disclosure.cells import Form
from hub.disclosure.consents import LEAST_MINUTES, ConsentTerms
from hub.disclosure.log import LogEntry
from hub.disclosure.numbers import Number
from hub.disclosure.published import publication_in
from hub.disclosure.requests import AggregateRequest, Release, ReleaseRequest
from hub.disclosure.revised import revised_facts, revised_of
from hub.disclosure.unattributed import UnattributedRequest
from protocols.amounts import Excess, Peaks, Reading, SlotForm

_SAMPLE: Final = Struct("<qq")
"""How many slots the period has, and the place of the one."""
_LIMIT: Final = Struct("<q")
"""What goes before the weights of an excess: the limit, 0 for those of all use."""


WORDS: Final = 2
"""Under which words consents are given now; those of version 0.1 do not say, and were the first."""
_DAYS_VERSION_1: Final = 28
"""What each consent of version 0.1 said at least."""
_RUN: Final = Struct("<qqq")
"""The place of the first slot, how many slots, and the weight of each."""


def terms_facts(terms: ConsentTerms) -> dict[str, int | str | bytes]:
    """Return what the log says of a consent."""
    return {
        "applet": terms.applet,
        "package": terms.package,
        "recipient": terms.recipient,
        "purpose": terms.purpose,
        "statement": terms.statement,
        "least_days": terms.least_days,
        "least_minutes": terms.least_minutes,
        "answers": terms.answers,
        "bits": terms.bits,
        "until": terms.until.isoformat(),
        "least_group": terms.least_group,
        "within_days": terms.within_days,
        "words": WORDS,
        **({"slot_bits": terms.slot_bits} if terms.slot_bits else {}),
        **({"memory_days": terms.memory_days} if terms.memory_days else {}),
        **({"published": terms.published} if terms.published else {}),
        **({"corrected_minutes": terms.corrected_minutes} if terms.corrected_minutes else {}),
    }


def request_facts(
    request: ReleaseRequest | AggregateRequest | UnattributedRequest,
) -> dict[str, int | str | bytes]:
    """Return what the log says of a request, whatever becomes of it."""
    if isinstance(request, AggregateRequest | UnattributedRequest):
        return request.facts
    register = request.form.register
    return {
        "applet": request.applet,
        "package": request.package,
        "recipient": request.recipient,
        "purpose": request.purpose,
        "statement": request.statement,
        "subject": request.subject,
        "begin": request.form.begin,
        "slot_seconds": request.form.slot_seconds,
        **({"register": register} if register else {}),
    }


def number_facts(numbers: Sequence[Number]) -> dict[str, Any]:
    """Return what the log says of the numbers that were told, and of the terms they were under."""
    return {
        "slots": len(numbers[0].forms[0].weights),  # of those that are not recalled
        "numbers": [
            {
                "kind": number.kind,
                "identity": number.identity,
                "told": [form_facts(form) for form in number.forms],
                "bits": number.bits,
                "least_minutes": number.least_minutes,
                "least_days": number.least_days,
                "spread": number.spread,
                **(
                    {"corrected_minutes": number.corrected_minutes}
                    if number.corrected_minutes
                    else {}
                ),
                **(
                    {"recalled": number.begin, "slots": len(number.forms[0].weights)}
                    if number.is_recalled
                    else {}
                ),
                **({"covers": [form_facts(one) for one in number.covers]} if number.covers else {}),
            }
            for number in numbers
        ],
        "bits": sum(number.bits for number in numbers if not number.is_recalled),
    }


def form_facts(form: Form) -> dict[str, Any]:
    """Return what the log says of a form, its time apart."""
    runs = [
        number for first, count, weight in SlotForm.of_each(form.weights).runs
        for number in (first, count, weight)
    ]  # fmt: skip
    return {
        "runs": Struct(f"<{len(runs)}q").pack(*runs),
        **({"register": form.register} if form.register else {}),
        **({"peak": True} if form.is_peak else {}),
        **({"sample": True} if form.is_sample else {}),
        **({"above": form.above} if form.above else {}),
        **({"known": list(form.known)} if form.known else {}),
        **({"revised": revised_facts(form.revised)} if form.revised else {}),
    }


def form_of(facts: Mapping[str, Any], about: tuple[int, int], slots: int) -> Form:
    """Return the form that facts say, `about` begin and length of slots, of so many slots."""
    packed = facts["runs"]
    weights = [0] * slots
    for first, count, weight in _RUN.iter_unpack(packed):
        weights[first : first + count] = [weight] * count
    return Form(
        *about,
        tuple(weights),
        is_peak=facts.get("peak", False),
        is_sample=facts.get("sample", False),
        above=facts.get("above", 0),
        register=facts.get("register", ""),
        known=tuple(facts.get("known", ())),
        revised=revised_of(facts),
    )


def release_of(entry: LogEntry) -> Release:
    """Return the release that an entry records."""
    facts = entry.facts
    about = facts["begin"], facts["slot_seconds"]
    if "slots" in facts:
        numbers = tuple(_number_of(part, about, facts["slots"]) for part in facts["numbers"])
    else:
        numbers = _numbers_version_1(facts)
    return Release(
        sequence=entry.sequence,
        time=entry.time,
        applet=facts["applet"],
        recipient=facts["recipient"],
        purpose=facts["purpose"],
        statement=facts["statement"],
        subject=facts["subject"],
        numbers=numbers,
        published=publication_in(facts),
    )


def _number_of(part: Mapping[str, Any], about: tuple[int, int], slots: int) -> Number:
    """Return a number of a release; one that is recalled says of which period and slots."""
    is_recalled = "recalled" in part
    if is_recalled:
        about, slots = (part["recalled"], about[1]), part["slots"]
    return Number(
        part["kind"],
        tuple(form_of(form, about, slots) for form in part["told"]),
        part["bits"],
        identity=part["identity"],
        least_minutes=part["least_minutes"],
        least_days=part["least_days"],
        spread=part["spread"],
        corrected_minutes=part.get("corrected_minutes", 0),
        covers=tuple(form_of(one, about, slots) for one in part.get("covers", ())),
        is_recalled=is_recalled,
    )


def _numbers_version_1(facts: Mapping[str, Any]) -> tuple[Number, ...]:
    """Return the numbers of an entry as version 0.1 wrote it: exact ones, told under 28 days.

    Its first form had one sum by itself: `weights` beside the release's own facts.
    """
    parts: Sequence[Mapping[str, Any]] = facts.get(
        "numbers",
        [{**facts, "kind": facts["statement"], "forms": [facts.get("weights")]}],
    )
    about, register = (facts["begin"], facts["slot_seconds"]), facts.get("register", "")

    def form(weights: bytes, kind: str) -> Form:
        if kind == Reading.kind:
            slots, place = _SAMPLE.unpack(weights)
            one = (0,) * place + (1,) + (0,) * (slots - place - 1)
            return Form(*about, one, is_sample=True, register=register)
        above = 0
        if kind == Excess.kind:
            (above,), weights = _LIMIT.unpack_from(weights), weights[_LIMIT.size :]
        unpacked = Struct(f"<{len(weights) // 8}q").unpack(weights)
        return Form(*about, unpacked, kind == Peaks.kind, above=above, register=register)

    return tuple(
        Number(
            part["kind"],
            tuple(form(weights, part["kind"]) for weights in part["forms"]),
            part["bits"],
            least_minutes=part.get("least_minutes", LEAST_MINUTES),
            least_days=_DAYS_VERSION_1,
        )
        for part in parts
    )
