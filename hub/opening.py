# SPDX-License-Identifier: Apache-2.0
"""A hub's folder opened: description, keys, database and log, each checked against the others.

What does not belong together is refused here, before anything is read or written: a key that is not
the database's, readings of another meter, a log that is older than its witness.

Errors: DeviceError
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from hub.certifier import Certifier, CertifierKeys, InheritedChain
from hub.certifier.succession import (
    certifier_key_file,
    current_certifier_keys,
    require_current_keys,
)
from hub.components import COMPONENTS
from hub.description import FORMAT, FORMAT_OF_SEVERAL, Description, why_missing
from hub.disclosure import Disclosure
from hub.disclosure.witness import FILE as WITNESS
from hub.disclosure.witness import HeadWitness, require_sealed
from hub.durable import replace_file
from hub.errors import HubError
from hub.metering import MeteredRegister
from hub.replacing import finish_replacing
from hub.vault.database import Database
from hub.vault.days import DayJournal
from hub.vault.key_file import VAULT_KEY, current_vault_key
from hub.vault.vault import Channel, Vault
from protocols.canonical.foreign_text import read_toml
from protocols.metrology import GridError, Series
from sml_codec import Obis


class DeviceError(HubError):
    """The hub's folder is not one, or a part of it is not usable."""


@dataclass(frozen=True, slots=True)
class OpenedHub:
    """The parts of a hub; its database is to be closed."""

    description: Description
    database: Database
    registers: Mapping[str, Mapping[bytes, MeteredRegister]]
    """By the meter's name, empty the hub's own, and by OBIS code."""
    disclosure: Disclosure
    vault_key: bytes = field(repr=False)


def open_hub(
    folder: Path,
    randomness: Callable[[int], bytes],
    now: Callable[[], int],
    description: Description | None = None,
) -> OpenedHub:
    """Open what is in `folder`; raise as `Device.open`, and leave nothing open then."""
    finish_replacing(folder)
    is_in_force = description is not None
    if description is None:
        description = _read_description(folder)
    vault_key = current_vault_key(folder / "keys" / VAULT_KEY, folder / "hub.db")
    witness = folder / "keys" / WITNESS
    require_sealed(folder / "hub.db", witness)
    database = Database(folder / "hub.db", COMPONENTS, key=vault_key)
    try:
        with database.named_errors():
            registers = _registers(folder, description, database, vault_key, randomness)
        if not is_in_force:
            _migrate_description(folder / "hub.toml", description, database)
        disclosure = Disclosure(database, now)
        with database.named_errors():
            witnessed = HeadWitness(witness, disclosure.log)
            witnessed.check(disclosure.check_log)
    except BaseException:
        database.close()
        raise
    database.after_commit.append(witnessed.follow)
    return OpenedHub(description, database, registers, disclosure, vault_key)


def _read_description(folder: Path) -> Description:
    try:
        return Description.from_toml((folder / "hub.toml").read_text())
    except (FileNotFoundError, NotADirectoryError):
        raise DeviceError(f"{folder}: {why_missing(folder)}") from None
    except (ValueError, GridError) as error:
        raise DeviceError(f"{folder / 'hub.toml'}: {error}") from None


def _registers(
    folder: Path,
    description: Description,
    database: Database,
    vault_key: bytes,
    randomness: Callable[[int], bytes],
) -> dict[str, dict[bytes, MeteredRegister]]:
    """Return the registers of each meter; from now on the database knows which keys are current."""
    described: dict[str, Description] = {"": description, **description.meters}
    certifier_keys = {
        name: current_certifier_keys(folder / "keys" / certifier_key_file(name), database, name)
        for name in described
    }
    vault = Vault(database, vault_key, randomness)

    def metered(name: str, register: bytes) -> MeteredRegister:
        about = described[name]
        channel = Channel(about.meter, register)
        series = Series(channel.meter, register, about.zone, about.slot_minutes)
        journal = DayJournal(database, channel, vault_key, randomness)
        inherited = journal.inherited()
        chain = None if inherited is None else InheritedChain.decode(inherited)
        return MeteredRegister(vault, journal, Certifier(series, certifier_keys[name], chain))

    registers = {
        name: {code: metered(name, code) for code in about.registers}
        for name, about in described.items()
    }
    database.require_current = _requirement(vault, certifier_keys)
    _require_its_readings(folder, description, vault)
    return registers


def _requirement(vault: Vault, certifier_keys: Mapping[str, CertifierKeys]) -> Callable[[], None]:
    """Return what raises `KeyReplaced` once one of the keys was replaced."""

    def require_current() -> None:
        vault.require_current()
        for name, keys in certifier_keys.items():
            require_current_keys(vault.database, keys, name)

    return require_current


def _require_its_readings(folder: Path, description: Description, vault: Vault) -> None:
    """Raise `DeviceError` where the database is another meter's."""
    further = {about.meter for about in description.meters.values()}
    known = [one for one in vault.channels() if one.meter not in further]
    if known and Channel(description.meter, description.register) not in known:
        raise DeviceError(
            f"{folder / 'hub.toml'}: of meter {description.meter.hex()},"
            f" {Obis(description.register)}, the database holds readings of"
            f" {known[0].meter.hex()}, {Obis(known[0].register)}"
        )


def write_description(path: Path, text: str) -> None:
    """Put a description in the place of the one that is there, with the mode that it has."""
    try:
        replace_file(path, text.encode(), path.stat().st_mode & 0o777)
    except OSError as error:
        raise DeviceError(f"{path}: {error.strerror}") from error


def _migrate_description(path: Path, description: Description, database: Database) -> None:
    """Write a hub.toml of an older form anew."""
    if read_toml(path.read_text()).get("format") in (FORMAT, FORMAT_OF_SEVERAL):
        return
    with database.transaction():  # another process that opens the hub writes the same
        write_description(path, description.to_toml())
