# SPDX-License-Identifier: Apache-2.0
"""All kinds of charges, and how a document names them.

energy     by the kilowatt-hour, by band                         (`tariffs.energy`)
series     by the kilowatt-hour, a price for every step          (`tariffs.energy`)
blocks     by the kilowatt-hour, dearer or cheaper with use      (`tariffs.blocks`)
gas        by the kilowatt-hour of gas, whose volume is counted  (`tariffs.gas`)
net        by the kilowatt-hour drawn beyond what is fed in      (`tariffs.net`)
demand     by the highest power                                  (`tariffs.demand`)
standing   by the day, month, year or bill                       (`tariffs.fixed`)
capacity   by the contracted kilowatt                            (`tariffs.fixed`)
"""

from typing import Final, TypeAlias, TypeGuard

from protocols.canonical.cbor import CborValue
from tariffs._document_reader import TariffReader
from tariffs.blocks import BlockCharge
from tariffs.demand import DemandCharge
from tariffs.energy import EnergyCharge, SeriesCharge
from tariffs.errors import MalformedTariff
from tariffs.fixed import CapacityCharge, StandingCharge
from tariffs.gas import GasCharge
from tariffs.net import NetCharge
from tariffs.usage import Register

LinearCharge: TypeAlias = EnergyCharge | SeriesCharge
"""Each slot has a price; the amount is the sum of price times use."""
RememberingCharge: TypeAlias = BlockCharge | DemandCharge | NetCharge
"""The amount may depend on the bills before."""
MeteredCharge: TypeAlias = LinearCharge | RememberingCharge | GasCharge
"""The amount depends on readings."""
FixedCharge: TypeAlias = StandingCharge | CapacityCharge
"""The amount follows from the period alone."""
Charge: TypeAlias = MeteredCharge | FixedCharge

KINDS: Final[tuple[type[Charge], ...]] = (
    BlockCharge,
    CapacityCharge,
    DemandCharge,
    EnergyCharge,
    GasCharge,
    NetCharge,
    SeriesCharge,
    StandingCharge,
)
BY_KIND: Final = {kind.kind: kind for kind in KINDS}


def registers_of(charge: MeteredCharge) -> tuple[Register, ...]:
    """Return the registers that a charge depends on."""
    match charge:
        case NetCharge():
            return Register.IMPORT, Register.EXPORT
        case DemandCharge():
            return (Register.IMPORT,)
        case _:
            return (charge.register,)


def remembers(charge: Charge) -> TypeGuard[RememberingCharge]:
    """Tell whether a charge depends on the bills before."""
    return isinstance(charge, RememberingCharge) and charge.memory_shape is not None


def charge_canonical(charge: Charge) -> CborValue:
    """Return a charge as a document holds it."""
    return {"kind": charge.kind, "name": charge.name, **charge.canonical()}


def charge_from_canonical(value: CborValue) -> Charge:
    """Return the charge that a document holds."""
    fields = TariffReader(value, "charge")
    kind, name = fields.text("kind"), fields.text("name")
    if kind not in BY_KIND:
        raise MalformedTariff(f"unknown kind of charge {kind!r}")
    try:
        charge = BY_KIND[kind].from_fields(name, fields)
        fields.done()
    except MalformedTariff as error:
        raise error.within(f"charge {name}") from None
    return charge
