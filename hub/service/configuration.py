# SPDX-License-Identifier: Apache-2.0
"""What hub.toml says of the service, beside which meters the hub is for (`hub.description`).

    [sources.main]                  a meter's line, by a name of your choice
    address = "serial:///dev/ttyUSB0?baud=9600"
    kind = "sml"                    what is spoken there; found from the bytes otherwise
    every = "1min"                  keep one reading in so long
    of = "gas"                      readings of this further meter alone
    login_file = "keys/plug.login"  user:password, mode 0600, for HTTP and MQTT
    silent_after = "10min"          the source is not well where so long nothing comes

    [serve]                         answers recipients that call, on a local network
    address = "127.0.0.1:7816"

    [pages]                         the resident's pages
    address = "127.0.0.1:8321"
    names = ["hub.home"]            what browsers call the hub, too
    certificate = "hub.pem"         over TLS; needed beyond loopback
    key = "keys/pages.key"          mode 0600

    [recipients.supplier]           a recipient's server that is dialled, by the name that its
    address = "https://HOST:PORT"   certificate was asked for under (`meterlet hub dial-key`)
    poll = "15min"                  between two sessions, where the server does not say
    wake = "mqtts://HOST:PORT"      the recipient's broker, which wakes the hub between two polls
    of = "gas"                      for this further meter

    [health]                        /healthz: up or down, nothing else
    address = "127.0.0.1:7817"

Every table may be left out, but not all of them. Files are looked for beside hub.toml. What is not
known is refused, with the line and what may have been meant.
"""

import os
import re
import stat
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeVar
from urllib.parse import parse_qsl, urlsplit

from hub.description import (
    FORMAT,
    FORMAT_OF_SEVERAL,
    SERVICE_TABLES,
    Description,
    why_missing,
)
from hub.dialling.errors import RecipientError
from hub.dialling.pace import POLL_SECONDS
from hub.dialling.recipient import ServerAddress, recipient_folder
from hub.meters.recognition import MeterKind
from hub.meters.replay import ReplayError, parse_interval
from hub.meters.sources import SourceOptions, kind_at, open_meter_source
from hub.page_address import PageAddress
from hub.service.errors import ConfigurationRefused
from hub.service.places import Places, line_of_fault, suggestion
from hub.vault.secret_file import SecretFileError, read_secret
from protocols.canonical.foreign_text import ForeignTextRefused, read_toml
from protocols.metrology import SLOT_MINUTES, MetrologyError, find_zone
from protocols.remote_admin.wake import BrokerAddress
from sml_codec import Obis

FILE: Final = "hub.toml"
LARGEST_FILE: Final = 1 << 16
MOST_SOURCES: Final = 32
MOST_RECIPIENTS: Final = 16
LONGEST_POLL: Final = 7 * 86_400
SHORTEST_SILENCE: Final = 10
LONGEST_SILENCE: Final = 31 * 86_400
KINDS: Final = tuple(str(one) for one in MeterKind if one is not MeterKind.DLMS_APDU)
METER_KEYS: Final = (
    "format", "meter", "registers", "zone", "slot_minutes", "fuse_amperes", "phases", "meters",
)  # fmt: skip
OLDER_KEYS: Final = ("register", "feed_in_register")
RECIPIENT_KEYS: Final = ("address", "poll", "of", "wake")
SOURCE_KEYS: Final = ("address", "kind", "every", "of", "login_file", "silent_after")
_NAME: Final = re.compile("[a-z][a-z0-9-]{0,31}")
_BARE: Final = re.compile("[A-Za-z0-9_-]{1,32}")
_ADDRESS: Final = re.compile(r"(?:\[([0-9a-fA-F:.]+)\]|([^\s\[\]:/@]+)):(\d{1,5})", re.ASCII)
_LIVE: Final = re.compile(r"[a-z][a-z+]*://")
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Address:
    """Where something listens."""

    host: str
    port: int
    """0 for any that is free."""

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class SourceSettings:
    """A line that meters are read at."""

    name: str
    address: str
    kind: MeterKind | None = None
    every_seconds: int = 0
    of: str | None = None
    login_file: Path | None = None
    silent_after: int | None = None
    """Seconds."""

    @property
    def shown_address(self) -> str:
        """The address without what a web address may carry beside host and path."""
        return self.address.partition("?")[0] if "http" in self.address[:5] else self.address


@dataclass(frozen=True, slots=True)
class RecipientSettings:
    """A recipient's server that is dialled."""

    name: str
    url: str
    poll_seconds: float = POLL_SECONDS
    of: str | None = None
    broker: BrokerAddress | None = None
    """Where the hub is woken between two polls."""


@dataclass(frozen=True, slots=True)
class ServiceSettings:
    """What the service does, and for which meters."""

    description: Description
    sources: tuple[SourceSettings, ...] = ()
    recipients: tuple[RecipientSettings, ...] = ()
    serve: Address | None = None
    pages: PageAddress | None = None
    health: Address | None = None

    @classmethod
    def load(cls, folder: Path) -> "ServiceSettings":
        """Return what hub.toml in a folder says; raise `ConfigurationRefused`."""
        return cls.parse(_read(folder / FILE), folder)

    @classmethod
    def parse(cls, text: str, folder: Path) -> "ServiceSettings":
        """Return what the text of a hub.toml says; raise `ConfigurationRefused`."""
        try:
            members = read_toml(text)
        except ForeignTextRefused as error:
            line, fault = line_of_fault(error, text)
            raise ConfigurationRefused(FILE, line, "", f"not TOML: {fault}") from None
        whole = _Table(Places(text), (), members)
        whole.only(METER_KEYS + tuple(SERVICE_TABLES), also=OLDER_KEYS)
        description = _description(text, members, whole)
        sources = tuple(
            _source(table, folder, description) for table in whole.tables("sources", MOST_SOURCES)
        )
        _require_once(sources, whole)
        recipients = tuple(
            _recipient(table, description) for table in whole.tables("recipients", MOST_RECIPIENTS)
        )
        serve, pages, health = whole.table("serve"), whole.table("pages"), whole.table("health")
        settings = cls(
            description,
            sources,
            recipients,
            None if serve is None else _address_alone(serve),
            None if pages is None else _pages(pages, folder),
            None if health is None else _address_alone(health),
        )
        if not (sources or recipients or serve or pages or health):
            whole.refuse(
                "",
                "it names nothing for the service to do; `meterlet hub run --sample` shows what"
                " to write",
            )
        _require_ports_apart(settings, whole)
        return settings


@dataclass(frozen=True, slots=True)
class _Table:
    """A table of the file; it knows where it stands."""

    places: Places
    path: tuple[str, ...]
    members: Mapping[str, Any] = field(repr=False)

    def refuse(self, key: str, reason: str) -> None:
        """Raise `ConfigurationRefused` for a key, or for the table itself."""
        raise self.refusal(key, reason)

    def refusal(self, key: str, reason: str) -> ConfigurationRefused:
        path = (*self.path, *key.split("\0")) if key else self.path
        name = ".".join(one if _BARE.fullmatch(one) else _shown(one) for one in path)
        return ConfigurationRefused(FILE, self.places.line_of(path), name, reason)

    def only(self, known: Sequence[str], also: Sequence[str] = ()) -> None:
        """Refuse the first key that is not known."""
        for key in self.members:
            if key not in known and key not in also:
                self.refuse(key, f"there is no such key{suggestion(key, known)}")

    def table(self, key: str) -> "_Table | None":
        """Return a table; None where there is none."""
        if key not in self.members:
            return None
        found = self.members[key]
        if not isinstance(found, dict):
            raise self.refusal(key, f"a table is due: [{key}]")
        return _Table(self.places, (*self.path, key), found)

    def tables(self, key: str, most: int) -> "list[_Table]":
        """Return the tables by name below a key."""
        above = self.table(key)
        if above is None:
            return []
        if not above.members or len(above.members) > most:
            above.refuse("", f"1 to {most} tables are due, as [{key}.main]")
        found = []
        for name, members in above.members.items():
            if not isinstance(members, dict):
                raise above.refusal(name, f"a table with a name is due, as [{key}.main]")
            if not _NAME.fullmatch(name):
                raise above.refusal(name, "a name has small letters, digits and hyphens")
            found.append(_Table(self.places, (*above.path, name), members))
        return found

    def text(self, key: str) -> str | None:
        """Return a text that may be left out."""
        found = self.members.get(key)
        if found is None:
            return None
        if not isinstance(found, str) or not found or not found.isprintable():
            raise self.refusal(key, 'a text in quotes is due, as "..."')
        return found

    def needed(self, key: str, example: str) -> str:
        """Return a text that must be there."""
        found = self.text(key)
        if found is None:
            raise self.refusal(key, f'it is missing: write {key} = "{example}"')
        return found

    def texts(self, key: str) -> tuple[str, ...]:
        """Return a list of texts; none where it is left out."""
        found = self.members.get(key, [])
        if not isinstance(found, list) or not all(isinstance(one, str) and one for one in found):
            raise self.refusal(key, 'a list of texts is due, as ["hub.home"]')
        return tuple(found)

    def seconds(self, key: str, least: int, most: int) -> int | None:
        """Return how long something lasts; None where it is left out."""
        text = self.text(key)
        if text is None:
            return None
        try:
            found = parse_interval(text)
        except ReplayError:
            found = -1
        if not least <= found <= most:
            raise self.refusal(key, f'a time is due, as "1min", "15s" or "2h"; {least} s at least')
        return found

    def file(self, key: str, folder: Path) -> Path | None:
        """Return a file that is there, beside hub.toml or by its whole path."""
        text = self.text(key)
        if text is None:
            return None
        path = folder / text
        if not path.is_file():
            raise self.refusal(key, "there is no such file; it is looked for beside hub.toml")
        return path

    def secret(self, key: str, folder: Path) -> Path | None:
        """Return a file that its owner alone may read."""
        path = self.file(key, folder)
        if path is not None:
            try:
                read_secret(path)
            except SecretFileError:
                raise self.refusal(
                    key, "others may read the file, or we may not; its mode must be 0600"
                ) from None
        return path


def _shown(key: str) -> str:
    """Return a key of somebody's as it may be shown: short, and on one line."""
    return repr(key[:32])


def _read(path: Path) -> str:
    """Return the text of a file that nobody else may write."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)  # a pipe must not make us wait
    except (FileNotFoundError, NotADirectoryError):
        folder = path.parent
        raise ConfigurationRefused(str(folder), 0, "", why_missing(folder)) from None
    except OSError as error:
        raise ConfigurationRefused(FILE, 0, "", error.strerror or "it cannot be read") from None
    facts = os.fstat(descriptor)
    if not stat.S_ISREG(facts.st_mode):
        os.close(descriptor)
        raise ConfigurationRefused(FILE, 0, "", "not a regular file")
    with os.fdopen(descriptor, "rb") as file:
        # It says who is called, and whose password is sent where: nobody else may write it.
        if facts.st_mode & 0o022 or facts.st_uid not in (os.geteuid(), 0):
            raise ConfigurationRefused(
                FILE, 0, "", "others may write it: `chmod go-w hub.toml`, and own it"
            )
        data = file.read(LARGEST_FILE + 1)
    if len(data) > LARGEST_FILE:
        raise ConfigurationRefused(FILE, 0, "", f"longer than {LARGEST_FILE:,} bytes")
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise ConfigurationRefused(FILE, line, "", "not UTF-8 text") from None


def _description(text: str, members: Mapping[str, Any], whole: _Table) -> Description:
    try:
        return Description.from_toml(text)
    except (ValueError, MetrologyError) as error:
        key = _blamed(members)
        remedy = _REMEDIES.get(key.rpartition("\0")[2]) if _has(members, key) else None
        raise whole.refusal(key, remedy or str(error)) from None


def _has(members: Mapping[str, Any], key: str) -> bool:
    *tables, last = key.split("\0")
    found: Any = members
    for table in tables:
        found = found[table]
    return last in found


def _blamed(members: Mapping[str, Any]) -> str:
    """Return the key of the description that is at fault, where one is by itself."""
    tables = {"": members, **_dict(members.get("meters"))}
    for name, table in tables.items():
        for key, check in _CHECKS.items():
            if isinstance(table, dict) and key in table:
                try:
                    check(table[key])
                except (ValueError, TypeError, AttributeError, MetrologyError):
                    return f"meters\0{name}\0{key}" if name else key
    missing = [key for key in ("meter", "registers", "zone", "slot_minutes") if key not in members]
    return missing[0] if missing else ""


def _dict(found: object) -> dict[str, Any]:
    return found if isinstance(found, dict) else {}


def _require(holds: bool) -> None:
    if not holds:
        raise ValueError


_REMEDIES: Final = {
    "format": "this release knows 2, and 3 with further meters",
    "meter": "an identification is due, in hex",
    "registers": 'OBIS codes are due, as ["1-0:1.8.0*255"]',
    "zone": "a time zone is due, as Europe/Berlin",
    "slot_minutes": "5, 15, 30 or 60 are due",
    "fuse_amperes": "a whole number is due",
    "phases": "a whole number is due",
    "largest_flow": "a whole number is due",
}
"""What is due in the place of what is wrong; a value that was written there is not repeated."""
_CHECKS: Final[Mapping[str, Callable[[Any], object]]] = {
    "format": lambda number: _require(number in (FORMAT, FORMAT_OF_SEVERAL)),
    "meter": bytes.fromhex,
    "registers": lambda codes: [Obis.parse(str(code)) for code in codes],
    "zone": find_zone,
    "slot_minutes": lambda minutes: _require(minutes in SLOT_MINUTES),
    "fuse_amperes": lambda number: _require(type(number) is int),
    "phases": lambda number: _require(type(number) is int),
    "largest_flow": lambda number: _require(type(number) is int),
}


def _source(table: _Table, folder: Path, description: Description) -> SourceSettings:
    table.only(SOURCE_KEYS)
    address = table.needed("address", "serial:///dev/ttyUSB0")
    spoken = table.text("kind")
    if spoken is not None and spoken not in KINDS:
        table.refuse("kind", f"no language of meters{suggestion(spoken, KINDS)}")
    of = _of(table, description)
    login = table.secret("login_file", folder)
    kind = kind_at(address) if spoken is None else MeterKind(spoken)
    _require_source(table, address, kind)
    return SourceSettings(
        table.path[-1],
        address,
        kind,
        table.seconds("every", 1, 86_400) or 0,
        of,
        login,
        table.seconds("silent_after", SHORTEST_SILENCE, LONGEST_SILENCE),
    )


def _of(table: _Table, description: Description) -> str | None:
    """Return the name of a further meter, which the hub must have."""
    of = table.text("of")
    if of is not None and of not in description.meters:
        table.refuse("of", f"the hub has no such meter{suggestion(of, tuple(description.meters))}")
    return of


def _recipient(table: _Table, description: Description) -> RecipientSettings:
    table.only(RECIPIENT_KEYS)
    name, url = table.path[-1], table.needed("address", "https://hubs.supplier.example")
    try:
        ServerAddress.parse(url)
    except RecipientError:
        raise table.refusal("address", "a server is due, as https://HOST:PORT") from None
    try:
        recipient_folder(Path(), name)
    except RecipientError:
        raise table.refusal("", "such a name no certificate can be asked for under") from None
    poll, wake = table.seconds("poll", 1, LONGEST_POLL), table.text("wake")
    try:
        broker = None if wake is None else BrokerAddress.parse(wake)
    except ValueError:
        raise table.refusal("wake", "a broker is due, as mqtts://HOST:PORT") from None
    return RecipientSettings(
        name, url, POLL_SECONDS if poll is None else float(poll), _of(table, description), broker
    )


def _require_source(table: _Table, address: str, kind: MeterKind | None) -> None:
    if not _LIVE.match(address):
        table.refuse("address", "a line is due, as serial:///dev/ttyUSB0 or tcp://HOST:PORT")
    try:
        if "@" in urlsplit(address).netloc:  # the message repeats nothing of it
            table.refuse("address", "it may not carry a password: say login_file")
        open_meter_source(address, SourceOptions(kind=kind))
    except ConfigurationRefused:
        raise
    except ValueError as error:
        table.refuse("address", f"no source: {_without_values(str(error), address)}")


def _without_values(reason: str, address: str) -> str:
    """Return what is wrong with an address without what is written in it, such as a password."""
    reason = reason.replace(address, "it").removeprefix("it: ")
    for _, value in parse_qsl(urlsplit(address).query, keep_blank_values=True):
        reason = reason.replace(value, "...") if value else reason
    return reason


def _require_once(sources: Sequence[SourceSettings], whole: _Table) -> None:
    seen: dict[str, str] = {}
    for one in sources:
        if one.address in seen:
            whole.refuse(
                f"sources\0{one.name}\0address",
                f"sources.{seen[one.address]} reads there already; a line has one reader",
            )
        seen[one.address] = one.name


def _address_alone(table: _Table) -> Address:
    table.only(("address",))
    return _address(table)


def _address(table: _Table) -> Address:
    text = table.needed("address", "127.0.0.1:7816")
    match = _ADDRESS.fullmatch(text)
    if match is None or int(match[3]) > 0xFFFF:
        raise table.refusal("address", "a host and a port are due, as 127.0.0.1:7816")
    return Address(match[1] or match[2], int(match[3]))


def _pages(table: _Table, folder: Path) -> PageAddress:
    table.only(("address", "names", "certificate", "key"))
    at = _address(table)
    pages = PageAddress(
        at.host,
        at.port,
        table.texts("names"),
        table.file("certificate", folder),
        table.secret("key", folder),
    )
    if pages.problem is not None:
        key = "address" if (pages.certificate is None) == (pages.key is None) else "certificate"
        table.refuse(key, pages.problem)
    return pages


def _require_ports_apart(settings: ServiceSettings, whole: _Table) -> None:
    pages = settings.pages
    places = {
        "serve": settings.serve,
        "pages": None if pages is None else Address(pages.host, pages.port),
        "health": settings.health,
    }
    seen: dict[Address, str] = {}
    for name, place in places.items():
        if place is None or place.port == 0:
            continue
        if place in seen:
            whole.refuse(f"{name}\0address", f"[{seen[place]}] is there already")
        seen[place] = name
