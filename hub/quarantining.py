# SPDX-License-Identifier: Apache-2.0
"""What becomes of telegrams that were set aside: readings at the resident's word, or nothing.

    accept      it is stored if it is later than the last reading, else it is a correction
    drop        it is forgotten
    exchange    telegrams of the new meter are readings from its first moment on

Errors: NotAcceptable, and those of the vault and of corrections
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from hub.device import Device
from hub.errors import HubError
from hub.meters.admission import EARLIEST, LARGEST_LEAD, Admission, Candidate
from hub.meters.emulated import is_emulated
from hub.meters.odd import Odd, OddTelegram
from hub.meters.quarantine import SetAside
from hub.readings import Readout
from hub.text import utc_text
from sml_codec import Obis

MOST_EMPTY_DAYS: Final = 1_000
"""Days without readings that one telegram may bring about at the resident's word."""
_DAY: Final = 86_400


class NotAcceptable(HubError):
    """What was set aside cannot become a reading."""


@dataclass(frozen=True, slots=True)
class Accepted:
    """What became of telegrams that were accepted."""

    stored: int
    """Readings that follow those that were known."""
    corrected: int
    """Readings that are between those that were known."""
    days: int
    """Days that were certified then."""


def accept(device: Device, numbers: Sequence[int]) -> Accepted:
    """Make readings of telegrams that were set aside, all of them or none.

    Raises `NotAcceptable` where one cannot be a reading, `UnknownOddTelegram` where there is none.
    """
    stored = corrected = 0
    with device.database.transaction():
        chosen = device.quarantine.find(numbers)
        for one in sorted(chosen, key=lambda one: one.telegram.time or 0):
            meter = meter_of(device, one.telegram)
            last = meter.last_readout()
            readout = _readout(meter, one, last)
            if last is None or readout.time > last.time:
                stored += meter.store([readout])
            else:
                meter.correct([readout], may_replace=True)
                corrected += 1
            device.quarantine.keep_clock(meter.mounted_meter, None)
        device.quarantine.remove([one.number for one in chosen])
        days = device.certify()
    return Accepted(stored, corrected, days)


def meter_of(device: Device, telegram: OddTelegram) -> Device:
    """Return the meter of a hub that a telegram is of, by its registers; else the hub's own."""
    codes = telegram.registers.keys()
    found = (one for one in device.every_meter if codes == one.registers.keys())
    return next(found, device)


def drop(device: Device, numbers: Sequence[int]) -> int:
    """Forget telegrams that were set aside; return how many."""
    with device.database.transaction():
        chosen = device.quarantine.find(numbers)
        device.quarantine.remove([one.number for one in chosen])
    return len(chosen)


def take_new_meter(device: Device) -> int:
    """Store what was set aside of the meter that counts now; return how many readings.

    What does not follow stays set aside.
    """
    meter, codes = device.mounted_meter, device.registers.keys()
    with device.database.transaction():
        last = device.last_readout()
        begins = 0 if last is None else last.time
        waiting = [
            one
            for one in device.quarantine.all()
            if one.telegram.meter == meter
            and one.telegram.time is not None
            and one.telegram.time >= begins
            and one.telegram.registers.keys() == codes
        ]
        admission = Admission(device.fuse, stored_at(device), last)
        gone: list[int] = []
        readouts: list[Readout] = []
        for one in sorted(waiting, key=lambda one: (one.telegram.time or 0, one.number)):
            readout = one.telegram.readout()
            if readout is None:
                continue
            readouts += admission.admit(_candidate(one.telegram, readout))
            if not admission.set_aside:
                gone.append(one.number)
            admission.set_aside.clear()
        device.store(readouts)
        device.quarantine.remove(gone)
    return len(readouts)


def exchange_command(device: Device, foreign: OddTelegram) -> str | None:
    """Return the command that records that a meter was exchanged for the one of a telegram.

    None where none was: what a meter has sent that was taken down since does not put it up again.
    The same meter's registers may have restarted: that is an exchange, too.
    """
    last = device.last_readout()
    if foreign.meter in device.former_meters:
        return None  # it was taken down: its telegrams are of before
    if last is None or foreign.time is None or foreign.registers.keys() != device.registers.keys():
        return None
    at = max(foreign.time, last.time + 2)
    shown = " ".join(
        f"--register {Obis(code)}={reading.register_wh}:{foreign.registers[code]}"
        for code, reading in last.readings.items()
    )
    moment = utc_text(at).removesuffix("Z").replace(" ", "T")
    return f"meterlet hub exchange-meter --at {moment} --meter {foreign.meter.hex()} {shown}"


def stored_at(device: Device) -> Callable[[int], Mapping[bytes, int] | None]:
    """Return what finds what the registers showed at a moment, as far as that is stored."""

    def find(time: int) -> Mapping[bytes, int] | None:
        found = {
            code: reading.register_wh
            for code, register in device.registers.items()
            for reading in register.vault.received(register.channel, time, time)
            if reading.time == time
        }
        return found if len(found) == len(device.registers) else None

    return find


def unconfirmed_in(device: Device) -> Callable[[], list[OddTelegram]]:
    """Return what finds the telegrams that nothing has confirmed yet, in the order of time."""

    def find() -> list[OddTelegram]:
        telegrams = (one.telegram for one in device.quarantine.all())
        ahead = [
            one
            for one in telegrams
            if one.kind is Odd.AHEAD
            and one.time is not None
            and one.registers.keys() == device.registers.keys()
        ]
        return sorted(ahead, key=lambda one: one.time or 0)

    return find


def taken_anew(device: Device, admission: Admission, readouts: Sequence[Readout]) -> list[Readout]:
    """Return the readouts that follow from what is stored by now, and set the others aside.

    The vault has refused them, since another hand has stored readings meanwhile.
    """
    admission.catch_up(device.last_readout())
    meter, now = device.mounted_meter, device.now()
    return [
        taken
        for readout in readouts
        for taken in admission.admit(Candidate(readout, meter, 0, now, {}))
    ]


def _readout(device: Device, one: SetAside, last: Readout | None) -> Readout:
    telegram, name = one.telegram, f"{one.number} of what is set aside"
    if telegram.meter != device.mounted_meter:
        meter = telegram.meter.hex()
        if telegram.meter in device.former_meters:
            raise NotAcceptable(f"{name} is of meter {meter}, which was taken down: drop it")
        command = exchange_command(device, telegram) or "meterlet hub exchange-meter"
        raise NotAcceptable(
            f"{name} is of meter {meter}, which does not count here: drop it, or if the meter was"
            f" exchanged, this takes all of it: {command}"
        )
    readout = telegram.readout()
    if readout is None or telegram.registers.keys() != device.registers.keys():
        raise NotAcceptable(f"{name} has not all registers, or its time is not known: drop it")
    if readout.time > device.now() + LARGEST_LEAD:
        raise NotAcceptable(
            f"{name} is of {utc_text(readout.time)}, which has not come yet: drop it"
        )
    if readout.time < EARLIEST and not is_emulated(telegram.meter):
        raise NotAcceptable(
            f"{name} is of {utc_text(readout.time)}, before there were such meters: drop it"
        )
    empty = (device.now() - readout.time if last is None else readout.time - last.time) // _DAY
    if empty > MOST_EMPTY_DAYS:
        raise NotAcceptable(
            f"{name} would have {empty:,} days certified as empty: drop it, or ingest it once more"
            " together with telegrams that follow from it"
        )
    if last is not None and readout.time > last.time:
        for code, reading in readout.readings.items():
            if reading.register_wh < last.readings[code].register_wh:
                restart = exchange_command(device, telegram)
                advice = f", or record that the meter counts anew: {restart}" if restart else ""
                raise NotAcceptable(
                    f"{name}: {Obis(code)} shows less than the last reading, so that none can"
                    f" follow from it: drop it{advice}"
                )
    admission = Admission(device.fuse, stored_at(device), last)
    return admission.with_resolution(_candidate(telegram, readout))


def _candidate(telegram: OddTelegram, readout: Readout) -> Candidate:
    return Candidate(readout, telegram.meter, telegram.offset, telegram.arrival, {})
