# SPDX-License-Identifier: Apache-2.0
"""What an attacker could infer: the same attack on the house's own curve and on each recipient's.

It runs in the hub and tells nobody. What it finds on the raw curve is what would be known if
readings were sent; beside it stands what it finds on the best curve each recipient can make.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from hub.device import Device
from hub.inspection.attack.appliances import Activation, Appliance, PowerCurve, detect
from hub.inspection.attack.reconstruction import curve_known_to, curve_of_house
from hub.inspection.errors import InspectionError
from hub.inspection.views.releases import releases_view
from protocols.metrology import Period

MOST_DAYS: Final = 31


@dataclass(frozen=True, slots=True)
class AttackResult:
    """What the attack makes of one curve."""

    curve: PowerCurve
    activations: tuple[Activation, ...]
    found: int
    """Activations of the house's own curve that are found on this one as well."""
    wrong: int
    """Activations found here that the house's own curve does not show."""

    @property
    def counts(self) -> dict[Appliance, int]:
        """How often each appliance was found."""
        found = Counter(activation.appliance for activation in self.activations)
        return {appliance: found[appliance] for appliance in Appliance}


@dataclass(frozen=True, slots=True)
class AttackView:
    """The attack on a period."""

    period: Period
    house: AttackResult
    recipients: dict[str, AttackResult]
    """By name; only those that were told something."""
    together: AttackResult
    """All of them, comparing notes."""

    @property
    def others(self) -> list[tuple[str, AttackResult]]:
        """What each recipient could infer, by name; of several also all together, named ""."""
        together = [("", self.together)] if len(self.recipients) > 1 else []
        return [*self.recipients.items(), *together]


def attack(
    device: Device, period: Period, progress: Callable[[int, int], None] = lambda done, total: None
) -> AttackView:
    """Run the attack on a period; raise `InspectionError` if it has more than 31 days.

    `progress` is told before each curve how many are done, of how many; it may raise.
    """
    if (period.last - period.first).days >= MOST_DAYS:
        raise InspectionError(f"the attack looks at {MOST_DAYS} days at most")
    begin, end = period.bounds(device.description.zone)
    names = releases_view(device).recipients
    curves = len(names) + 2
    progress(0, curves)
    own = curve_of_house(device, begin, end)
    seen = tuple(detect(own))

    def result(done: int, who: Sequence[str]) -> AttackResult:
        progress(done, curves)
        curve = curve_known_to(device, who, begin, end)
        activations = tuple(detect(curve))
        within = max(120, curve.step_seconds)
        return AttackResult(
            curve=curve,
            activations=activations,
            found=sum(any(a.overlaps(b, within) for b in activations) for a in seen),
            wrong=sum(not any(a.overlaps(b, within) for b in seen) for a in activations),
        )

    return AttackView(
        period=period,
        house=AttackResult(own, seen, len(seen), 0),
        recipients={name: result(done, [name]) for done, name in enumerate(names, start=1)},
        together=result(curves - 1, names),
    )
