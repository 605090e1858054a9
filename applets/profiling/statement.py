# SPDX-License-Identifier: Apache-2.0
"""What the profiling applet claims, and how it is checked without it.

Public:  the signed request with its profiles and their weights w[k,t]; the period; the
         certifier's public key; the certified days with commitments C[t].
Secret:  uses x[t] and blindings r[t] with C[t] = x[t]·H + r[t]·G.
Claim:   `match`   profile k has the highest score Σ w[k,t]·x[t] of all
         `scores`  each profile's score is the one that is opened, to whole units of the request
         `sample`  x[t] is what is opened, for one slot in so many
Proof:   protocols.proofs.numbers (`Best`, `Total`, `Reading`). A stored answer of release 0.1
         opened exact scores: protocols.proofs.amounts.

The checks are those of `applets.common.evidence`, in its order; the document's is `request`.

Errors: AnswerRefused
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from applets.common.evidence import (
    AnswerRefused,
    ProofContext,
    check_days,
    check_message,
    require_proved,
    starts_of,
)
from applets.profiling.messages import (
    Method,
    ProfilingAnswer,
    ProfilingQuestion,
    ProfilingRequest,
)

# What the utility uses of the profiles it imports from here.
from applets.profiling.profiles import Profile as Profile
from applets.profiling.profiles import ProfileSet as ProfileSet
from applets.profiling.profiles import ProfilesMalformed as ProfilesMalformed
from applets.profiling.version1 import (
    ProfilingAnswerVersion1,
    amounts_version_1,
    decode_any_answer,
)
from protocols.amounts import Total
from protocols.metrology import CertifiedDay, Period, Series, SlotState

RECIPIENT: Final = "grid"
PURPOSE: Final = "profiling"


@dataclass(frozen=True, slots=True)
class ProfiledPeriod:
    """What a household is like."""

    best: str
    """The profile with the highest score: proved, or reckoned from the sample."""
    scores: Mapping[str, int]
    """By profile; none where only the best is told."""
    readings: int
    """How many single readings were told."""
    slots: int
    missing: int
    certified: tuple[CertifiedDay, ...] = field(default=(), repr=False)
    """The certified days, in order."""


def check_profile(
    question: ProfilingQuestion,
    data: bytes,
    request: ProfilingRequest,
    period: Period,
    series: Series,
    certifier: Ed25519PublicKey,
    *,
    is_stored: bool = False,
) -> ProfiledPeriod:
    """Return what `data` answers the question with; raise `AnswerRefused` if it is wrong.

    `request` is the one whose signed document the question carried; raises `ProfilesMalformed`
    where its profiles do not fit the meter's slots. `is_stored` says that the question is not a
    new one: then it takes an answer of release 0.1, too, and days of version 1.
    """
    decode = decode_any_answer if is_stored else ProfilingAnswer.decode
    answer = check_message(decode, data, question.about)
    if answer.digest != request.digest:
        raise AnswerRefused("request", "the answer is to another request")
    certified = check_days(answer.days, period, series, certifier, is_stored=is_stored)
    starts = starts_of(certified)
    slot_seconds = 60 * series.slot_minutes
    numbers = request.numbers(starts, slot_seconds)
    units = [one.divisor if isinstance(one, Total) else 1 for one in numbers]
    proofs = ProofContext(question.about, request.digest, RECIPIENT, PURPOSE)
    if isinstance(answer, ProfilingAnswerVersion1):
        amounts = amounts_version_1(request, starts, slot_seconds)
        values, check = proofs.amounts(
            series, certified, amounts, answer.proof, "the profile", is_stored=True
        )
        units = [1] * len(values)
    else:
        values, check = proofs.numbers({series: certified}, numbers, answer.proof, "the profile")
    require_proved([check])
    names = request.profiles.names
    missing = [state is SlotState.MISSING for state in certified.states]
    readings, scores = 0, dict[str, int]()
    match request.method:
        case Method.MATCH:
            best = names[values[0]]
        case Method.SCORES:
            whole = [value * unit for value, unit in zip(values, units, strict=True)]
            scores = dict(zip(names, whole, strict=True))
            best = _highest(scores)
        case Method.SAMPLE:
            known = {
                starts[place]: value
                for place, value in zip(request.places(len(starts)), values, strict=True)
                if not missing[place]
            }
            if not known:
                raise ProfilesMalformed("every slot of the sample is missing")
            readings = len(known)
            scores = scores_of_sample(request.profiles, list(known), list(known.values()))
            best = _highest(scores)
    return ProfiledPeriod(best, scores, readings, len(starts), sum(missing), certified.days)


def scores_of_sample(
    profiles: ProfileSet, starts: Sequence[int], uses: Sequence[int]
) -> dict[str, int]:
    """Return each profile's score over some slots alone."""
    weights = profiles.weights(starts, profiles.slot_seconds)
    return {
        name: sum(w * use for w, use in zip(row, uses, strict=True))
        for name, row in zip(profiles.names, weights, strict=True)
    }


def _highest(scores: Mapping[str, int]) -> str:
    return max(scores, key=lambda name: scores[name])
