# SPDX-License-Identifier: Apache-2.0
"""What bills under a tariff with memory go on from and leave: the values, for the resident alone.

The supplier knows commitments (`protocols.carried`). The hub keeps what opens them, so a bill is
computed again from the readings and from what the bill before it has left. What this one leaves has
to be what the hub has kept of it: so each bill of an account is checked from its first one on.
"""

from dataclasses import dataclass
from datetime import date

from hub.applet_host.memory import AppletMemory, KeptState
from hub.device import Device
from hub.inspection.errors import InspectionError
from tariffs import BillMemory, Tariff
from tariffs.clock import date_of
from tariffs.invoice import Invoice
from tariffs.memory import MemoryKey, MemoryShape, Quantity
from tariffs.settlement import Credit, Instalment


@dataclass(frozen=True, slots=True)
class CarriedAmount:
    """A value that a bill leaves for the next one."""

    component: str
    """The charge or step of the tariff."""
    band: str
    since: date | None
    """The first day of what it is of; None where it is of the contract."""
    unit: str
    """`Wh`, `l`, `W`, or the currency."""
    value: int
    """In the unit; money in 10^-6 of the currency."""
    owed_to: str = ""
    """To whom money is owed, `resident` or `supplier`; empty where it is owed to nobody."""


@dataclass(frozen=True, slots=True)
class KeptMemory:
    """What the hub keeps of the bills before and after an invoice's."""

    before: BillMemory | None
    """What the bill goes on from; None for the first one of an account."""
    after: BillMemory | None
    """What it has left; None where that is kept no more."""


def kept_memory(device: Device, applet: bytes, invoice: Invoice) -> KeptMemory:
    """Return what is kept of an invoice's account; raise `InspectionError` where it is not."""
    if invoice.account is None or invoice.bill is None:
        return KeptMemory(None, None)
    states = {
        kept.state.number: kept
        for kept in AppletMemory(device.database, applet).states()
        if kept.state.account == invoice.account
    }
    after, before = states.get(invoice.bill), states.get(invoice.bill - 1)
    if after is not None and after.state.digest != invoice.carried:
        raise InspectionError(
            f"bill {invoice.bill} of the account, or one before it, was asked for again since"
        )
    left = None if after is None else _memory_of(after)
    if invoice.bill == 1:
        return KeptMemory(None, left)
    if before is None:
        raise InspectionError(
            f"it goes on from bill {invoice.bill - 1} of the account, of which this hub keeps"
            " nothing any more"
        )
    return KeptMemory(_memory_of(before), left)


def state_before(device: Device, applet: bytes, account: bytes, number: int) -> bytes | None:
    """Return the encoded state that bill `number` of an account has left; None: not kept."""
    for kept in AppletMemory(device.database, applet).states():
        if (kept.state.account, kept.state.number) == (account, number):
            return kept.state.encode()
    return None


def carried_amounts(memory: BillMemory | None, tariff: Tariff) -> tuple[CarriedAmount, ...]:
    """Return what one bill leaves for the next; nothing where nothing is carried."""
    if memory is None:
        return ()
    shapes = {
        name: shape for version in tariff.versions for name, shape in version.memory_shapes.items()
    }
    found = []
    for key, value in sorted(memory.values.items()):
        shape = shapes.get(key.component)
        if shape is None:  # of a version of the tariff that is not known here
            continue
        money = shape.quantity is Quantity.MONEY
        steps = "W" if shape.quantity is Quantity.WATTS else tariff.medium.step
        unit = tariff.currency if money else steps
        since = date_of(key.day) if key.day else None
        owed_to = _owed_to(shape, value)
        found.append(
            CarriedAmount(key.component, shape.bands[key.part], since, unit, value, owed_to)
        )
    return tuple(found)


def _owed_to(shape: MemoryShape, value: int) -> str:
    """Return who is owed a carried value: a credit is the resident's, an instalment falls short."""
    kind = shape.kind.partition(",")[0]
    if not value or kind not in (Credit.kind, Instalment.kind):
        return ""
    return "resident" if (value > 0) is (kind == Credit.kind) else "supplier"


def _memory_of(kept: KeptState) -> BillMemory:
    values = {MemoryKey.parse(name): value for name, (value, _) in kept.openings.items()}
    return BillMemory(kept.state.end, values)
