# SPDX-License-Identifier: Apache-2.0
"""`meterlet meter read`: ask a meter by DLMS, over TCP or a serial line.

    dlms://HOST:PORT            the wrapper of IEC 62056-47
    hdlc://HOST:PORT            HDLC over TCP: a converter in front of a serial line
    serial:///dev/ttyUSB0       HDLC over the line itself; ?baud=9600&frame=8N1

Every message under a key has a number, and a number that is used twice gives the key away. So with
a key there is a file that says which number is next. It is written before a number is used.
"""

import asyncio
import fcntl
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qsl, urlsplit

import rich_click as click

from dlms_codec import DlmsError, Keys, Obis
from dlms_codec.apdus.acse import Mechanism
from dlms_codec.apdus.addressing import Attribute
from dlms_codec.authentication import Credentials
from dlms_codec.client import DlmsClient, connect, read_counter
from dlms_codec.client_settings import ClientSettings
from dlms_codec.data import Array, Data, Structure
from dlms_codec.datetimes import DateTime
from dlms_codec.errors import RequestRefused
from dlms_codec.link import HdlcLink
from dlms_codec.numbers import Enum, SizedInt
from dlms_codec.secure_messaging import SendCounter
from dlms_codec.selecting import Entries
from dlms_codec.serial_line import open_serial
from hub.meters.sources.lines import line_of
from hub.vault.secret_file import write_secret
from meterlet.commands.common import FILE, Exit, fail, json_option, show
from meterlet.meter_keys import secrets_options
from meterlet.meter_views.capture import MeterSecrets
from meterlet.meter_views.dlms import unit_text
from meterlet.meter_views.dlms_trees import data_tree, plain_value
from meterlet.meter_views.tables import meaning_of, number_text
from meterlet.secret_files import SECRET_FILE

OBJECTS: Final = Attribute(15, Obis.parse("0-0:40.0.0"), 2)
COUNTER: Final = Obis.parse("0-0:43.1.0")
PUBLIC: Final = 16
REGISTERS: Final = (3, 4)
"""The classes whose third attribute is scaler and unit."""
CLOCK: Final = 8
LAST_COUNTER: Final = (1 << 32) - 1
MECHANISMS: Final = ("lowest", "low", "md5", "sha1", "sha256", "gmac")
_WANTED: Final = re.compile(r"(?:(\d{1,5})/)?([^/]+?)(?:/(\d{1,3}))?")
_ENTRIES: Final = re.compile(r"(\d{1,9})-(\d{1,9})")


class _NoCounter(Exception):
    """Nobody says which number is next."""


@dataclass(frozen=True, slots=True)
class _Wanted:
    """What is to be read, as somebody wrote it."""

    obis: Obis
    class_id: int | None
    attribute: int

    @classmethod
    def parse(cls, text: str) -> "_Wanted":
        match = _WANTED.fullmatch(text)
        if match is None:
            raise click.UsageError(f"{text}: write it as 1-0:1.8.0, or CLASS/OBIS/ATTRIBUTE")
        try:
            obis = Obis.parse(match[2])
        except ValueError as error:
            raise click.UsageError(str(error)) from None
        return cls(obis, None if match[1] is None else int(match[1]), int(match[3] or 2))


@dataclass(frozen=True, slots=True)
class _Address:
    """Where a meter is, and who speaks with whom there."""

    source: str
    client: int
    server: int

    def parts(self) -> tuple[str, str, int]:
        """Return scheme, host and port; raise `UsageError`."""
        split = urlsplit(self.source)
        try:
            port = split.port
        except ValueError:
            port = None
        if split.scheme not in ("dlms", "hdlc") or not split.hostname or port is None:
            raise click.UsageError(
                f"{self.source}: write it as dlms://HOST:PORT, hdlc://HOST:PORT or"
                " serial:///dev/ttyUSB0"
            )
        return split.scheme, split.hostname, port

    @property
    def is_serial(self) -> bool:
        return self.source.startswith(("serial://", "/dev/"))

    async def open(self, settings: ClientSettings, counter: SendCounter | None) -> DlmsClient:
        """Return an association with the meter."""
        if not self.is_serial:
            scheme, host, port = self.parts()
            return await connect(
                host, port, settings, client=self.client, server=self.server,
                hdlc=scheme == "hdlc", counter=counter,
            )  # fmt: skip
        split = urlsplit(self.source)
        try:
            query = dict(parse_qsl(split.query, strict_parsing=bool(split.query)))
            line = line_of(split.path, query)
        except ValueError as error:
            raise click.UsageError(str(error)) from None
        opened = await open_serial(
            line.device, line.baud, parity=line.frame.parity, data_bits=line.frame.data
        )
        link = HdlcLink(self.client, self.server)
        meter = DlmsClient(opened, link, settings, counter=counter)
        try:
            await meter.open()
        except BaseException:
            await opened.close()
            raise
        return meter

    async def counter(self) -> int:
        """Return the number that the meter tells its public client to go on from."""
        if self.is_serial:
            raise _NoCounter
        scheme, host, port = self.parts()
        return await read_counter(
            host, port, COUNTER, client=PUBLIC, server=self.server, hdlc=scheme == "hdlc"
        )


@click.command()
@click.argument("source", help="dlms://HOST:PORT, hdlc://HOST:PORT or serial:///dev/ttyUSB0.")
@click.argument(
    "wanted",
    nargs=-1,
    metavar="[OBIS]...",
    help="What to read, as 1-0:1.8.0 or CLASS/OBIS/ATTRIBUTE; by default the list of objects.",
)
@click.option("--client", type=click.IntRange(1, 127), default=PUBLIC, show_default=True,
              help="The role that you have at the meter; 16 is the public.")  # fmt: skip
@click.option("--server", type=click.IntRange(1, 16383), default=1, show_default=True,
              help="The logical device that is asked.")  # fmt: skip
@click.option("--mechanism", type=click.Choice(MECHANISMS), default="lowest", show_default=True,
              help="How both ends prove who they are.")  # fmt: skip
@click.option("--password", type=SECRET_FILE,
              help="File with the password or secret, for its owner alone.")  # fmt: skip
@secrets_options
@click.option("--counter", type=FILE,
              help="With --key: the file that keeps which number is next.")  # fmt: skip
@click.option("--rows", help="Of a profile (class 7): which rows, as 1-96; by default all.")
@json_option
def read(
    source: str,
    wanted: tuple[str, ...],
    client: int,
    server: int,
    mechanism: str,
    password: Path | None,
    secrets: MeterSecrets,
    counter: Path | None,
    rows: str | None,
    as_json: bool,
) -> None:
    """Ask a meter by DLMS for its objects, or for the values of some of them.

    With a key, messages are protected; --system-title is then that of the client, and --counter
    keeps the number of each message. Where there is no such file yet, the meter's public client is
    asked for the number (0-0:43.1.0). A profile is read with its class: 7/1-0:99.1.0. The exit code
    is 1 where none of them could be read.
    """
    asked = [_Wanted.parse(text) for text in wanted]
    part = _rows(rows)
    address = _Address(
        f"serial://{source}" if source.startswith("/dev/") else source, client, server
    )
    if not address.is_serial:
        address.parts()
    if (secrets.key is None) != (counter is None):
        raise click.UsageError("--key and --counter go together: a number is used once")
    try:
        settings = ClientSettings(
            Credentials(Mechanism[mechanism.upper()], _password(password)),
            Keys(secrets.key, secrets.auth_key),
            secrets.system_title or b"",
        )
        with _locked(counter):
            found = asyncio.run(_read(address, settings, counter, asked, part))
    except _NoCounter:
        fail(f"{counter}: is not there; write the number to begin with into it")
    except DlmsError as error:
        fail(f"{source}: {error}")
    lines = [_line(one) for one in found]
    show("meterlet.meter.read/1", {"source": source, "values": found}, lines, as_json=as_json)
    if found and all("error" in one for one in found):
        raise SystemExit(int(Exit.FAILURE))


async def _read(
    address: _Address,
    settings: ClientSettings,
    counter: Path | None,
    asked: Sequence[_Wanted],
    rows: Entries,
) -> list[dict[str, Any]]:
    send = None if counter is None else await _counter(counter, address)
    async with await address.open(settings, send) as meter:
        if not asked:
            return _objects(await meter.read(OBJECTS))
        classes: dict[bytes, int] = {}
        if any(one.class_id is None for one in asked):
            with suppress(RequestRefused):  # a meter that has no list is asked for registers
                listed = _objects(await meter.read(OBJECTS))
                classes = {Obis.parse(one["obis"]).code: one["class"] for one in listed}
        return [
            await _one(meter, one, one.class_id or classes.get(one.obis.code, 3), rows)
            for one in asked
        ]


async def _one(meter: DlmsClient, wanted: _Wanted, class_id: int, rows: Entries) -> dict[str, Any]:
    """Return what one object says; a refusal of the meter is said, and the others are read."""
    said: dict[str, Any] = {"obis": str(wanted.obis), "class": class_id}
    said["attribute"] = wanted.attribute
    try:
        if class_id == 7 and wanted.attribute == 2:
            profile = await meter.read_profile(wanted.obis, rows)
            columns = [f"{one.class_id}/{one.obis}/{one.attribute}" for one in profile.columns]
            return said | {
                "columns": columns,
                "rows": [[_plain(cell) for cell in row] for row in profile.rows],
            }
        [first, *rest] = await _attributes(meter, wanted, class_id)
        return said | {"value": _plain(first, is_clock=class_id == CLOCK)} | _scale(rest)
    except RequestRefused as error:
        return said | {"value": None, "error": str(error)}


async def _attributes(meter: DlmsClient, wanted: _Wanted, class_id: int) -> list[Data]:
    """Return the attribute, and of a register scaler and unit beside it."""
    values = [await meter.read(Attribute(class_id, wanted.obis, wanted.attribute))]
    if class_id in REGISTERS and wanted.attribute == 2:
        with suppress(RequestRefused):
            values.append(await meter.read(Attribute(class_id, wanted.obis, 3)))
    return values


def _scale(values: Sequence[Data]) -> dict[str, Any]:
    if values and isinstance(values[0], Structure) and len(values[0]) == 2:
        scaler, unit = values[0]
        if isinstance(scaler, SizedInt) and isinstance(unit, Enum):
            return {"scaler": int(scaler), "unit": unit_text(int(unit))}
    return {"scaler": None, "unit": None}


def _plain(value: Data, *, is_clock: bool = False) -> Any:
    """Return a value as JSON; moments that came as octets are moments."""
    if isinstance(value, bytes) and (is_clock or isinstance(value, DateTime)) and len(value) == 12:
        with suppress(DlmsError, ValueError):
            local = DateTime(bytes(value)).local
            return None if local is None else local.isoformat()
    return data_tree(value) if isinstance(value, Array | Structure) else plain_value(value)


def _objects(listed: Data) -> list[dict[str, Any]]:
    """Return the list of objects that an association shows."""
    if not isinstance(listed, Array):
        raise DlmsError("the list of objects (0-0:40.0.0) is no list")
    found = []
    for one in listed:
        if not isinstance(one, Structure) or len(one) < 3:
            raise DlmsError("the list of objects has an entry that is none")
        class_id, version, code = one[0], one[1], one[2]
        if not isinstance(class_id, SizedInt) or not isinstance(version, SizedInt):
            raise DlmsError("the list of objects has an entry that is none")
        if not isinstance(code, bytes) or len(code) != 6:
            raise DlmsError("the list of objects has an entry that is none")
        obis = str(Obis(bytes(code)))
        found.append({"obis": obis, "class": int(class_id), "version": int(version)})
    return found


async def _counter(path: Path, address: _Address) -> SendCounter:
    """Return the counter that a file keeps; where there is none, the meter says its first."""
    if path.exists():
        if path.stat().st_mode & 0o077:
            raise click.UsageError(f"{path}: others may read it; its mode must be 0600")
        text = path.read_bytes()[:32].decode("ascii", "replace").strip()
        if not re.fullmatch(r"\d{1,10}", text, re.ASCII) or not 0 < int(text) <= LAST_COUNTER:
            raise click.UsageError(f"{path}: not the number of a message")
        following = int(text)
    else:
        following = await address.counter() + 1
        write_secret(path, b"%d\n" % following)

    def reserve(number: int) -> None:
        partial = path.with_name(f".{path.name}.partial")
        partial.unlink(missing_ok=True)
        write_secret(partial, b"%d\n" % number)
        os.replace(partial, path)  # noqa: PTH105 - the whole of it, or the old one

    return SendCounter(following, reserve)


@contextmanager
def _locked(path: Path | None) -> Iterator[None]:
    """Keep other commands from the counter until this one ends: they would use its numbers."""
    if path is None:
        yield
        return
    lock = os.open(path.with_name(f".{path.name}.lock"), os.O_CREAT | os.O_RDWR, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        fail(f"{path}: another command uses it; wait until it ends")
    else:
        yield
    finally:
        os.close(lock)


def _password(path: Path | None) -> bytes | None:
    if path is None:
        return None
    if path.stat().st_mode & 0o077:
        raise click.UsageError(f"{path}: others may read it; its mode must be 0600")
    return path.read_bytes()[:256].rstrip(b"\r\n")


def _rows(text: str | None) -> Entries:
    if text is None:
        return Entries()
    match = _ENTRIES.fullmatch(text)
    if match is None or not 0 < int(match[1]) <= int(match[2]):
        raise click.UsageError(f"--rows {text}: write it as 1-96")
    return Entries(int(match[1]), int(match[2]))


def _line(one: dict[str, Any]) -> str:
    obis = one["obis"].removesuffix("*255")
    if "version" in one:
        return f"class {one['class']:<5} {obis:16} {meaning_of(one['obis'])}".rstrip()
    if "error" in one:
        return f"{obis:16} {one['error']}"
    if "rows" in one:
        rows = [f"{obis}: {', '.join(one['columns'])}"]
        rows += [
            "  " + "  ".join(number_text({"value": cell}) for cell in row) for row in one["rows"]
        ]
        return "\n".join(rows)
    return f"{obis:16} {number_text(one)}  {meaning_of(one['obis'])}".rstrip()
