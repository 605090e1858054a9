# SPDX-License-Identifier: Apache-2.0
"""Questions about days of a former custody: refused to every applet, and on record.

The days are gone from the hub; what is refused here is the question, by the name `custody`, so that
the resident sees who asked for them and whoever asked knows that asking again is of no use.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from hub.applet_host.command import CommandStack
from hub.disclosure import Disclosure, ReleaseRefused
from hub.machine.manifest import Manifest
from hub.metering import FormerCustody, MeteredRegister
from protocols.metrology import Period
from protocols.platform.errors import Refused

RULE = "custody"


@dataclass(frozen=True, slots=True)
class CustodyGate:
    """Lets an applet's questions through that are about days of this custody."""

    applet: bytes
    package: bytes
    manifest: Manifest
    disclosure: Disclosure
    stack: CommandStack

    def require(self, meters: Sequence[MeteredRegister], period: Period) -> None:
        """Return if no day of a period is of a former custody; raise `Refused`, on record."""
        try:
            for meter in meters:
                meter.require_custody(period)
        except FormerCustody as former:
            raise self._refused(meters[0], period, former) from None

    def _refused(self, meter: MeteredRegister, period: Period, former: FormerCustody) -> Refused:
        begin, end = period.bounds(meter.zone)
        facts: dict[str, int | str | bytes] = {
            "applet": self.applet,
            "package": self.package,
            "recipient": self.manifest.recipient,
            "purpose": self.manifest.purpose,
            "begin": begin,
            "end": end,
        }
        refused = ReleaseRefused(RULE, str(former))
        self.disclosure.refusals.note(facts, refused)
        return self.stack.refuse(facts, refused)
