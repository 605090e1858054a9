# SPDX-License-Identifier: Apache-2.0
"""A ledger's entries, each verified again from its evidence, and the chains that they make."""

from tests.support.year_home import YearHome
from utility_server.retail.audit import check_entry
from utility_server.retail.carried_states import EnteredChains


def check_ledger(home: YearHome) -> None:
    """Raise where an entry is wrong, or the carried states are not those of the entries."""
    chains = EnteredChains()
    for entry in home.utility.ledger.entries():
        check_entry(home.utility, entry)
        chains.add(entry)
    chains.require(home.utility.carried_states)
