# SPDX-License-Identifier: Apache-2.0
"""`meterlet hub`: make a hub, let readings in, serve its applets."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from itertools import takewhile
from pathlib import Path
from typing import IO, Any, Final

import rich_click as click

from hub.device import Description, Device
from hub.disclosure.countersigned import HeadDesk
from hub.doors import Door, DoorOptions, ListeningDoor, replay_door
from hub.intake import Intake, stored_keys
from hub.listening import Listener
from hub.metering import MeteredRegister
from hub.meters.emulated import emulated_meter_id, telegrams
from hub.meters.files.opened import FileReport
from hub.meters.fuse import DEFAULT_FUSE, LARGEST_AMPERES, Fuse
from hub.meters.kinds import MeterKeys
from hub.meters.line_text import hex_or_bytes
from hub.meters.recognition import MeterKind
from hub.meters.replay import parse_interval
from hub.meters.simulator import SyntheticHousehold
from hub.meters.sources import kind_at
from hub.readings import Reading, Readout
from hub.service.control import ask_status
from hub.service.lock import holder
from hub.text import utc_text
from hub.vault.vault import ReadingRefused
from meterlet.commands.beside_service import (
    require_free_line,
    require_free_place,
    service_lines,
)
from meterlet.commands.common import (
    FOLDER,
    PRESENT_FILE,
    SAY_WHICH,
    Hex,
    Shown,
    default_folder,
    hub_option,
    json_option,
    json_or_text,
    open_machine,
    period_options,
)
from meterlet.commands.door import door_facts, follow, hear_odd, report, swallow
from meterlet.commands.file_options import FileChoice, file_options
from meterlet.commands.hand_over import exchange_meter, hand_over
from meterlet.commands.hub_correct import correct
from meterlet.commands.hub_dial import dial, dial_certificate, dial_key
from meterlet.commands.hub_keys import keys
from meterlet.commands.hub_meters import (
    description_facts,
    key_options,
    meter_of,
    meters_group,
)
from meterlet.commands.hub_probe import probe_line
from meterlet.commands.hub_published import hub_published
from meterlet.commands.hub_readings import readings
from meterlet.commands.hub_run import run
from meterlet.commands.intake import (
    columns_of,
    file_chunks,
    following,
    live_chunks,
)
from meterlet.commands.reader import reader, restore, snapshot, unblock
from meterlet.commands.serving import (
    announce,
    complain,
    host_option,
    port_option,
    run_until_stopped,
)
from meterlet.key_files import public_key, public_pem
from meterlet.secret_files import SecretText
from protocols.metrology import ACTIVE_ENERGY_EXPORT, GridError, Period, is_feed_in_pair
from sml_codec import Obis

KILOWATTS: Final = click.FloatRange(0.1, 1000)


@click.group()
def hub() -> None:
    """The device at home: it stores readings and runs applets."""


for command in (
    correct, dial, dial_certificate, dial_key, exchange_meter, hand_over, hub_published, keys,
    meters_group, probe_line, reader, readings, restore, run, snapshot, unblock,
):  # fmt: skip
    hub.add_command(command)


@hub.command()
@click.argument(
    "folder",
    type=FOLDER,
    default=lambda: default_folder("hub"),
    help="Where the hub is to live: a new or empty folder.",
)
@click.option("--meter", type=Hex(), help="The meter's server identification.")
@click.option("--meter-text", help="The same in letters, for meters that do not speak SML.")
@click.option(
    "--serial",
    type=click.IntRange(1, (1 << 40) - 1),
    help="Serial number of an emulated meter, instead of --meter.",
)
@click.option(
    "--register",
    "registers",
    metavar="OBIS",
    multiple=True,
    default=["1-0:1.8.0*255"],
    show_default=True,
    help="A register that the hub is for; the first is the one that bills are about. Repeatable.",
)
@click.option(
    "--feed-in-register",
    metavar="OBIS",
    is_flag=False,
    flag_value="1-0:2.8.0*255",
    help="Also the register of what is fed in; without OBIS: 1-0:2.8.0*255.",
)
@click.option(
    "--zone", default="Europe/Berlin", show_default=True, help="Time zone of the local days."
)
@click.option(
    "--slot",
    type=click.Choice(["5", "15", "30", "60"]),
    default="15",
    show_default=True,
    help="Minutes of a slot.",
)
@click.option(
    "--vendor",
    "vendors",
    multiple=True,
    type=PRESENT_FILE,
    help="Public key (PEM) of a vendor whose applets are trusted.",
)
@click.option(
    "--authority",
    "authorities",
    multiple=True,
    type=PRESENT_FILE,
    help="Public key (PEM) of the metering authority, for sums over households.",
)
@click.option(
    "--fuse",
    "amperes",
    type=click.IntRange(1, LARGEST_AMPERES),
    help=f"The fuse before the meter, in A; without it {DEFAULT_FUSE}. What it would not let"
    " through is set aside.",
)
@click.option("--phases", type=click.IntRange(1, 3), help="With --fuse: 1 or 3 (default).")
@json_or_text("meterlet.hub.init/1")
def init(
    folder: Path,
    meter: bytes | None,
    meter_text: str | None,
    serial: int | None,
    registers: tuple[str, ...],
    feed_in_register: str | None,
    zone: str,
    slot: str,
    vendors: tuple[Path, ...],
    authorities: tuple[Path, ...],
    amperes: int | None,
    phases: int | None,
) -> Shown:
    """Make a hub with new keys in FOLDER, which must be new or empty."""
    if meter_text is not None and meter is None:
        meter = meter_text.encode()
    if (meter is None) == (serial is None):
        raise click.UsageError("say which meter: either --meter HEX or --serial N")
    if phases is not None and amperes is None:
        raise click.UsageError("--phases goes with --fuse")
    try:
        meter_id = meter or b"" if serial is None else emulated_meter_id(serial)
        codes = [Obis.parse(register).code for register in registers]
        if feed_in_register is not None:
            fed_in = Obis.parse(feed_in_register).code
            if not is_feed_in_pair(codes[0], fed_in):
                raise ValueError("the registers are not those of energy drawn and of energy fed in")
            codes.append(fed_in)
        fuse = None if amperes is None else Fuse(amperes, phases or 3)
        description = Description(meter_id, tuple(codes), zone, int(slot), fuse)
    except (ValueError, GridError) as error:
        raise click.UsageError(str(error)) from None
    trusted = [("vendors", path, public_key(path)) for path in vendors]
    trusted += [("authorities", path, public_key(path)) for path in authorities]
    with Device.create(folder, description) as device:
        for number, (kind, path, key) in enumerate(trusted):
            (folder / kind / f"{number}-{path.stem}.pem").write_bytes(public_pem(key))
        certifier = device.main.certifier.keys.public_key.public_bytes_raw().hex()
    limit = description.fuse or DEFAULT_FUSE
    made = {
        "hub": str(folder),
        "meter": meter_id.hex(),
        "certifier": certifier,
        "fuse_amperes": limit.amperes,
        "phases": limit.phases,
    }
    is_said = fuse is not None or serial is not None
    said = "" if is_said else f"; no --fuse was said: up to {limit} is believed"
    return made, f"made a hub for meter {meter_id.hex()} in {folder}{said}"


@hub.command()
@hub_option
@click.argument("source", help="A line, a file of telegrams or of readings, `-`, or `synthetic`.")
@click.option("--start", type=click.DateTime(), help="When a capture began (UTC).")
@click.option("--step", help="Time between a capture's telegrams where they bring none: 15min.")
@click.option("--every", default="0s", help="Keep one reading in so long, such as 1min.")
@file_options("files: ", names="[OBIS=]NAME")
@period_options(required=False, about="synthetic: ")
@click.option("--seed", default=1, show_default=True, help="synthetic: which household.")
@click.option("--solar", type=KILOWATTS, help="synthetic: with panels of so many kW (kWp).")
@click.option("--login", type=SecretText("r"), help="File with user:password, for HTTP and MQTT.")
@click.option(
    "--kind",
    type=click.Choice([str(one) for one in MeterKind if one is not MeterKind.DLMS_APDU]),
    help="What the meters speak; by default it is found from the bytes. Serial lines are then read"
    " at the usual speed of it.",
)
@click.option(
    "--once", is_flag=True, help="Live sources: end when the line does, or after asking once."
)
@click.option("--limit", type=click.IntRange(1), help="Stop after so many readings (live sources).")
@click.option("--of", metavar="NAME", help="Take readings of this further meter alone.")
@key_options
@json_option
def ingest(
    folder: Path,
    source: str,
    start: datetime | None,
    step: str | None,
    every: str,
    period: Period | None,
    seed: int,
    solar: float | None,
    login: IO[str] | None,
    kind: str | None,
    once: bool,
    limit: int | None,
    of: str | None,
    keys: MeterKeys,
    choice: FileChoice,
    as_json: bool,
) -> None:
    """Store readings, and certify the days that are over.

    SOURCE is a capture of telegrams (a file, or - for standard input), a file of interval data
    or registers (.csv, .tsv, .xml, packed or not, or any with --format or --column; with --kind it
    is one of telegrams), a serial line (serial:///dev/ttyUSB0?baud=9600&frame=8N1), a TCP peer
    (tcp://HOST:PORT), a web address that answers with the latest telegram (http://...), or
    `synthetic`. The register goes on from the last reading, and the time between is missing. Gaps
    are told. A live line that breaks is opened again.

    Meters that have to be asked: mbus:///dev/ttyUSB0?address=1,2&every=15min (a bus; mbus+tcp://
    for a bridge; without address= all that a search finds), d0:///dev/ttyUSB0?mode=C&every=15min
    (an optical port). Brokers: mqtt://HOST:PORT/TOPIC, mqtts://.

    The language is found from the bytes, or said by --kind. All meters of the hub that are heard
    are taken, but for SML, where it is the hub's own or the one of --of.

    Damaged telegrams are reported. Odd ones are set aside: `meterlet hub readings quarantine`. The
    intact ones are stored either way, and the exit code is then 1.
    """
    if "://" in source:
        require_free_line(folder, source)
    with Device.open(folder) as home:
        device = meter_of(home, of)
        meter = device.description
        every_seconds = 0 if every == "0s" else parse_interval(every)
        live = "://" in source
        spoken = MeterKind(kind) if kind is not None else kind_at(source)
        options = DoorOptions(
            is_live=live,
            is_file=not live and source != "-",
            start=None if start is None else int(start.replace(tzinfo=UTC).timestamp()),
            step=None if step is None else parse_interval(step),
            every_seconds=every_seconds,
            keys=keys if keys.encryption is not None else stored_keys(device, home),
            kind=spoken,
        )
        meters = home.every_meter if of is None else (device,)
        door: Door = ListeningDoor(device, meters, options)
        is_table = choice.takes(source, spoken)
        if source == "synthetic" or is_table:
            door = replay_door(device, every_seconds)
        latest = device.main.vault.newest_received(device.main.channel)
        file_report = FileReport()
        start_wh = _registers_stand(device)
        if source == "synthetic":
            if period is None:
                raise click.UsageError(f"synthetic: say which days, {SAY_WHICH}")
            fed_in = meter.feed_in_register
            if fed_in is not None and solar is None:
                raise click.UsageError("synthetic: the meter counts what is fed in; say --solar KW")
            if set(meter.registers) - {meter.register, fed_in}:
                raise click.UsageError("synthetic: only energy drawn and fed in can be made up")
            house = SyntheticHousehold(
                meter.zone,
                seed,
                solar_watts_peak=round(1000 * (solar or 0)),
                start_feed_in_wh=0 if fed_in is None else start_wh.get(fed_in, 0),
                registers=(meter.register, fed_in or ACTIVE_ENERGY_EXPORT),
            )
            if latest is not None:
                house = replace(house, start_register_wh=latest.register_wh)
            made = house.readouts(period.first, period.last, 60 * meter.slot_minutes)
            begins = period.bounds(meter.zone)[0]
            last = max(device.now(), begins)  # days that begin later are refused by the door
            readouts: Iterator[Readout] = takewhile(lambda one: one.time <= last, made)
            chunks: Iterator[bytes] = telegrams(device.mounted_meter, following(latest, readouts))
        elif is_table:
            columns = columns_of(meter, choice)
            replay = choice.replay(
                Path(source), columns, meter.zone, fuse=device.fuse, medium=meter.medium
            )
            readouts = replace(replay, start_wh=start_wh).readouts(report=file_report)
            readouts = _not_stored_yet(source, latest, readouts)
            chunks = telegrams(device.mounted_meter, following(latest, readouts))
        elif "://" in source:
            secret = login.read().strip() if login else None
            pieces = live_chunks(
                source,
                once=once,
                login=secret,
                kind=spoken,
                keys=options.keys,
                meters=lambda: [one.mounted_meter for one in meters],
            )
            chunks = hex_or_bytes(pieces, spoken)
        else:
            chunks = hex_or_bytes(file_chunks(source), spoken)
        no_further = device.certified_no_further()
        intake = Intake(home, door, limit, partial(hear_odd, source))
        is_interrupted = False
        if live:
            is_interrupted = follow(intake, chunks)
        else:
            with device.database.transaction():  # a file is taken as a whole, or not at all
                swallow(intake, source, chunks)
        newest = device.main.vault.latest(device.main.channel)
        if no_further is not None and newest is not None and newest.time > no_further:
            complain(
                f"readings after {utc_text(no_further)} are set aside, not certified: the meter's"
                " certificate has ended or was revoked"
            )
        report(intake, source, file_report, as_json, is_interrupted=is_interrupted)


def _not_stored_yet(
    source: str, latest: Reading | None, readouts: Iterator[Readout]
) -> Iterator[Readout]:
    """Yield a file's readouts; refuse it where readings of its time are stored already."""
    for number, readout in enumerate(readouts):
        if number == 0 and latest is not None and readout.time < latest.time:
            raise ReadingRefused(
                f"{source}: it begins at {utc_text(readout.time)}, and readings up to"
                f" {utc_text(latest.time)} are stored: `meterlet hub correct` changes those,"
                " `meterlet hub ingest` takes a file of later ones"
            )
        yield readout


def _registers_stand(device: Device) -> dict[bytes, int]:
    """Return where each register stood at its last reading, in watt-hours."""
    latest = {
        code: register.vault.newest_received(register.channel)
        for code, register in device.registers.items()
    }
    return {code: reading.register_wh for code, reading in latest.items() if reading is not None}


@hub.command()
@hub_option
@json_or_text("meterlet.hub.status/1")
def status(folder: Path) -> Shown:
    """Show the meter, the readings and the applets of a hub."""
    service = None
    if (process := holder(folder)) is not None and (service := ask_status(folder)) is None:
        complain(f"the hub's service (process {process}) does not answer")
    with Device.open(folder, description=_in_force(service)) as device:
        vault, channel = device.main.vault, device.main.channel
        latest, span = vault.latest(channel), device.main.journal.span()
        signed = HeadDesk(device.disclosure.log).kept()
        facts = {
            "hub": str(folder),
            "meter": channel.meter.hex(),
            "register": str(Obis(channel.register)),
            "registers": [
                {"register": str(Obis(code)), "certified_days": _certified_days(register)}
                for code, register in device.registers.items()
            ],
            **_feed_in_facts(device),
            "zone": device.description.zone,
            "slot_minutes": device.description.slot_minutes,
            "readings": vault.count(channel),
            "last_reading": None if latest is None else utc_text(latest.time),
            "certified_days": _certified_days(device.main),
            "first_day": None if span is None else span[0].isoformat(),
            "last_day": None if span is None else span[1].isoformat(),
            "certifier": device.main.certifier.keys.signing_public_key.hex(),
            **_meter_facts(device),
            **_further_facts(device),
            **door_facts(device),
            "log_entries": device.disclosure.log.verify(),
            "log_seen": [
                {
                    "recipient": kept.recipient,
                    "entries": kept.countersigned.head.length,
                    "time": utc_text(kept.time),
                    "digest": kept.countersigned.head.digest.hex(),
                    "key_id": kept.countersigned.key_id.hex(),
                    "signature": kept.countersigned.signature.hex(),
                }
                for kept in signed
            ],
        }
        strangers = device.disclosure.strangers.total()
        facts["strangers"] = {
            "connections": strangers.connections,
            "turned_away": strangers.turned_away,
            "wrong": strangers.wrong,
        }
        facts["service"] = service and {
            name: fact for name, fact in service.items() if name != "description"
        }
        codes, mounted = device.description.registers, device.mounted_meter
        further = facts.get("meters")
    seen = [f"{kept.recipient} up to {kept.countersigned.head.length}" for kept in signed]
    shown = {
        **facts,
        "meter": _meter_in_words(mounted, device.description.meter),
        **({"meters": "; ".join(map(_further_text, further))} if further else {}),
        "registers": ", ".join(map(str, map(Obis, codes))),
        "strangers": f"{strangers.connections:,} connections without a key,"
        f" {strangers.turned_away:,} turned away",
        "log_seen": ", ".join(seen) or None,
        "service": None if service is None else f"\n{'':18}".join(service_lines(service)),
    }
    return facts, [
        f"{name.replace('_', ' '):17} {'-' if value is None else value}"
        for name, value in shown.items()
    ]


def _in_force(service: dict[str, Any] | None) -> Description | None:
    """Return by which description the service goes, while hub.toml may be being edited."""
    return None if service is None else Description.from_toml(service["description"])


def _further_facts(device: Device) -> dict[str, list[dict[str, Any]]]:
    """Return what there is to say of further meters, if there are any."""
    found = [
        {
            "name": one.name,
            **description_facts(one.description),
            **_meter_facts(one),
            "readings": one.main.vault.count(one.main.channel),
            "last_reading": _last_reading(one),
            "certified_days": _certified_days(one.main),
            "certifier": one.main.certifier.keys.signing_public_key.hex(),
        }
        for one in device.meters.values()
    ]
    return {"meters": found} if found else {}


def _last_reading(device: Device) -> str | None:
    latest = device.main.vault.latest(device.main.channel)
    return None if latest is None else utc_text(latest.time)


def _further_text(facts: dict[str, Any]) -> str:
    return (
        f"{facts['name']} ({facts['medium']} {facts['printed']}): {facts['readings']:,} readings,"
        f" the last {facts['last_reading'] or 'never'}, {facts['certified_days']} days"
    )


def _meter_in_words(mounted: bytes, first: bytes) -> str:
    """Return which meter counts now, and which one gave the hub its name."""
    if mounted == first:
        return mounted.hex()
    return f"{mounted.hex()}, mounted in the place of {first.hex()}, which the hub is named for"


def _certified_days(register: MeteredRegister) -> int:
    span = register.journal.span()
    return 0 if span is None else span[2]


def _meter_facts(device: Device) -> dict[str, object]:
    """Return which meter counts now, and when the custody began, where that is not as at first."""
    facts: dict[str, object] = {}
    if device.mounted_meter != device.description.meter:
        facts["mounted_meter"] = device.mounted_meter.hex()
    if (begins := device.main.custody_begins) is not None:
        facts["custody_begins"] = begins.isoformat()
    return facts


def _feed_in_facts(device: Device) -> dict[str, object]:
    """Return what there is to say of the register of what is fed in, if there is one."""
    if device.feed_in is None:
        return {}
    return {
        "feed_in_register": str(Obis(device.feed_in.channel.register)),
        "feed_in_days": _certified_days(device.feed_in),
    }


@hub.command()
@hub_option
@host_option
@port_option(7816)
@json_option
def serve(folder: Path, host: str, port: int, as_json: bool) -> None:
    """Answer recipients' questions to the applets until interrupted.

    When a key of the hub is replaced, all connections end, and the hub goes on with the new one.
    """
    require_free_place(folder, "serve", host, port)
    listener = Listener(
        lambda: Device.open(folder),
        open_machine,
        host,
        port,
        announce("meterlet.hub.serve/1" if as_json else None),
        complain,
    )
    run_until_stopped(listener.run)
