# SPDX-License-Identifier: Apache-2.0
"""What a P1 port with a gas meter behind it sends."""

from datetime import datetime
from zoneinfo import ZoneInfo

from meter_codecs.p1 import crc16

BERLIN = ZoneInfo("Europe/Berlin")


def port(time: int, wh: int, gas: int, *, meter: str = "E0043", gas_meter: str = "G0039") -> bytes:
    """Return what a port sends; gas is read on the hour."""
    said, hour = (
        f"{datetime.fromtimestamp(one, BERLIN):%y%m%d%H%M%S}W" for one in (time, time - time % 3600)
    )
    text = (
        "/ISK5\\2M550T-1012\r\n\r\n1-3:0.2.8(50)\r\n"
        f"0-0:1.0.0({said})\r\n0-0:96.1.1({meter.encode().hex()})\r\n"
        f"1-0:1.8.1({wh / 2000:010.3f}*kWh)\r\n1-0:1.8.2({wh / 2000:010.3f}*kWh)\r\n"
        f"0-1:24.1.0(003)\r\n0-1:96.1.0({gas_meter.encode().hex()})\r\n"
        f"0-1:24.2.1({hour})({gas / 1000:09.3f}*m3)\r\n!"
    )
    return text.encode() + f"{crc16(text.encode()):04X}\r\n".encode()
