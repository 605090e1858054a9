# SPDX-License-Identifier: Apache-2.0
"""Meterlet: an in-home metering hub that proves bills and sums instead of sending readings.

What is listed here is for scripts; docs/python.md shows how to use it. Each name is imported when
it is first used, so that a script pays for no more than that.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from meterlet.priced_readings import IntervalUse, load_tariff, price, read_csv
    from meterlet.sml_capture import SmlCapture, decode_sml
    from meterlet.verified_bundles import (
        BillLine,
        BundleMemory,
        VerifiedBillBundle,
        VerifiedProfileBundle,
        VerifiedSettlementBundle,
        verify_bill,
        verify_bundle,
        verify_chain,
    )
    from protocols.errors import MeterletError
    from protocols.metrology import Period
    from tariffs import Bill, Tariff
    from utility_server.errors import CannotVerify, VerificationFailed

__all__ = [
    "Bill",
    "BillLine",
    "BundleMemory",
    "CannotVerify",
    "IntervalUse",
    "MeterletError",
    "Period",
    "SmlCapture",
    "Tariff",
    "VerificationFailed",
    "VerifiedBillBundle",
    "VerifiedProfileBundle",
    "VerifiedSettlementBundle",
    "decode_sml",
    "load_tariff",
    "price",
    "read_csv",
    "verify_bill",
    "verify_bundle",
    "verify_chain",
]

_MODULES: Final = {
    "meterlet.priced_readings": ("IntervalUse", "load_tariff", "price", "read_csv"),
    "meterlet.sml_capture": ("SmlCapture", "decode_sml"),
    "meterlet.verified_bundles": (
        "BillLine",
        "BundleMemory",
        "VerifiedBillBundle",
        "VerifiedProfileBundle",
        "VerifiedSettlementBundle",
        "verify_bill",
        "verify_bundle",
        "verify_chain",
    ),
    "protocols.errors": ("MeterletError",),
    "protocols.metrology": ("Period",),
    "tariffs": ("Bill", "Tariff"),
    "utility_server.errors": ("CannotVerify", "VerificationFailed"),
}
_HOME: Final = {name: module for module, names in _MODULES.items() for name in names}


if not TYPE_CHECKING:  # so that a type checker finds a name that does not exist

    def __getattr__(name: str) -> Any:
        if name not in _HOME:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return __all__
