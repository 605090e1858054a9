# SPDX-License-Identifier: Apache-2.0
"""How the log's entries say consents, requests and releases; and releases, read back.

A request or release that is about another register than the import register says so; entries that
name none, as all of older releases of this program, are about the import register.
"""

from collections.abc import Mapping, Sequence
from struct import Struct
from typing import Any, Final

from hub.disclosure.consents import LEAST_MINUTES, ConsentTerms
from hub.disclosure.knowledge import Form
from hub.disclosure.log import LogEntry
from hub.disclosure.requests import (
    AggregateRequest,
    Number,
    Release,
    ReleaseRequest,
)
from hub.disclosure.unattributed import UnattributedRequest
from protocols.amounts import Excess, Peaks, Reading

_SAMPLE: Final = Struct("<qq")
"""How many slots the period has, and the place of the one."""
_LIMIT: Final = Struct("<q")
"""What goes before the weights of an excess: the limit, 0 for those of all use."""


def _pack(weights: Sequence[int]) -> bytes:
    return Struct(f"<{len(weights)}q").pack(*weights)


def _packed(form: Form, kind: str) -> bytes:
    if kind == Excess.kind:
        return _LIMIT.pack(form.above) + _pack(form.weights)
    if form.is_sample:
        return _SAMPLE.pack(len(form.weights), form.weights.index(1))
    return _pack(form.weights)


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


def number_facts(request: ReleaseRequest, minutes: Mapping[str, int]) -> dict[str, Any]:
    """Return what the log says of the numbers that were told, and how finely each might be."""
    return {
        "numbers": [
            {
                "kind": number.kind,
                "forms": [_packed(form, number.kind) for form in number.forms],
                "bits": number.bits,
                "least_minutes": minutes[number.kind],
            }
            for number in request.numbers
        ],
        "bits": sum(number.bits for number in request.numbers),
    }


def release_of(entry: LogEntry) -> Release:
    """Return the release that an entry records."""
    facts = entry.facts
    # Version 0.1 had another form for one sum by itself: `weights` beside the release's own facts.
    parts: Sequence[Mapping[str, Any]] = facts.get(
        "numbers",
        [{**facts, "kind": facts["statement"], "forms": [facts.get("weights")]}],
    )

    def form(weights: bytes, kind: str) -> Form:
        about, register = (facts["begin"], facts["slot_seconds"]), facts.get("register", "")
        if kind == Reading.kind:
            slots, place = _SAMPLE.unpack(weights)
            one = (0,) * place + (1,) + (0,) * (slots - place - 1)
            return Form(*about, one, is_sample=True, register=register)
        above = 0
        if kind == Excess.kind:
            (above,), weights = _LIMIT.unpack_from(weights), weights[_LIMIT.size :]
        unpacked = Struct(f"<{len(weights) // 8}q").unpack(weights)
        return Form(*about, unpacked, kind == Peaks.kind, above=above, register=register)

    return Release(
        sequence=entry.sequence,
        time=entry.time,
        applet=facts["applet"],
        recipient=facts["recipient"],
        purpose=facts["purpose"],
        statement=facts["statement"],
        subject=facts["subject"],
        numbers=tuple(
            Number(
                part["kind"],
                tuple(form(weights, part["kind"]) for weights in part["forms"]),
                part["bits"],
                part.get("least_minutes", LEAST_MINUTES),
            )
            for part in parts
        ),
    )
