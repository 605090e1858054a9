# SPDX-License-Identifier: Apache-2.0
"""Prints the power that a meter measures, as it sends it: watch_power.py /dev/ttyUSB0.

Any source will do: serial:///dev/ttyUSB0?baud=9600, tcp://host:port, http://bridge/data, or a file.
"""

import asyncio
import sys

from sml_codec import ListEntry, Obis
from sml_codec.sources import open_source, telegrams

POWER = Obis.parse("1-0:16.7.0*255")


async def main(address: str) -> None:
    async for telegram in telegrams(open_source(address)):
        if not telegram.is_intact:
            continue
        for entry in telegram.entries():
            if isinstance(entry, ListEntry) and entry.obis == POWER:
                print(entry.scaled, entry.unit_symbol)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
