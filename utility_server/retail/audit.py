# SPDX-License-Identifier: Apache-2.0
"""Verifies entries of the ledger again, each kind from its evidence."""

from collections.abc import Callable, Mapping
from typing import Final

from utility_server.retail.ledger import LedgerEntry
from utility_server.retail.profiling import check_profile_entry
from utility_server.retail.settlement import check_settlement_entry
from utility_server.retail.utility import Utility

CHECKS: Final[Mapping[str, Callable[[Utility, LedgerEntry], None]]] = {
    "bill": Utility.check,
    "settlement": check_settlement_entry,
    "profile": check_profile_entry,
}


def check_entry(office: Utility, entry: LedgerEntry) -> None:
    """Raise `VerificationFailed` or `CannotVerify` if an entry says anything but what was proved.

    Entries that claim nothing (`refused`) are passed over.
    """
    if entry.kind in CHECKS:
        CHECKS[entry.kind](office, entry)
