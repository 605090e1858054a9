# SPDX-License-Identifier: Apache-2.0
"""Where readings come in: one door for each source, whatever its meters speak.

A door turns bytes into what the meters of the hub showed, sets aside what is odd, and counts what
came again or could not be read. `SmlDoor` is of one meter; `TelegramDoor` is of all those of a hub
that are heard at a source: a port with gas and water behind it, a bus, a radio, a display.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

from hub.device import Device
from hub.meters.admission import Admission
from hub.meters.clocks import TwoClocks
from hub.meters.kinds import NO_KEYS, MeterKeys, kind_of, reader_of
from hub.meters.odd import Odd, OddTelegram
from hub.meters.readers.current_cost import CurrentCostReader
from hub.meters.recognition import MeterKind, is_seven_bits
from hub.meters.sml_intake import LostTelegram, SmlIntake
from hub.meters.telegram_intake import MeterDoor, TelegramIntake
from hub.meters.telegrams import LostBytes, key_mark
from hub.quarantining import stored_at, unconfirmed_in
from hub.readings import Readout
from protocols.canonical.day_zone import wall_zone
from sml_codec import Obis

SURE_AFTER: Final = 1 << 16
"""Bytes of a line after which it is read as SML, where nothing shows a language."""
LOOK_AFTER: Final = 512
"""Bytes without a telegram after which another language is looked for; then twice as many."""
LOOK_AFTER_AT_MOST: Final = 1 << 14
LOOK_FROM: Final = (0, 16, 64, 256, 1024, 4096, 16_384)
"""Where in what came of late a language may begin, behind what looked like another."""
KEPT: Final = 8192
"""Bytes that are looked at once more."""

Shown = tuple[Device, Readout]
"""A meter of the hub, and what it showed."""


class Door(Protocol):
    """Where the bytes of one source come in."""

    def feed(self, data: bytes) -> list[Shown]:
        """Return the readouts that these bytes complete."""
        ...

    def close(self) -> list[Shown]:
        """Return what is left at the end."""
        ...

    def fetch_odd(self) -> list[OddTelegram]:
        """Return what was set aside since it was asked last."""
        ...

    def stored(self) -> None:
        """Keep what goes with the readouts that were stored, within their transaction."""
        ...

    def admission(self, meter: Device) -> Admission | None:
        """Return who judges what a meter shows; None: nobody does."""
        ...

    @property
    def lost(self) -> Sequence[LostTelegram | LostBytes]:
        """Bytes that no reading could be taken from."""
        ...

    @property
    def telegrams(self) -> int:
        """Intact telegrams so far."""
        ...

    @property
    def repeated(self) -> int:
        """How many of them had come before."""
        ...

    @property
    def why_nothing(self) -> str:
        """Why no reading came of the stream, where none did."""
        ...


@dataclass(slots=True)
class SmlDoor:
    """One meter that speaks SML."""

    device: Device
    intake: SmlIntake

    def feed(self, data: bytes) -> list[Shown]:
        """Return the readouts that these bytes complete."""
        return [(self.device, one) for one in self.intake.feed(data)]

    def close(self) -> list[Shown]:
        """Return what is left at the end; raise `NoTimeOfDay` where a capture has no moments."""
        return [(self.device, one) for one in self.intake.close()]

    def fetch_odd(self) -> list[OddTelegram]:
        """Return what was set aside since it was asked last."""
        admission = self.intake.admission
        if admission is None or not admission.set_aside:
            return []
        odd, admission.set_aside = admission.set_aside, []
        clocks = self.intake.clocks
        stepped = clocks is not None and any(one.kind is Odd.STEPPED for one in odd)
        if stepped and self.device.quarantine.clock(self.intake.meter) is None:
            # The resident has accepted one of them: both clocks are compared anew.
            self.intake.clocks = TwoClocks()
        return odd

    def stored(self) -> None:
        """Keep where both clocks stand."""
        clocks = self.intake.clocks
        if clocks is not None:
            self.device.quarantine.keep_clock(self.intake.meter, clocks.anchor)

    def admission(self, meter: Device) -> Admission | None:
        """Return who judges what the meter shows; None: nobody does."""
        return self.intake.admission

    @property
    def lost(self) -> Sequence[LostTelegram | LostBytes]:
        """Bytes that no reading could be taken from."""
        return self.intake.lost

    @property
    def telegrams(self) -> int:
        """Intact telegrams so far."""
        return self.intake.telegrams

    @property
    def repeated(self) -> int:
        """How many of them had come before."""
        return 0 if self.intake.admission is None else self.intake.admission.repeated

    @property
    def why_nothing(self) -> str:
        """Why no reading came of the stream, where none did."""
        if not self.intake.telegrams:
            return "no SML telegram in it"
        if not self.intake.lists:
            return "no telegram has a list of values"
        wanted = ", ".join(str(Obis(code)) for code in self.intake.registers)
        sent = ", ".join(map(str, self.intake.seen)) or "nothing"
        return f"no telegram has {wanted}; the meter sends {sent}"


@dataclass(slots=True)
class TelegramDoor:
    """The meters of a hub that are heard at a source."""

    meters: Sequence[Device]
    intake: TelegramIntake
    _by_door: dict[int, Device] = field(init=False)

    def __post_init__(self) -> None:
        pairs = zip(self.intake.doors, self.meters, strict=True)
        self._by_door = {id(door): device for door, device in pairs}

    def feed(self, data: bytes) -> list[Shown]:
        """Return the readouts that these bytes complete."""
        return [(self._by_door[id(door)], one) for door, one in self.intake.feed(data)]

    def close(self) -> list[Shown]:
        """Return what is left; raise `NoTimeInTelegrams` where a capture has no moments."""
        return [(self._by_door[id(door)], one) for door, one in self.intake.close()]

    def fetch_odd(self) -> list[OddTelegram]:
        """Return what was set aside since it was asked last."""
        odd: list[OddTelegram] = []
        for door in self.intake.doors:
            odd += door.admission.set_aside
            door.admission.set_aside = []
        return odd

    def stored(self) -> None:
        """Keep nothing: these meters say the time of day, or none."""

    def admission(self, meter: Device) -> Admission | None:
        """Return who judges what a meter shows."""
        return next(door.admission for door in self.intake.doors if door.name == meter.name)

    @property
    def lost(self) -> Sequence[LostTelegram | LostBytes]:
        """Bytes that no reading could be taken from."""
        return self.intake.lost

    @property
    def telegrams(self) -> int:
        """Intact telegrams so far, of any meter."""
        return self.intake.telegrams

    @property
    def repeated(self) -> int:
        """How many of them had come before."""
        return sum(door.admission.repeated for door in self.intake.doors)

    @property
    def why_nothing(self) -> str:
        """Why no reading came of the stream, where none did."""
        if not self.intake.telegrams:
            return "no telegram in it"
        wanted = "; ".join(
            f"{', '.join(str(Obis(code)) for code in door.registers)} of {door.printed_meter}"
            for door in self.intake.doors
        )
        heard = "; ".join(self.intake.seen)
        return f"no telegram is of {wanted}. Heard was {heard}"


@dataclass(frozen=True, slots=True)
class DoorOptions:
    """What is known of a source."""

    is_live: bool = False
    is_file: bool = False
    start: int | None = None
    """When a capture began, in epoch seconds."""
    step: int | None = None
    """Seconds between two telegrams that bring no time."""
    every_seconds: int = 0
    """Keep one reading in so long; 0: all."""
    keys: MeterKeys = NO_KEYS
    kind: MeterKind | None = None
    """What is spoken there, where that is known; None: it is found from the bytes."""


def key_marks(device: Device, options: DoorOptions) -> frozenset[bytes]:
    """Return the marks of a meter's keys: the sealed one, and the one that was said for a source.

    None of them: the meter is believed in clear.
    """
    sealed = device.meter_keys.find(device.name) or NO_KEYS
    said = options.keys.encryption if options.keys.by_number is None else None
    return frozenset(key_mark(one) for one in (sealed.encryption, said) if one is not None)


def admission_of(device: Device, options: DoorOptions) -> Admission:
    """Return who judges what a meter of the hub shows."""

    def covered(time: int) -> bool:
        begin = time - time % options.every_seconds
        main = device.main
        found = main.vault.between(main.channel, begin, begin + options.every_seconds - 1)
        return any(begin <= one.time < begin + options.every_seconds for one in found)

    return Admission(
        device.fuse,
        stored_at(device),
        device.last_readout(),
        is_live=options.is_live,
        covered=covered if options.every_seconds else None,
        unconfirmed=unconfirmed_in(device),
    )


def sml_door(device: Device, options: DoorOptions) -> SmlDoor:
    """Return the door of a meter that speaks SML."""
    meter = device.mounted_meter
    by_arrival = options.start is None and not options.is_file
    intake = SmlIntake(
        meter,
        device.description.registers,
        device.now,
        capture_start=options.start,
        every_seconds=options.every_seconds,
        admission=admission_of(device, options),
        clocks=TwoClocks(device.quarantine.clock(meter)) if by_arrival else None,
        is_capture=options.is_file,
        capture_step=options.step,
        mounted=lambda: device.mounted_meter,
        former=lambda: device.former_meters,
        latest=device.last_readout,
        has_key=lambda: bool(key_marks(device, options)),
    )
    return SmlDoor(device, intake)


def replay_door(device: Device, every_seconds: int = 0) -> SmlDoor:
    """Return the door of interval data: it goes on where the hub stands, or is refused whole."""
    registers = device.description.registers
    intake = SmlIntake(device.mounted_meter, registers, device.now, every_seconds=every_seconds)
    return SmlDoor(device, intake)


def telegram_door(
    meters: Sequence[Device], kind: MeterKind, options: DoorOptions, *, seven_bits: bool = False
) -> TelegramDoor:
    """Return the door of meters that speak another language, at one source."""
    [first, *_] = meters
    zone = wall_zone(first.description.zone)
    reader = reader_of(kind, zone, first.now, options.keys, seven_bits=seven_bits)
    if isinstance(reader, CurrentCostReader):
        _prepare(reader, meters, options)
    doors = [_meter_door(one, options, is_alone=len(meters) == 1) for one in meters]
    return TelegramDoor(meters, TelegramIntake(reader, doors, first.now))


def _prepare(reader: CurrentCostReader, meters: Sequence[Device], options: DoorOptions) -> None:
    """Tell a display's reader what is stored of its sensors, and of a capture its moments."""
    start, is_told = options.start, options.start is not None and options.step is not None
    is_capture = options.is_file or (is_told and not options.is_live)
    if is_capture:
        reader.replay(start, options.step)
    for one in meters:
        vault, channel = one.main.vault, one.main.channel
        last = vault.newest_received(channel)
        if last is not None and is_capture and start is not None and start < last.time:
            # A capture of a time that is stored: as before, its registers go on from its beginning.
            before = [r for r in vault.received(channel, start, start) if r.time <= start]
            last = before[-1] if before else None
        reader.begin_at(one.mounted_meter, 0 if last is None else last.register_wh)


def _meter_door(device: Device, options: DoorOptions, *, is_alone: bool) -> MeterDoor:
    return MeterDoor(
        device.name,
        device.description.registers,
        lambda: device.mounted_meter,
        admission_of(device, options),
        every_seconds=options.every_seconds,
        is_capture=options.is_file,
        capture_start=options.start,
        capture_step=options.step,
        keys=lambda: key_marks(device, options),
        is_named=bool(device.name) and not is_alone,
        former=lambda: device.former_meters,
        latest=device.last_readout,
    )


@dataclass(slots=True)
class ListeningDoor:
    """A door that is opened when it is sure what its meters speak.

    A burst of noise may look like another language than theirs. Until a telegram was read, what
    came is looked at anew every so often, without its beginning; another door takes over as soon as
    it reads one.
    """

    device: Device
    """For SML: the one meter."""
    meters: Sequence[Device]
    """For all other languages: those that may be heard."""
    options: DoorOptions
    kind: MeterKind | None = None
    """What was opened."""
    _waiting: bytearray = field(default_factory=bytearray)
    """What came of late, until a telegram was read."""
    _door: Door | None = None
    _is_proven: bool = False
    """Whether the language is known, or a telegram of it was read."""
    _is_seven_bits: bool = False
    _unseen: int = 0
    """Bytes since it was looked for another language."""
    _look_after: int = LOOK_AFTER
    _passed: list[LostBytes] = field(default_factory=list)
    """What was taken for another language."""

    def feed(self, data: bytes) -> list[Shown]:
        """Return the readouts that these bytes complete."""
        if self._door is not None and self._is_proven:
            return self._door.feed(data)
        self._waiting += data
        self._unseen += len(data)
        if self._door is not None:
            return self._proven(self._door.feed(data))
        kind = self.options.kind or kind_of(bytes(self._waiting))
        if kind is None:
            if len(self._waiting) >= SURE_AFTER:
                return self._open(MeterKind.SML)
            return []
        return self._open(kind)

    def close(self) -> list[Shown]:
        """Return what is left at the end; where no language was sure, it is read as SML."""
        kind = self.options.kind or MeterKind.SML
        found = [] if self._door is not None else self._open(kind)
        if not self._is_proven:
            found += self._look_again()
        assert self._door is not None
        return found + self._door.close()

    def _open(self, kind: MeterKind) -> list[Shown]:
        data = bytes(self._waiting)
        self._is_seven_bits = is_seven_bits(data)
        self._door, self.kind = self._door_of(kind, seven_bits=self._is_seven_bits), kind
        return self._proven(self._door.feed(data))

    def _door_of(self, kind: MeterKind, *, seven_bits: bool) -> Door:
        if kind is MeterKind.SML:
            return sml_door(self.device, self.options)
        return telegram_door(self.meters, kind, self.options, seven_bits=seven_bits)

    def _proven(self, found: list[Shown]) -> list[Shown]:
        """Return what was found; where no telegram was read by now, look for another language."""
        assert self._door is not None
        if self._door.telegrams or self.options.kind is not None:
            self._is_proven = True
            self._waiting.clear()
        elif self._unseen >= self._look_after:
            self._look_after = min(2 * self._look_after, LOOK_AFTER_AT_MOST)
            return found + self._look_again()
        return found

    def _look_again(self) -> list[Shown]:
        """Change to the language that a telegram can be read in, if there is one."""
        data, self._unseen = bytes(self._waiting), 0
        for start in (one for one in LOOK_FROM if one < len(data)):
            rest = data[start:]
            kind, seven_bits = kind_of(rest), is_seven_bits(rest)
            if kind is None or (kind, seven_bits) == (self.kind, self._is_seven_bits):
                continue
            door = self._door_of(kind, seven_bits=seven_bits)
            found = door.feed(rest)
            if door.telegrams:
                why = f"it looked like {self.kind}, and no telegram of that was in it"
                self._passed.append(LostBytes(0, why))
                self._door, self.kind, self._is_proven = door, kind, True
                self._waiting.clear()
                return found
        del self._waiting[:-KEPT]
        return []

    def fetch_odd(self) -> list[OddTelegram]:
        """Return what was set aside since it was asked last."""
        return [] if self._door is None else self._door.fetch_odd()

    def stored(self) -> None:
        """Keep what goes with the readouts that were stored."""
        if self._door is not None:
            self._door.stored()

    def admission(self, meter: Device) -> Admission | None:
        """Return who judges what a meter shows; None: nobody does."""
        return None if self._door is None else self._door.admission(meter)

    @property
    def lost(self) -> Sequence[LostTelegram | LostBytes]:
        """Bytes that no reading could be taken from."""
        lost = [] if self._door is None else self._door.lost
        return [*self._passed, *lost] if self._passed else lost

    @property
    def telegrams(self) -> int:
        """Intact telegrams so far."""
        return 0 if self._door is None else self._door.telegrams

    @property
    def repeated(self) -> int:
        """How many of them had come before."""
        return 0 if self._door is None else self._door.repeated

    @property
    def why_nothing(self) -> str:
        """Why no reading came of the stream, where none did."""
        return "nothing came" if self._door is None else self._door.why_nothing
