# SPDX-License-Identifier: Apache-2.0
"""`meterlet meter probe` and `meterlet hub probe`: what comes over a line, and how to take it in.

Both are one command: the second is where people look who are about to make a hub.
"""

import asyncio
import shlex
import time
from collections import Counter
from typing import IO, Any, Final
from urllib.parse import parse_qs, parse_qsl, urlsplit

import rich_click as click

from hub.meters.kinds import MeterKeys
from hub.meters.lines import ADVICE, LineKind, ProbedLine, ProbedMeter, is_known, probe
from hub.text import counted, noun_for, printed_id
from meterlet.commands.common import Exit, show
from meterlet.meter_keys import secrets_options
from meterlet.meter_views.capture import MeterSecrets, UnknownMeter, decoded
from meterlet.meter_views.events import NO_KEY, WRONG_AUTH_KEY, WRONG_KEY, Event
from meterlet.secret_files import SecretText
from meterlet.usual_registers import USUAL
from protocols.metrology import ACTIVE_ENERGY_EXPORT, ACTIVE_ENERGY_IMPORT, Medium
from sml_codec import Obis

BAUDS: Final = (9600, 115200, 300, 2400, 19200, 38400, 57600, 4800, 1200)
"""The speeds that are tried, the commonest first."""
EVEN_BAUDS: Final = (2400, 9600)
"""The speeds of lines of even parity, tried last: of M-Bus, and of some meters of DLMS."""
ENOUGH: Final = 3
"""Telegrams that tell all there is to tell."""
LARGEST: Final = 1 << 20
LOOK_EVERY: Final = 256
"""Bytes after which it is looked again whether they are enough."""
ASK: Final = {
    "dlms": "ask your grid operator for its two keys: GUEK (encryption) and GAK or AK"
    " (authentication)",
    "p1": "ask your grid operator for the key of its customer port (and for the authentication key,"
    " where it is not the public one)",
    "m-bus": "ask whoever reads this meter (landlord, water or heat company) for its AES key",
    "wm-bus": "ask whoever reads this meter (landlord, water or heat company) for its AES key",
}
"""Whom to ask for a key, by protocol."""
_MEDIA: Final = {
    Medium.ELECTRICITY: ("appliance", "electricity"),
    Medium.GAS: ("gas", "gas"),
    Medium.COLD_WATER: ("water", "water"),
    Medium.HOT_WATER: ("hot-water", "hot-water"),
    Medium.HEAT: ("heat", "heat"),
}
"""What a further meter may be called, and its --medium."""


def _command(schema: str) -> click.Command:
    """Return the command under one of its names."""

    @click.command("probe")
    @click.argument(
        "source", help="A line or a file: a serial device, serial://, tcp://, http://, or `-`."
    )
    @click.option(
        "--seconds",
        type=click.FloatRange(0.1, 3600),
        default=5.0,
        show_default=True,
        help="How long to listen, at each speed.",
    )
    @click.option("--login", type=SecretText("r"), help="File with user:password, for HTTP.")
    @secrets_options
    @click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
    def run(
        source: str,
        seconds: float,
        login: IO[str] | None,
        secrets: MeterSecrets,
        as_json: bool,
    ) -> None:
        """Say what comes over a line: protocol, meters, registers, clock, and which key is needed.

        SOURCE is as for `ingest`: a serial line, a TCP peer, a web address or a file. Of a serial
        line without ?baud= the common speeds are tried. The last lines are the commands that make
        the hub, or give it the meter. The exit code is 1 where no hub can take what comes.
        """
        secret = login.read().strip() if login else None
        found = _listen(source, seconds, secret, secrets)
        show(schema, found.facts(), found.lines(), as_json=as_json)
        if not found.has_registers:
            raise SystemExit(int(Exit.FAILURE))

    command: click.Command = run
    return command


class _Found:
    """What was found at a source."""

    def __init__(
        self, source: str, baud: int | None, data: bytes, secrets: MeterSecrets,
        *, is_whole: bool = True,
    ) -> None:  # fmt: skip
        self.source, self.baud, self.address = source, baud, source
        is_file = "://" not in source and not source.startswith("/dev/")
        keys = MeterKeys(secrets.key, secrets.auth_key)
        self.line = probe(data, keys, is_file=is_file, is_whole=is_whole)
        self.sealed = _sealed(self.line, data, secrets)

    @property
    def framing(self) -> str:
        """How the bytes are framed on the wire."""
        said = parse_qs(urlsplit(self.address).query).get("frame")
        if said is not None:
            return said[0]
        if self.line.is_seven_bits:
            return "7E1"
        return "8E1" if self.line.kind is LineKind.M_BUS else "8N1"

    @property
    def has_registers(self) -> bool:
        """Whether a hub can take anything of it."""
        return any(one.registers for one in self.line.meters)

    @property
    def advice(self) -> str:
        """What to do about it."""
        is_read = self.line.advice == ADVICE[LineKind.SML]
        if is_read and not self.sealed and not self.has_registers:
            return "a hub reads this, but nothing in it is a register that it takes"
        return self.line.advice

    def facts(self) -> dict[str, Any]:
        line = self.line
        return {
            "source": self.source,
            "protocol": line.kind.value,
            "why": None if line.found is None else line.found.why,
            "advice": self.advice,
            "baud": self.baud,
            "framing": self.framing if line.found is not None else None,
            "hex": line.is_hex,
            "damaged": line.damaged,
            "keys": [
                {"meter": meter, "fault": fault, "ask": ask} for meter, fault, ask in self.sealed
            ],
            "meters": [
                {
                    "meter": one.meter.hex(),
                    "printed": printed_id(one.meter),
                    "device_id": one.device_id,
                    "medium": str(one.medium),
                    "telegrams": one.telegrams,
                    "registers": [
                        {"register": str(r.obis), "step": r.step, "locked": r.is_coarse}
                        for r in one.registers
                    ],
                    "others": [str(obis) for obis in one.others],
                    "clock": one.clock,
                    "init": command,
                }
                for one, command in zip(line.meters, _commands(line), strict=True)
            ],
        }

    def lines(self) -> list[str]:
        line = self.line
        lines = [f"protocol    {line.kind}: {self.advice}"]
        if line.found is not None:
            lines.append(f"            {line.found.why}")
        if self.baud is not None and is_known(line):
            lines.append(f"baud rate   {self.baud}, {self.framing}")
        elif line.is_seven_bits:
            lines.append("            a line of seven bits and even parity (7E1)")
        if line.is_hex:
            lines.append("            sent as hex text")
        if line.damaged and not self.sealed:
            frames = counted(line.damaged, "frame")
            if line.kind is LineKind.SML:
                lines.append(f"damaged     {frames}")
            else:
                lines.append(f"not read    {frames} or {noun_for(line.damaged, 'telegram')}")
        for meter, fault, ask in self.sealed:
            wrong = "enciphered" if fault == NO_KEY else "enciphered, and the key does not fit"
            lines.append(f"key         {meter or 'the meter'} is {wrong}: {ask}")
        for one, command in zip(line.meters, _commands(line), strict=True):
            lines += _of_meter(line, one, command)
        if not line.meters and not self.sealed and line.found is not None:
            lines.append("registers   none: no telegram has a register that a hub takes")
        return lines


def _listen(source: str, seconds: float, login: str | None, secrets: MeterSecrets) -> _Found:
    """Return what comes at the first speed that shows something, or at the last."""
    found = _Found(source, None, b"", secrets)
    for number, (speed, address) in enumerate(_addresses(source)):
        try:
            data, is_whole = _sample(address, seconds, login, secrets)
        except OSError:
            if number == 0:  # a line that is not there; not one that has not all speeds
                raise
            continue
        heard = _Found(source, speed, data, secrets, is_whole=is_whole)
        heard.address = address
        if is_known(heard.line):
            return heard
        if found.line.found is None:
            found = heard
    return found


def _sealed(
    line: ProbedLine, data: bytes, secrets: MeterSecrets
) -> list[tuple[str | None, str, str]]:
    """Return whose telegrams need a key, or another one, and whom to ask for it."""
    if line.found is None or line.kind is LineKind.SML:
        return []
    from sml_codec.hextext import as_bytes

    try:
        view = decoded(as_bytes(data), secrets=secrets)
    except UnknownMeter:
        return []
    sealed: dict[tuple[str | None, str], str] = {}
    for one in view["telegrams"]:
        fault = one.get("fault")
        if fault in (NO_KEY, WRONG_KEY, WRONG_AUTH_KEY):
            sealed[_sender(one), fault] = ASK[one["protocol"]]
    return [(meter, fault, ask) for (meter, fault), ask in sealed.items()]


def _sender(telegram: Event) -> str | None:
    meter = telegram["meter"] or telegram.get("system_title")
    return None if meter is None else str(meter)


def _addresses(source: str) -> list[tuple[int | None, str]]:
    if source.startswith("/dev/"):
        source = f"serial://{source}"
    if not source.startswith("serial://"):
        return [(None, source)]
    from hub.meters.sources.lines import line_of

    parts = urlsplit(source)
    try:
        options = dict(parse_qsl(parts.query, strict_parsing=bool(parts.query)))
        line = line_of(parts.path, options)
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    if "baud" in options:
        return [(line.baud, source)]
    more = "".join(f"&{name}={text}" for name, text in options.items())
    tried = [(baud, "") for baud in BAUDS] + [(baud, "&frame=8E1") for baud in EVEN_BAUDS]
    return [
        (baud, f"serial://{line.device}?baud={baud}{more}{frame}")
        for baud, frame in tried
        if not (frame and "frame" in options)
    ]


def _sample(
    address: str, seconds: float, login: str | None, secrets: MeterSecrets
) -> tuple[bytes, bool]:
    """Return what comes within so many seconds, and whether the source has ended.

    As soon as it is enough, no more is taken.
    """
    from hub.meters.sources import SourceOptions, open_meter_source
    from sml_codec.sources import open_source

    async def listen() -> tuple[bytes, bool]:
        data, looked_at = bytearray(), 0
        begin = time.monotonic()
        source = (
            open_meter_source(address, SourceOptions(login))
            if "://" in address
            else open_source(address)
        )
        while len(data) < LARGEST:
            left = begin + seconds - time.monotonic()
            try:
                piece = await asyncio.wait_for(anext(source, None), max(left, 0.01))
            except TimeoutError:
                break
            if piece is None:
                return bytes(data), True
            data += piece
            if len(data) - looked_at >= max(LOOK_EVERY, looked_at // 4):
                looked_at = len(data)
                if _is_enough(bytes(data), secrets):
                    break
        return bytes(data), False

    try:
        return asyncio.run(listen())
    except ValueError as error:
        raise click.UsageError(str(error)) from None


def _is_enough(data: bytes, secrets: MeterSecrets) -> bool:
    """Tell whether so many telegrams are there that more would show nothing new.

    Some meters send their registers in few of their telegrams: they are waited for.
    """
    from hub.meters.recognition import recognise_meter
    from sml_codec.hextext import as_bytes

    try:
        wire = as_bytes(data)
        found = recognise_meter(wire, secrets.key)
        if found is None or not found.is_sure:
            return False
        view = decoded(wire, kind=found.kind.value, secrets=secrets)
    except (ValueError, UnknownMeter):
        return False
    if len(view["telegrams"]) < ENOUGH:
        return False
    if any(one.get("fault") in (NO_KEY, WRONG_KEY, WRONG_AUTH_KEY) for one in view["telegrams"]):
        return True
    line = probe(data, MeterKeys(secrets.key, secrets.auth_key))
    return any(one.registers for one in line.meters)


def _of_meter(line: ProbedLine, one: ProbedMeter, command: str | None) -> list[str]:
    printed = f" ({one.device_id})" if one.device_id else ""
    medium = "" if line.kind is LineKind.SML else f", {one.medium}"
    lines = [f"meter       {printed_id(one.meter)}{printed}{medium}"]
    for register in one.registers:
        locked = ": locked, unlock the meter with its PIN" if register.is_coarse else ""
        lines.append(f"register    {register.obis} in steps of {register.step}{locked}")
    if one.others:
        lines.append(f"also sends  {', '.join(map(str, one.others))}")
    lines.append(f"clock       {_CLOCKS[one.clock]}")
    lines.append(command or "no register of energy or volume: no hub can take it")
    return lines


_CLOCKS: Final = {
    "time of day": "sends the time of day",
    "wrong time of day": "stands before 2008: its readings would be set aside, have the clock set",
    "counts seconds": "counts seconds: readings are stamped on arrival, captures need --start",
    "none": "sends no time: readings are stamped on arrival, captures need --start and --step",
}


def _commands(line: ProbedLine) -> list[str | None]:
    """Return the command for each meter that makes a hub, or gives it to one; None if none does."""
    numbers: Counter[str] = Counter()
    return [_init(line, one, numbers) for one in line.meters]


def _init(line: ProbedLine, one: ProbedMeter, numbers: Counter[str]) -> str | None:
    codes = [register.obis.code for register in one.registers]
    if not codes:
        return None
    if line.kind is LineKind.SML:
        name = f"--meter {one.meter.hex()}"
    else:
        name = f"--meter-text {shlex.quote(printed_id(one.meter))}"
    if one.medium is not Medium.ELECTRICITY or line.kind is LineKind.CURRENT_COST:
        called, medium = _MEDIA.get(one.medium, ("cold", "heat"))
        numbers[called] += 1
        number, register = numbers[called], ""
        if one.medium not in _MEDIA:
            register = str(Obis(codes[0]))
        if number > 1:  # a register is of one meter: B of its code tells them apart
            usual = Obis.parse(register or USUAL[medium][0]).code
            register = str(Obis(bytes([usual[0], usual[1] + number - 1, *usual[2:]])))
            called = f"{called}-{number}"
        code = f" --register '{register}'" if register else ""
        return f"meterlet hub meters add {called} --hub hub --medium {medium}{code} {name}"
    command = f"meterlet hub init hub {name}"
    if _has(codes, ACTIVE_ENERGY_IMPORT):
        return command + (" --feed-in-register" if _has(codes, ACTIVE_ENERGY_EXPORT) else "")
    return f"{command} --register {Obis(codes[0])}"


def _has(codes: list[bytes], total: bytes) -> bool:
    """Tell whether a register is there, or the tariffs that it is the sum of."""
    return any((code[0], code[2:4]) == (total[0], total[2:4]) for code in codes)


probe_line: Final = _command("meterlet.hub.probe/1")
probe_meter: Final = _command("meterlet.meter.probe/1")
