# SPDX-License-Identifier: Apache-2.0
"""`meterlet utility chain`: which certified days of a meter are known, and what they told of it."""

from pathlib import Path
from typing import Any

import rich_click as click

from meterlet.commands.common import Hex, Shown, json_or_text, one_line_errors, utility_option
from protocols.metrology import MeterExchange
from sml_codec import Obis
from utility_server.database import reading
from utility_server.errors import UnknownCustomer
from utility_server.retail.chains import KnownChain, MeterChange, known_chains
from utility_server.retail.utility import Utility


@click.command("chain")
@utility_option
@click.argument(
    "meter",
    type=Hex(),
    required=False,
    help="The meter's server identification in hex; by default all.",
)
@click.option("--meter", "named", type=Hex(), hidden=True, help="METER, said as an option.")
@json_or_text("meterlet.utility.chain/1")
def chain(folder: Path, meter: bytes | None, named: bytes | None) -> Shown:
    """Show how far the chain of certified days of METER is known: exchanges and custody.

    METER is the one that the hub is named for.

    Bills extend it. A custody begins where another resident took the hub over: no bill spans that
    day.
    """
    if (meter is None) == (named is None):
        raise click.UsageError("say which METER, once")
    meter = meter or named or b""
    with one_line_errors(), Utility.open(folder) as utility:
        if meter not in utility.customers.meters():
            raise UnknownCustomer(f"meter {meter.hex()} is not enrolled")
        with reading(utility.engine) as connection:
            chains = known_chains(connection, meter)
    facts = {"meter": meter.hex(), "registers": [_facts(one) for one in chains]}
    if not chains:
        return facts, f"no certified day of meter {meter.hex()} is known; bills tell of them"
    return facts, [line for one in chains for line in _lines(one)]


def _facts(known: KnownChain) -> dict[str, Any]:
    begins = known.custody_begins
    return {
        "register": str(Obis(known.register)),
        "days": known.days,
        "first_day": known.first.isoformat(),
        "last_day": known.last.isoformat(),
        "mounted": known.mounted.hex(),
        "custody_begins": None if begins is None else begins.isoformat(),
        "changes": [_change(one) for one in known.changes],
    }


def _change(change: MeterChange) -> dict[str, Any]:
    event, day = change.event, change.day.isoformat()
    if isinstance(event, MeterExchange):
        meters = {"old_meter": event.old_meter.hex(), "new_meter": event.new_meter.hex()}
        return {"kind": "meter exchange", "day": day, **meters}
    return {"kind": "custody", "day": day}


def _lines(known: KnownChain) -> list[str]:
    days = f"{known.days} certified days, {known.first} to {known.last}"
    lines = [f"{Obis(known.register)}: {days}; meter {known.mounted.hex()} counts"]
    for one in map(_change, known.changes):
        if one["kind"] == "custody":
            lines.append(f"  {one['day']}: another custody begins; no bill spans this day")
        else:
            old, new = one["old_meter"], one["new_meter"]
            lines.append(f"  {one['day']}: meter {old} exchanged for meter {new}")
    return lines
