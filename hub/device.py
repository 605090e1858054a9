# SPDX-License-Identifier: Apache-2.0
"""The device: a folder with a database, key files and a description, and the parts joined.

    hub.toml                  which meters, registers, zones, slots
    hub.db                    readings, disclosure log, applets' stores (sealed), days, card
    inspection.db             sealed sums for the resident's views, tokens: what can be made again
    keys/vault.key            seals readings and the card's keys (vault.key.next: in a rotation)
    keys/certifier.key        signs days, blinds commitments (certifier.key.next: in a rotation)
    keys/certifier-NAME.key   the same of a further meter
    keys/issuer.key           the issuer security domain's key set
    keys/log.head             how far the disclosure log has come, so that an older hub.db is found
    vendors/*.pem             whose applet packages the resident trusts
    authorities/*.pem         who says which meters there are, for sums over many households
    authorities/*             what they say of this meter and of revoked ones (`meters.trust`)

A hub is for one meter, whose registers bills are about, and may have further ones: of gas, water,
heat, appliances. Each further meter is a `Device` of its own in `meters`, with its registers and
its certifier. All share the folder, the database, the card and what was told. What is written of
"the meter" here is true of each.

Errors: DeviceError
"""

import hmac
import os
import shutil
import sqlite3
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from functools import partial
from pathlib import Path
from typing import Final, Self
from zoneinfo import ZoneInfo

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from hub.applet_host import RoundRecord
from hub.applet_host.runtime import MachineRuntime
from hub.applet_host.store import AppletStore
from hub.card.content import instance_of
from hub.card.entries import Kind
from hub.card.open import Card
from hub.card.profile import DEFAULT, CardProfile
from hub.certifier import CertifierKeys
from hub.certifier.succession import announce_successor, certifier_key_file
from hub.components import SEALED
from hub.correcting import CorrectedRegister, correct_register
from hub.description import Description as Description
from hub.description import with_meter_in
from hub.disclosure import Disclosure
from hub.errors import HubError
from hub.machine.machine import AppletMachine
from hub.metering import FactRefused, MeteredRegister
from hub.meters.emulated import is_emulated
from hub.meters.fuse import Limit
from hub.meters.quarantine import Quarantine
from hub.meters.sealed_keys import SealedKeys
from hub.meters.trust import MeterTrust
from hub.opening import DeviceError as DeviceError
from hub.opening import open_hub, write_description
from hub.readings import Readout
from hub.text import utc_text
from hub.vault.database import Database
from hub.vault.key_file import VAULT_KEY, fingerprint, put_in_force
from hub.vault.resealing import Progress, finish_rotation, rotate_vault_key
from hub.vault.secret_file import read_secret, write_secret
from hub.vault.vault import KEY_SIZE, KeyReplaced, ReadingRefused
from protocols.aggregation.revocations import RevocationList, revoked_since
from protocols.canonical.signing import key_id_of
from protocols.metrology import KeyAnnouncement, find_zone
from protocols.metrology.key_chain import EARLIEST
from protocols.secure_channel.keys import StaticKeys
from sml_codec import Obis

LONGEST_METER_ID: Final = 32
CHANNEL_KEY_SIZE: Final = 16
AGGREGATION: Final = b"meterlet aggregation secret of the hub 1"
RESIDENT: Final = b"resident/"
"""Begins the keys of what an applet keeps for the resident."""


class RoundsUnderWay(HubError):
    """The vault's key makes the keys of sums over households that are not over yet."""

    exit_code, status_word = 5, 0x6985

    def __init__(self, until: int) -> None:
        super().__init__(
            f"a sum over households is under way until {utc_text(until)}; do this then, or say"
            " --abandon-rounds"
        )


@dataclass(slots=True)
class Device:
    """An opened hub; close it when done."""

    folder: Path
    description: Description
    database: Database
    registers: Mapping[bytes, MeteredRegister]
    """By OBIS code, in the description's order; they share one vault and the certifier's keys."""
    disclosure: Disclosure
    now: Callable[[], int] = field(repr=False)
    randomness: Callable[[int], bytes] = field(repr=False)
    _vault_key: bytes = field(repr=False)
    meters: "Mapping[str, Device]" = field(default_factory=dict)
    """The further meters, by name; none of a further meter's own."""
    name: str = ""
    """Of a further meter; nothing of the hub's own."""
    _runtimes: list[MachineRuntime] = field(default_factory=list, init=False, repr=False)
    """Of the cards that were asked for."""

    @classmethod
    def create(
        cls,
        folder: Path,
        description: Description,
        *,
        randomness: Callable[[int], bytes] = os.urandom,
        now: Callable[[], int] = lambda: int(time.time()),
    ) -> Self:
        """Make a hub in an empty or new folder and open it; raise `DeviceError` in any other.

        Where it cannot be made, nothing of it stays.
        """
        existed = folder.exists()
        if existed and any(folder.iterdir()):
            raise DeviceError(f"{folder}: not empty; a hub is made in a folder of its own")
        keys = folder / "keys"
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            write_secret(keys / VAULT_KEY, randomness(KEY_SIZE))
            for name in ("", *description.meters):
                CertifierKeys.generate(randomness).save(keys / certifier_key_file(name))
            write_secret(keys / "issuer.key", randomness(3 * CHANNEL_KEY_SIZE))
            (folder / "vendors").mkdir(mode=0o700)
            (folder / "authorities").mkdir(mode=0o700)
            (folder / "hub.toml").touch(mode=0o600)  # it is to be nobody else's, whatever the umask
            (folder / "hub.toml").write_text(description.to_toml())
            return cls.open(folder, randomness=randomness, now=now)
        except BaseException as error:
            shutil.rmtree(folder, ignore_errors=True)
            if existed:
                folder.mkdir(mode=0o700, exist_ok=True)
            if isinstance(error, OSError):
                raise DeviceError(f"{error.filename or folder}: {error.strerror}") from error
            raise

    @classmethod
    def open(
        cls,
        folder: Path,
        *,
        randomness: Callable[[int], bytes] = os.urandom,
        now: Callable[[], int] = lambda: int(time.time()),
        description: Description | None = None,
    ) -> Self:
        """Open the hub in `folder`; raise `DeviceError` where there is none.

        With `description` it is taken as the one in force, whatever hub.toml says by now: a service
        goes on with the one that it has checked while somebody edits the file. A hand-over that was
        cut off is finished first (`hub.replacing`). Errors of the parts (vault, certifier,
        database) come through as they are.
        """
        opened = open_hub(folder, randomness, now, description)
        device = cls(
            folder,
            opened.description,
            opened.database,
            opened.registers[""],
            opened.disclosure,
            now,
            randomness,
            opened.vault_key,
        )
        device.meters = {
            name: replace(device, description=about, registers=opened.registers[name], name=name)
            for name, about in opened.description.meters.items()
        }
        return device

    def close(self) -> None:
        """Close the database, and let the card's applets lose their memory."""
        for runtime in self._runtimes:
            runtime.close()
        self.database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        self.close()
        if isinstance(error, sqlite3.Error):
            with self.database.named_errors():
                raise error

    def card(self, machine: AppletMachine, profile: CardProfile = DEFAULT) -> Card:
        """Return the card with its applets in `machine`; made at the first call ever.

        It presents itself as `profile`.

        Raises `ForeignDays` where the certifier's key is not the one that signed the days.
        """
        for register in self.every_register.values():
            register.check_key()
        runtime = MachineRuntime(machine, self, self.vendors())
        self._runtimes.append(runtime)
        make = Card if Card.exists(self.database) else partial(Card.create, keys=self.issuer_keys())
        card = make(
            self.database,
            storage_key=self._vault_key,
            random=self.randomness,
            runtime=runtime,
            profile=profile,
        )
        card.hub_keys = self
        return card

    @property
    def main(self) -> MeteredRegister:
        """The main register, which bills are about."""
        return self.registers[self.description.register]

    @property
    def every_register(self) -> Mapping[bytes, MeteredRegister]:
        """The registers of all meters, by OBIS code, the hub's own meter's first."""
        further = (one.registers for one in self.meters.values())
        return {code: one for part in (self.registers, *further) for code, one in part.items()}

    @property
    def every_meter(self) -> "tuple[Device, ...]":
        """The hub's own meter and the further ones."""
        return (self, *self.meters.values())

    def meter_of(self, register: bytes) -> "Device":
        """Return the meter that has a register; raise `DeviceError` where none has."""
        for one in self.every_meter:
            if register in one.registers:
                return one
        raise DeviceError(f"the hub has no register {Obis(register)}")

    @property
    def fuse(self) -> Limit:
        """What flows through the meter at most: what was said, or more than a home has."""
        return self.description.limit

    @property
    def quarantine(self) -> Quarantine:
        """What was set aside of what came through the door."""
        return Quarantine(self.database)

    @property
    def meter_keys(self) -> SealedKeys:
        """The keys of the hub's meters, by their names."""
        return SealedKeys(self.database)

    @property
    def feed_in(self) -> MeteredRegister | None:
        """The register of what is fed in beside the main one, or None."""
        code = self.description.feed_in_register
        return None if code is None else self.registers[code]

    def store(self, readouts: Sequence[Readout]) -> int:
        """Store what the meter showed, all of it or nothing; return at how many moments.

        Raises `ReadingRefused` where a register's reading does not follow the one before it, and
        where a readout has not the registers that this hub is for.
        """
        if any(readout.readings.keys() != self.registers.keys() for readout in readouts):
            raise ReadingRefused("a readout has not the registers that the hub is for")
        with self.database.transaction():
            for code, register in self.registers.items():
                register.vault.append(
                    register.channel, [readout.readings[code] for readout in readouts]
                )
        return len(readouts)

    def last_readout(self) -> Readout | None:
        """Return what the registers showed when they were read last; None: they never were."""
        found = {
            code: register.vault.newest_received(register.channel)
            for code, register in self.registers.items()
        }
        readings = {code: one for code, one in found.items() if one is not None}
        return Readout(readings) if len(readings) == len(found) else None

    def correct(
        self,
        readouts: Sequence[Readout],
        *,
        is_interval_data: bool = False,
        may_replace: bool = False,
    ) -> list[CorrectedRegister]:
        """Take readings of certified time, late or in the place of others; all of it or nothing.

        Returns what changed, by register; the days are signed again. With `is_interval_data` the
        readouts count from 0. Raises `CorrectionRefused` or `ReadingRefused`.
        """
        if any(readout.readings.keys() != self.registers.keys() for readout in readouts):
            raise ReadingRefused("a readout has not the registers that the hub is for")
        has_register = not is_emulated(self.mounted_meter)
        with self.database.transaction():
            made = [
                one.time
                for register in self.registers.values()
                for one in register.vault.corrections(register.channel)
            ]
            now = max(self.now(), max(made, default=0) + 1)  # what was known when is told by time
            corrected = [
                correct_register(
                    register,
                    [readout.readings[code] for readout in readouts],
                    now,
                    is_interval_data=is_interval_data,
                    may_replace=may_replace,
                    has_register=has_register,
                )
                for code, register in self.registers.items()
            ]
            for one in corrected:
                if one.days:
                    self.disclosure.record_correction(
                        str(Obis(one.register)),
                        one.reason.name.lower(),
                        [(day.day, len(day.changed)) for day in one.changed],
                    )
        return corrected

    @property
    def mounted_meter(self) -> bytes:
        """The id of the meter that counts now; the hub stays named for its first one."""
        return self.main.mounted_meter

    @property
    def former_meters(self) -> frozenset[bytes]:
        """The ids of the meters that were taken down."""
        return self.main.former_meters

    def exchange_meter(
        self, time: int, meter: bytes, registers: Mapping[bytes, tuple[int, int]]
    ) -> None:
        """Record that another meter counts from `time` on, all of it or nothing.

        `registers` has for each register what the old meter showed last and the new one first, in
        watt-hours. It may be the same meter again, if one of its registers restarts. Raises
        `ReadingRefused` or `FactRefused` as `MeteredRegister.exchange_meter`.
        """
        if registers.keys() != self.registers.keys():
            ours = ", ".join(str(Obis(code)) for code in self.registers)
            raise ReadingRefused(f"an exchange needs just the registers of this hub: {ours}")
        if not 1 <= len(meter) <= LONGEST_METER_ID:
            raise ReadingRefused(f"a meter's identification has 1 to {LONGEST_METER_ID} bytes")
        restarts = any(start_wh < end_wh for end_wh, start_wh in registers.values())
        if meter == self.mounted_meter and not restarts:
            raise FactRefused(f"meter {meter.hex()} is the one that counts already")
        with self.database.transaction():
            for code, register in self.registers.items():
                register.exchange_meter(time, meter, *registers[code])

    def certify(self, progress: Callable[[date], None] | None = None) -> int:
        """Certify every day that is over, of each register; return how many days got new ones.

        Those of the further meters, too. Days after the end of the meter's certificate are set
        aside: they stay uncertified. Raises as `MeteredRegister.certify` does.
        """
        with self.database.transaction():
            return max(
                register.certify(progress, one.certified_no_further())
                for one in self.every_meter
                for register in one.registers.values()
            )

    def tick(self, card: Card) -> int:
        """Let raw applets do what is due; return how many outputs were released.

        To be called once a minute or so while the hub runs.
        """
        runtime = card.runtime
        assert isinstance(runtime, MachineRuntime)
        with card.turn():
            applications = [e for e in card.entries() if e.kind is Kind.APPLICATION]
            return runtime.tick(map(instance_of, applications))

    def vendors(self) -> dict[bytes, Ed25519PublicKey]:
        """Return the vendors' keys that the resident trusts, by key id."""
        keys = {}
        for path in sorted((self.folder / "vendors").glob("*.pem")):
            key = _public_key(path)
            keys[key_id_of(key)] = key
        return keys

    @property
    def vault_fingerprint(self) -> str:
        """By what people tell the vault's keys apart."""
        return fingerprint(self._vault_key)

    def has_current_keys(self) -> bool:
        """Tell whether no key was replaced since this device was opened."""
        try:
            self.database.require_current()
        except KeyReplaced:
            return False
        return True

    def rotate_vault_key(
        self,
        progress: Progress = lambda done, total: None,
        *,
        abandon_rounds: bool = False,
    ) -> str:
        """Seal everything with a new vault key; return the fingerprint of the key.

        This device has the old key, and writes nothing more: open the hub again. Within a
        transaction of the caller's, the new key is in force once that commits. Raises
        `RoundsUnderWay` unless `abandon_rounds`, `VaultTampered` where a row was changed.
        """
        path = self.folder / "keys" / VAULT_KEY
        with self.database.transaction():
            until = RoundRecord(self.database).under_way(self.now())
            if until is not None and not abandon_rounds:
                raise RoundsUnderWay(until)
            key = self.randomness(KEY_SIZE)
            facts = {"key": "vault", "fingerprint": fingerprint(key)}
            self.disclosure.log.append(self.now(), "new key", facts)
            rotate_vault_key(
                self.database, path, self._vault_key, key, self.randomness, SEALED, progress
            )
        if not self.database.connection.in_transaction:
            finish_rotation(self.database, path)
        return fingerprint(key)

    def rotate_certifier_key(self) -> KeyAnnouncement:
        """Certify the days that are over, then give the certifier a new key; return what says so.

        The new key signs from the first day that is not certified yet. The old one is in no file
        any more. As for the vault, this device writes nothing more. Raises `DeviceError` where the
        key is revoked, or the registers are certified up to different days.
        """
        path = self.folder / "keys" / certifier_key_file(self.name)
        keys = self.main.certifier.keys
        if revoked_since(keys.signing_public_key, self.revocations()) is not None:
            raise DeviceError("the certifier's key is revoked; nobody believes what it announces")
        with self.database.transaction():
            self.certify()
            # The day that is not over is of the new key, its slots that are signed of the old one.
            latest = {register.signed_up_to() for register in self.registers.values()}
            if len(latest) > 1:
                raise DeviceError(
                    "the registers are certified up to different days; a new key would leave"
                    " days that none may sign"
                )
            last = latest.pop()
            first_day = EARLIEST if last is None else last + timedelta(days=1)
            announcement = announce_successor(
                self.database, path, keys, self.description.meter, first_day, self.randomness,
                self.name,
            )  # fmt: skip
            facts = {
                **({"meter": self.name} if self.name else {}),
                "key": "certifier",
                "from": first_day.isoformat(),
                "old": announcement.old,
                "new": announcement.new,
            }
            self.disclosure.log.append(self.now(), "new key", facts)
        if not self.database.connection.in_transaction:
            put_in_force(path)
        return announcement

    @property
    def aggregation_secret(self) -> bytes:
        """What the keys of aggregation rounds are derived from: 32 bytes."""
        return hmac.digest(self._vault_key, AGGREGATION, "sha256")

    def authorities(self) -> tuple[bytes, ...]:
        """Return the keys of those whom the resident trusts to say which meters there are.

        No sum is opened over meters that none of them vouches for.
        """
        paths = sorted((self.folder / "authorities").glob("*.pem"))
        return tuple(_public_key(path).public_bytes_raw() for path in paths)

    @property
    def meter_trust(self) -> MeterTrust:
        """What the authorities have said of meters."""
        return MeterTrust(self.folder / "authorities", self.authorities())

    def revocations(self) -> tuple[RevocationList, ...]:
        """Return the authorities' lists of meters that count no more."""
        return self.meter_trust.revocations()

    def certified_no_further(self) -> int | None:
        """Return the moment from which days are not certified any more; None: there is none.

        It is the end of the meter's certificate, or its revocation, whichever comes first.
        """
        signer = self.main.certifier.keys.signing_public_key
        return self.meter_trust.end_for(signer, self.description.meter)

    def issuer_keys(self) -> StaticKeys:
        """Return the issuer security domain's key set."""
        secret = read_secret(self.folder / "keys" / "issuer.key", size=3 * CHANNEL_KEY_SIZE)
        return static_keys(secret)

    def documents(self, applet: bytes) -> dict[bytes, bytes]:
        """Return what an applet keeps for the resident: its store's keys under `resident/`."""
        store = AppletStore(self.database, applet)
        shown = [key for key in store.keys() if key.startswith(RESIDENT)]  # noqa: SIM118
        found = {key: store.get(key) for key in shown}
        return {key: value for key, value in found.items() if value is not None}

    def sealing_key(self, purpose: str) -> bytes:
        """Return a key of 32 bytes for sealing something beside the vault, one a purpose."""
        return hmac.digest(self._vault_key, b"meterlet sealing 1 " + purpose.encode(), "sha256")

    def document_keepers(self) -> list[bytes]:
        """Return the applets that keep something for the resident."""
        return AppletStore.holders(self.database, RESIDENT)

    @property
    def zone(self) -> ZoneInfo:
        """The zone whose local days are certified."""
        return find_zone(self.description.zone)

    def add_meter(self, name: str, description: Description) -> None:
        """Give the hub a further meter; open the hub again to use it.

        Raises `DeviceError` where it cannot have it: a register or an identification it has.
        """
        try:
            described = self.description.with_meter(name, description)
        except ValueError as error:
            raise DeviceError(str(error)) from None
        keys, path = self.folder / "keys" / certifier_key_file(name), self.folder / "hub.toml"
        with self.database.transaction():  # one process at a time
            if not keys.exists():  # left from an attempt that was cut off
                CertifierKeys.generate(self.randomness).save(keys)
            self.disclosure.log.append(
                self.now(), "new meter", {"name": name, "meter": description.meter}
            )
            try:
                write_description(path, with_meter_in(path.read_text(), name, described))
            except ValueError as error:
                raise DeviceError(f"{path}: {error}") from None


def static_keys(secret: bytes) -> StaticKeys:
    """Return the key set in 48 bytes: Key-ENC, Key-MAC, Key-DEK."""
    size = CHANNEL_KEY_SIZE
    return StaticKeys(secret[:size], secret[size : 2 * size], secret[2 * size :])


def _public_key(path: Path) -> Ed25519PublicKey:
    try:
        key = load_pem_public_key(path.read_bytes())
    except (OSError, ValueError, UnsupportedAlgorithm):
        raise DeviceError(f"{path}: not a public key in PEM") from None
    if not isinstance(key, Ed25519PublicKey):
        raise DeviceError(f"{path}: not an Ed25519 public key")
    return key
