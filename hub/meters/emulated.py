# SPDX-License-Identifier: Apache-2.0
"""An emulated meter: it pushes readings as SML telegrams, as a real one does on its serial line.

What replayed and synthetic readings say beside their value travels in the status word of the
register's entry. Those bits are ours; the receiving end looks at them only where the server
identification is one of ours, too: 0A 01 'MTL' and a serial number.
"""

from collections.abc import Iterable, Iterator
from typing import Final

from hub.errors import HubError
from hub.readings import Reading, ReadingFlag, Readout
from protocols.metrology import ACTIVE_ENERGY_IMPORT
from sml_codec import (
    Body,
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

LIST_NAME: Final = bytes.fromhex("0100620affff")
"""1-0:98.10.255*255, the list of current values."""
UNIT_WH: Final = 30
STATUS_SHIFT: Final = 8
_PREFIX: Final = b"\x0a\x01MTL"
_SERIAL_SIZE: Final = 5
LARGEST_TIME: Final = 2**32 - 1
LARGEST_SENT_WH: Final = (2**63 - 1) // 10


class UnsendableReading(HubError):
    """A reading that no SML telegram can carry."""


def emulated_meter_id(serial: int) -> bytes:
    """Return the server identification of the emulated meter of that serial number."""
    return _PREFIX + serial.to_bytes(_SERIAL_SIZE, "big")


def is_emulated(meter: bytes) -> bool:
    """Tell whether a server identification belongs to an emulated meter."""
    return meter.startswith(_PREFIX) and len(meter) == len(_PREFIX) + _SERIAL_SIZE


def telegrams(
    meter: bytes, readings: Iterable[Reading | Readout], register: bytes = ACTIVE_ENERGY_IMPORT
) -> Iterator[bytes]:
    """Yield a framed SML telegram for each readout, to the tenth of a watt-hour.

    A reading by itself is one of `register`. Raises `UnsendableReading` for what does not fit one.
    """
    for number, given in enumerate(readings):
        readout = given if isinstance(given, Readout) else Readout({register: given})
        serial = number.to_bytes(4, "big")
        bodies: tuple[Body, ...] = (
            OpenRes(request_file_id=serial, server_id=meter),
            GetListRes(
                server_id=meter,
                list_name=LIST_NAME,
                sensor_time=Time(TimeChoice.TIMESTAMP, readout.time),
                entries=tuple(_entry(obis, reading) for obis, reading in readout.readings.items()),
            ),
            CloseRes(),
        )
        yield encode_frame(
            encode_file(
                [
                    Message(transaction_id=serial + bytes([place]), body=body)
                    for place, body in enumerate(bodies)
                ]
            )
        )


def _entry(register: bytes, reading: Reading) -> ListEntry:
    if not 0 <= reading.time <= LARGEST_TIME or reading.register_wh > LARGEST_SENT_WH:
        raise UnsendableReading(
            f"a reading of {reading.register_wh} Wh, {reading.time} s after 1970-01-01:"
            " a telegram's times end in 2106, its values at 64 bits"
        )
    return ListEntry(
        obis=Obis(register),
        status=int(reading.flags) << STATUS_SHIFT,
        unit=UNIT_WH,
        scaler=-1,
        value=10 * reading.register_wh,
    )


def flags_of(meter: bytes, status: int | None) -> ReadingFlag:
    """Return what a status word says of a reading: nothing, unless the meter is one of ours."""
    if status is None or not is_emulated(meter):
        return ReadingFlag.NONE
    return ReadingFlag((status >> STATUS_SHIFT) & (ReadingFlag.RESUMED | ReadingFlag.SUSPECT))
