# SPDX-License-Identifier: Apache-2.0
"""The proof behind a bill, as the resident can check it: what a `BillProofs` has to do.

What a supplier was proved lies in the hub: the applet's answer, to the byte, in the disclosure log,
and the tariff in the applet's store. How the question and the proof are made is the applet's own
business, of which the hub knows nothing; so whoever serves the resident hands in the one that knows
(the command line does: `meterlet.commands.inspect.proofs`).
"""

from dataclasses import dataclass
from typing import Protocol

from hub.device import Device
from hub.inspection.views.bill import Verdict
from tariffs.invoice import Invoice


@dataclass(frozen=True, slots=True)
class ProofCheck:
    """The verdict on a proof."""

    verdict: Verdict
    reason: str
    """Where it differs, or why it cannot be told; empty where it matches."""
    total: str | None = None
    """What the proof shows is to be paid; None where it shows nothing."""
    currency: str | None = None


class BillProofs(Protocol):
    """Knows the billing applet's messages."""

    def bundle(self, device: Device, applet: bytes, invoice: Invoice) -> bytes:
        """Return everything that proves an invoice, for `meterlet bill verify`.

        Raises `InspectionError` where the hub has not all of it, or it is not what the invoice
        names as its evidence.
        """

    def check(self, device: Device, applet: bytes, invoice: Invoice) -> ProofCheck:
        """Return whether the proof the supplier has shows just this invoice."""
