# SPDX-License-Identifier: Apache-2.0
"""Telegrams of a meter that is not one of ours, as the field has them, and the shared files."""

import re
from pathlib import Path
from typing import Final

from sml_codec import (
    CloseRes,
    GetListRes,
    ListEntry,
    Message,
    Obis,
    OpenRes,
    Time,
    TimeChoice,
    encode_file,
    encode_frame,
)
from tests.support.shared import SHARED, needs_shared

FIELD_METERS: Final = SHARED / "field" / "meters"
needs_field_meters = needs_shared(FIELD_METERS)
FIELD_BILLS: Final = SHARED / "field" / "bills"
needs_field_bills = needs_shared(FIELD_BILLS)
METER: Final = bytes.fromhex("0a01585858000000beef")
NEIGHBOUR: Final = bytes.fromhex("0a01585858000000cafe")
ENERGY: Final = Obis.parse("1-0:1.8.0*255")
MARCH: Final = 1_740_783_600
"""2025-03-01, midnight in Berlin."""
APRIL: Final = MARCH + 31 * 86_400 - 3600
"""2025-04-01, midnight in Berlin: in March an hour is left out."""
A_EURO_A_KILOWATT_HOUR: Final = """
format = 1
name = "a euro a kilowatt-hour"
revision = 1
currency = "EUR"
zone = "Europe/Berlin"
valid_from = 2025-01-01
valid_until = 2026-01-01
rounding = { rule = "half-up", decimals = 3 }
[[charge]]
name = "energy"
kind = "energy"
price = "1"
"""


def named_in_table(readme: Path) -> set[str]:
    """Return all files that the first cells of a table name: all that are to be tried."""
    cells = [line.split("|")[1] for line in readme.read_text().splitlines() if line[:1] == "|"]
    return set(re.findall(r"[\w-]+(?:[_.][\w-]+)+", " ".join(cells[2:])))


def telegram(
    wh: float,
    time: int | None = None,
    *,
    count: int | None = None,
    meter: bytes = METER,
    scaler: int = -1,
    own_time: int | None = None,
) -> bytes:
    """Return a frame with a register in watt-hours, and a time of day or a count of seconds."""
    stamp = None
    if time is not None:
        stamp = Time(TimeChoice.TIMESTAMP, time)
    elif count is not None:
        stamp = Time(TimeChoice.SECOND_INDEX, count)
    own = None if own_time is None else Time(TimeChoice.TIMESTAMP, own_time)
    value = round(wh * 10 ** (-scaler)) if scaler < 0 else int(wh) // 10**scaler
    entry = ListEntry(obis=ENERGY, unit=30, scaler=scaler, value=value, time=own)
    body = GetListRes(server_id=meter, sensor_time=stamp, entries=(entry,))
    bodies = OpenRes(request_file_id=b"1", server_id=meter), body, CloseRes()
    return encode_frame(encode_file([Message(transaction_id=b"t", body=one) for one in bodies]))
