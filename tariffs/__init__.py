# SPDX-License-Identifier: Apache-2.0
"""Prices over time, exact bills, and the documents that tariffs are signed as.

A tariff is written as TOML (`tariffs.source`), compiled into a canonical document and signed
(`tariffs.signing`). What is imported here needs the standard library only, no file and no native
code, so that it runs inside the applet machine as well; `SANDBOX_MODULES` lists its files.
"""

from typing import Final

from tariffs._slots import combine_states
from tariffs.bill import Bill, BillItem, SlotItem
from tariffs.billing import (
    MeteredPart,
    billed_registers,
    compute_bill,
    metered_parts,
    require_no_memory,
    total_from_amounts,
    total_from_energy_amount,
)
from tariffs.blocks import BlockCharge
from tariffs.clock import charged_days
from tariffs.demand import DemandCharge
from tariffs.document import MissingRule, Tariff
from tariffs.envelope import SignedParts, split_signed_tariff
from tariffs.errors import (
    MalformedTariff,
    MemoryRefused,
    PaymentRefused,
    SignatureRefused,
    TariffError,
    UnbillableReadings,
    UnpricedSlot,
)
from tariffs.gas import GasCharge
from tariffs.medium import Medium
from tariffs.memory import BillMemory, MemoryKey, bounds_of
from tariffs.net import NetCharge
from tariffs.price_index import PriceIndex
from tariffs.rounding import Rounding, RoundingRule
from tariffs.usage import Register

__all__ = [
    "SANDBOX_MODULES",
    "Bill",
    "BillItem",
    "BillMemory",
    "BlockCharge",
    "DemandCharge",
    "GasCharge",
    "MalformedTariff",
    "Medium",
    "MemoryKey",
    "MemoryRefused",
    "MeteredPart",
    "MissingRule",
    "NetCharge",
    "PaymentRefused",
    "PriceIndex",
    "Register",
    "Rounding",
    "RoundingRule",
    "SignatureRefused",
    "SignedParts",
    "SlotItem",
    "Tariff",
    "TariffError",
    "UnbillableReadings",
    "UnpricedSlot",
    "billed_registers",
    "bounds_of",
    "charged_days",
    "combine_states",
    "compute_bill",
    "metered_parts",
    "require_no_memory",
    "split_signed_tariff",
    "total_from_amounts",
    "total_from_energy_amount",
]

SANDBOX_MODULES: Final = (
    "__init__.py",
    "_document_reader.py",
    "_slots.py",
    "arithmetic.py",
    "bill.py",
    "billing.py",
    "blocks.py",
    "charges.py",
    "clock.py",
    "demand.py",
    "document.py",
    "energy.py",
    "envelope.py",
    "errors.py",
    "fixed.py",
    "gas.py",
    "medium.py",
    "memory.py",
    "net.py",
    "periods.py",
    "price_index.py",
    "rounding.py",
    "schedule.py",
    "settlement.py",
    "steps.py",
    "timetable.py",
    "usage.py",
    "version.py",
)
"""The files of this package that an applet which prices readings carries."""
