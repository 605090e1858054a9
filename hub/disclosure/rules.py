# SPDX-License-Identifier: Apache-2.0
"""The guard's rules about numbers, one function each; docs/threat-model.md says why they hold."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Final

from hub.disclosure.knowledge import Form, alike_slots, determined_windows, windows_agree
from hub.disclosure.requests import Number
from hub.errors import HubError

_MINUTE: Final = 60
_DAY: Final = 86_400
_CLOCK_CHANGE: Final = 2 * 3_600
_LARGEST_WEIGHT: Final = (1 << 63) - 1


class ReleaseRefused(HubError):
    """A release would break a rule; nothing was told, and the refusal is on record."""

    exit_code, status_word = 5, 0x6985

    def __init__(self, rule: str, reason: str) -> None:
        super().__init__(f"{rule}: {reason}")
        self.rule = rule


def check_size(number: Number, bits: int) -> None:
    """Refuse a number of more bits than the consent allows, or weights that no record holds."""
    weights = (weight for form in number.forms for weight in form.weights)
    if number.bits > bits or any(abs(weight) > _LARGEST_WEIGHT for weight in weights):
        raise ReleaseRefused("size", f"{number.bits} bits, the consent allows {bits}")


def check_fineness(forms: Sequence[Form], least_minutes: int) -> None:
    """Refuse forms that tell fewer minutes of slots from all others."""
    if not windows_agree(forms):
        raise ReleaseRefused("fineness", "the windows of two peaks overlap in part")
    smallest = min(alike_slots(forms).values(), default=0) * forms[-1].slot_seconds
    if smallest < least_minutes * _MINUTE:
        raise ReleaseRefused(
            "fineness",
            f"the use of {smallest // _MINUTE} min of slots could be worked out,"
            f" the consent says no finer than {least_minutes} min",
        )


def check_limits(told: Sequence[Form], asked: Sequence[Form], most: int) -> None:
    """Refuse what is above more different limits, with what was told about what overlaps.

    Each limit tells another point of how the uses of a class are distributed.
    """
    near = [one for one in told if any(overlaps(one, other) for other in asked)]
    limits = {one.above for one in (*near, *asked) if one.above}
    if len(limits) > most:
        raise ReleaseRefused(
            "count",
            f"what lies above {len(limits)} different limits would be told about what overlaps,"
            f" the consent says {most}",
        )


def check_spacing(samples: Sequence[Form], least_minutes: int) -> None:
    """Refuse samples of a register that start within so many minutes of each other."""
    starts = sorted({(one.register, one.sampled) for one in samples if one.sampled is not None})
    gaps = (after - before for (a, before), (b, after) in pairwise(starts) if a == b)
    nearest = min(gaps, default=None)
    if nearest is not None and nearest < least_minutes * _MINUTE:
        raise ReleaseRefused(
            "fineness",
            f"two samples would be {nearest // _MINUTE} min apart,"
            f" the consent says no nearer than {least_minutes} min",
        )


def check_windows(forms: Sequence[Form], least_days: int) -> None:
    """Refuse forms that determine the total of fewer days by linear algebra."""
    shortest = min((end - begin for begin, end in determined_windows(forms)), default=None)
    if shortest is not None and shortest < least_days * _DAY - _CLOCK_CHANGE:
        raise ReleaseRefused(
            "window",
            f"the total of {shortest / _DAY:.3g} days would be determined,"
            f" the consent says no less than {least_days}",
        )


def is_same_period(one: Form, other: Form) -> bool:
    """Tell whether two forms are of one period of one register."""
    return (one.register, one.begin, one.end) == (other.register, other.begin, other.end)


def overlaps(one: Form, other: Form) -> bool:
    """Tell whether two forms have slots in common."""
    return one.register == other.register and one.begin < other.end and other.begin < one.end


def entangled(form: tuple[Form, int], others: Sequence[tuple[Form, int]]) -> list[tuple[Form, int]]:
    """Return the forms that overlap this one, or one that does, and so on.

    Nothing can be worked out from forms with no slot in common that each does not tell by itself.
    """
    found, waiting, rest = list[tuple[Form, int]](), [form], list(others)
    while waiting:
        here, _ = waiting.pop()
        near = [one for one in rest if overlaps(one[0], here)]
        rest = [one for one in rest if not overlaps(one[0], here)]
        found += near
        waiting += near
    return found
