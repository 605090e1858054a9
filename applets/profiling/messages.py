# SPDX-License-Identifier: Apache-2.0
"""The profiling applet's messages, in SML, and the request that they carry.

Their form is that of `applets.common.questions`. The path of a question is `PROFILING`, its
document `REQUEST` the signed request: a set of profiles and the method. The answer has these
entries, in this order:

    FORMAT_ENTRY    2
    REQUEST         the request's digest, 32 bytes
    PROOF           the proof that opens what the method tells (`protocols.proofs.numbers`)
    CERTIFIED_DAY   a certified day as the certifier signed it; once for each day, in order

`version1` reads the answers of release 0.1; no new question is answered with one.

Errors: MessageRefused, ProfilesMalformed
"""

import enum
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from typing import ClassVar, Final

from applets.common.questions import ProvedAnswer, Question
from applets.profiling.profiles import ProfileSet, ProfilesMalformed, canonical_json
from protocols.amounts import (
    Best,
    Metered,
    NumberAmount,
    QuotientRule,
    Reading,
    SlotForm,
    Sum,
    Total,
)
from sml_codec import Obis

AID: Final = bytes.fromhex("F04D544C010104")
"""The AID that the shipped manifest installs it under."""
CONTENT_TYPE: Final = "application/meterlet-profiling+json"
FORMAT: Final = "meterlet profiling 1"
DIGEST_DOMAIN: Final = b"meterlet/profiling/digest/1\x00"

PROFILING: Final = Obis(bytes.fromhex("81814d030000"))
REQUEST: Final = Obis(bytes.fromhex("81814d030100"))
PROOF: Final = Obis(bytes.fromhex("81814d030700"))
CERTIFIED_DAY: Final = Obis(bytes.fromhex("81814d030600"))
FORMAT_ENTRY: Final = Obis(bytes.fromhex("81814d030800"))
VERSION: Final = 2
MOST_UNITS: Final = 4
"""Of a score, that a watt-hour makes at most."""
MOST_STEP: Final = 10_000


class Method(enum.StrEnum):
    """What is told of a household."""

    MATCH = "match"
    """Which profile has the highest score."""
    SCORES = "scores"
    """Every profile's score."""
    SAMPLE = "sample"
    """One reading in so many; the recipient reckons with these."""


@dataclass(frozen=True)
class ProfilingRequest:
    """Profiles, and what is to be told."""

    method: Method
    profiles: ProfileSet
    step: int = 1
    """For `SAMPLE`: one slot in so many."""
    first: int = 0
    """For `SAMPLE`: the place of the first one."""

    def __post_init__(self) -> None:
        if not 0 <= self.first < self.step <= MOST_STEP:
            raise ProfilesMalformed("a sample's first slot is one of its first step")
        if self.method is not Method.SAMPLE and self.step != 1:
            raise ProfilesMalformed("only a sample has a step")

    def places(self, slots: int) -> range:
        """Return which of so many slots are sampled."""
        return range(self.first, slots, self.step)

    def numbers(self, starts: Sequence[int], slot_seconds: int) -> tuple[NumberAmount, ...]:
        """Return what is to be proved; raise `ProfilesMalformed` where the slots do not fit.

        Scores are rounded, half-even: so that no watt-hour makes more than `MOST_UNITS` of them.
        """
        if self.method is Method.SAMPLE:
            if slot_seconds != self.profiles.slot_seconds:
                raise ProfilesMalformed("the profiles' slots are not the meter's")
            return tuple(Reading(place) for place in self.places(len(starts)))
        forms = [
            SlotForm.of_each(weights) for weights in self.profiles.weights(starts, slot_seconds)
        ]
        if self.method is Method.MATCH:
            return (Best(tuple(forms)),)
        unit = score_unit(forms)
        return tuple(
            Total((Metered(0, Sum(form)),), (), unit, QuotientRule.HALF_EVEN) for form in forms
        )

    def encode(self) -> bytes:
        """Return the document that is signed."""
        return canonical_json(
            {
                "format": FORMAT,
                "method": self.method.value,
                "step": self.step,
                "first": self.first,
                "profiles": self.profiles.members(),
            }
        )

    @classmethod
    def decode(cls, document: bytes) -> "ProfilingRequest":
        """Return the request that `document` is; raise `ProfilesMalformed` for anything else."""
        try:
            members = json.loads(document)
        except (ValueError, RecursionError):
            raise ProfilesMalformed("not JSON") from None
        match members:
            case {
                "format": str(form),
                "method": str(method),
                "step": int(step),
                "first": int(first),
                "profiles": profiles,
            } if form == FORMAT and method in set(Method) and type(step) is type(first) is int:
                found = cls(Method(method), ProfileSet.from_members(profiles), step, first)
            case _:
                raise ProfilesMalformed(f"not a {FORMAT!r} document")
        if found.encode() != document:
            raise ProfilesMalformed("not in its one encoding")
        return found

    @cached_property
    def digest(self) -> bytes:
        """The 32 bytes that name this request."""
        return sha256(DIGEST_DOMAIN + self.encode()).digest()


def score_unit(forms: Sequence[SlotForm]) -> int:
    """Return by what all scores of a request are divided."""
    return -(-max(abs(weight) for form in forms for *_, weight in form.runs) // MOST_UNITS)


@dataclass(frozen=True, slots=True)
class ProfilingQuestion(Question):
    """What is a household like, by this signed request?"""

    path = PROFILING
    name = REQUEST
    content_type = CONTENT_TYPE


@dataclass(frozen=True, slots=True)
class ProfilingAnswer(ProvedAnswer):
    """What was asked for, proved."""

    path = PROFILING
    format: ClassVar[tuple[Obis, int] | None] = (FORMAT_ENTRY, VERSION)
    layout = {"digest": REQUEST, "proof": PROOF}  # noqa: RUF012
    day = CERTIFIED_DAY
