# SPDX-License-Identifier: Apache-2.0
"""Joins the card to the machine: an instance in the registry is an applet that runs.

The card decides who is asking and in which transaction; the machine runs the applet; what an
applet answers over its channel is put on record here, to the byte, before it leaves.

A command that ends in an error keeps nothing, and the applet forgets what it has learned on the
way: a release that is taken back must not live on in an applet's memory. Only that the guard
refused something stays on record. A raw applet is never asked: its outputs are, as they were last
released.

Applets that call each other go through the card's firewall: both manifests name the other, and both
have the same recipient, so that what one was told stays with whom it was told for.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Final, Protocol, TypeVar

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from hub.applet_host import HubAggregation, RoundRecord
from hub.applet_host.answers import forget_answers
from hub.applet_host.asked_again import AskedAgain
from hub.applet_host.certified_days import tell_span
from hub.applet_host.command import CommandFailed, CommandRecord, CommandStack
from hub.applet_host.custody import CustodyGate
from hub.applet_host.desk import StatementDesk
from hub.applet_host.jobs import SW_BUSY, ProofJobs, WorkInProgress
from hub.applet_host.memory import forget_memory
from hub.applet_host.peers import AppletPeers, AppletTransactions, PeerBroke
from hub.applet_host.registers import granted_registers
from hub.applet_host.services import HubCalendar, HubClock, HubReadings
from hub.applet_host.statements import HubStatements
from hub.applet_host.store import AppletStore, HubLog
from hub.applet_host.versions import OtherVersion
from hub.card.applet_runtime import AppletContext, AppletRefused, RegisteredApplet
from hub.card.registry import Registry
from hub.card.sharing import Firewall
from hub.disclosure import Disclosure, OutputRequest, ReleaseRefused
from hub.disclosure.countersigned import HeadDesk
from hub.machine.bundle import Bundle
from hub.machine.ed25519 import Ed25519Signatures
from hub.machine.errors import AppletFault, BundleError, MachineError
from hub.machine.instance import AppletInstance
from hub.machine.library import require_library, require_next_library
from hub.machine.limits import MAX_FUEL
from hub.machine.linking import imports_of, link, linked_bundle
from hub.machine.machine import AppletMachine
from hub.machine.manifest import Confinement
from hub.machine.meter import WorkMeter
from hub.machine.packed import bundles_of, require_successor, signer_of
from hub.machine.raw import OutputBoard, RawApplet, Released
from hub.metering import MeteredRegister
from hub.text import printable
from hub.vault.database import Database
from protocols.aggregation.revocations import RevocationList
from protocols.certified_span import P1_DAYS
from protocols.iso7816.apdu import CommandApdu, ResponseApdu
from protocols.packages.load_file import LoadFile
from protocols.platform.errors import Refusal, Refused
from protocols.platform.services import Log, Platform
from sml_codec import Obis

SW_SUCCESS: Final = 0x9000
SW_SECURITY: Final = 0x6982
SW_WRONG_DATA: Final = 0x6A80
SW_FAILED: Final = 0x6400
SW_CONDITIONS: Final = 0x6985
FAULT_LINES: Final = 20
"""The end of a traceback that an applet's log keeps."""
LINE_SIZE: Final = 200
UNKEYED_A_DAY: Final = 64
DAY_SECONDS: Final = 86_400
KEEPING: Final = frozenset({0x90, 0x61, 0x62, 0x63})
"""First status bytes of commands that have done something (ISO/IEC 7816-4, 5.6)."""


T = TypeVar("T")


@dataclass(slots=True)
class _HeardLog(Log):
    """An applet's log, and the last line of the command of the moment: why it refuses."""

    kept: HubLog
    last: str = ""

    def write(self, text: str) -> None:
        """Keep a line."""
        self.last = text
        self.kept.write(text)


@dataclass(slots=True)
class _Running:
    """An applet and what was made for it."""

    instance: AppletInstance
    raw: RawApplet | None
    board: OutputBoard | None
    meter: WorkMeter
    log: _HeardLog


class HubParts(Protocol):
    """What the services of applets work with: the parts of the hub that a device joins."""

    database: Database
    disclosure: Disclosure

    @property
    def every_register(self) -> Mapping[bytes, MeteredRegister]:
        """Those of all meters, by OBIS code; the first is the main one."""

    @property
    def main(self) -> MeteredRegister:
        """The main register."""

    def now(self) -> int:
        """Return epoch seconds."""

    @property
    def aggregation_secret(self) -> bytes:
        """What the keys of aggregation rounds are derived from: 32 bytes."""

    def authorities(self) -> tuple[bytes, ...]:
        """Return the keys of the metering authorities that the resident trusts."""

    @property
    def randomness(self) -> Callable[[int], bytes]:
        """Returns so many random bytes."""

    def revocations(self) -> tuple[RevocationList, ...]:
        """Return their lists of meters that count no more."""


@dataclass(slots=True)
class MachineRuntime:
    """Runs the card's applets; implements `hub.card.AppletRuntime` and `SharingRuntime`."""

    machine: AppletMachine
    hub: HubParts
    vendors: Mapping[bytes, Ed25519PublicKey]
    """Whose signatures on packages the resident trusts, by key id."""
    _registry: Registry = field(init=False)
    _firewall: Firewall = field(init=False)
    _stack: CommandStack = field(init=False)
    _bundles: dict[tuple[bytes, bytes], Bundle] = field(default_factory=dict, init=False)
    """By package and module."""
    _running: dict[bytes, _Running] = field(default_factory=dict, init=False)
    _selected: dict[int, set[bytes]] = field(default_factory=dict, init=False)
    """Which applets each connection has turned to."""
    _jobs: ProofJobs = field(init=False)
    _again: AskedAgain = field(init=False)
    _generation: bytes = field(default=b"", init=False)
    """That of the packages' contents when what is running was started."""
    _has_permitted: bool = field(default=False, init=False)
    """Whether the last command put something on record that stays."""
    _unkeyed_day: int = field(default=0, init=False)
    _unkeyed: int = field(default=0, init=False)
    """Answers of that day to whoever has no key, which changed nothing."""

    def __post_init__(self) -> None:
        self._registry = Registry(self.hub.database)
        self._generation = self._registry.generation()
        self._firewall = Firewall(self._registry, self)
        self._stack = CommandStack(self.hub.database)
        self._jobs = ProofJobs(self.hub.now)
        self._again = AskedAgain(self.hub.disclosure, self._jobs)

    def load(self, file: LoadFile) -> None:
        """Check the form and the signatures of what a package carries; nothing of it runs yet."""
        try:
            self._check(file)
        except MachineError as error:
            raise AppletRefused(SW_WRONG_DATA, str(error)) from None
        self.unload(file.aid)

    def _check(self, file: LoadFile) -> None:
        """Return if a package is what its vendor signed, its AID, version and imports too."""
        if not file.modules:
            require_library(file.bundle, file.aid, file.version, self.vendors)
            if file.imports:
                raise BundleError("a library imports no other")
            return
        bundles = bundles_of(file.bundle, self.vendors)
        if imports_of(bundles) != {one.aid: one.version for one in file.imports}:
            raise BundleError("the package's imports are not those of its applets' manifests")
        for bundle in bundles:  # whether libraries fit is found before anything is installed
            signer = signer_of(file.bundle, bundle.manifest.aid)
            link(bundle, signer, self.vendors, self._registry.content)

    def check_upgrade(self, file: LoadFile, instances: Sequence[RegisteredApplet]) -> None:
        """Return if another version may have what the one in place has stored."""
        old = self._registry.content(file.aid) or b""
        try:
            self._check(file)
            if not file.modules:
                self._check_library(file, old, instances)
            else:
                for module in {instance.module for instance in instances}:
                    require_successor(old, file.bundle, module, self.vendors)
        except MachineError as error:
            raise AppletRefused(SW_WRONG_DATA, str(error)) from None

    def asks_for_more(self, file: LoadFile, instances: Sequence[RegisteredApplet]) -> bool:
        """Tell whether a version that was checked asks for more than the one in place."""
        return self._other_version(file, instances).asks_for_more()

    def carry_consents(self, file: LoadFile, instances: Sequence[RegisteredApplet]) -> None:
        """Let the resident's consents go over to a version that asks for no more."""
        self._other_version(file, instances).carry_consents()

    def _other_version(self, file: LoadFile, instances: Sequence[RegisteredApplet]) -> OtherVersion:
        disclosure = self.hub.disclosure
        return OtherVersion(file, instances, self._registry, self.vendors, disclosure)

    def tell_of_version(self, package: bytes, version: bytes, event: str) -> None:
        """Put on record what has become of a version; this process knows of it already."""
        self._generation = self._registry.generation()
        facts = {"package": package, "version": ".".join(map(str, version)), "event": event}
        self.hub.disclosure.log.append(self.hub.now(), "version", facts)

    def upgrade(self, file: LoadFile, instances: Sequence[RegisteredApplet]) -> None:
        """Let instances start afresh: a version that was checked comes into its place."""
        for instance in instances:
            running = self._running.pop(instance.aid, None)
            if running is not None:
                running.instance.discard()
            self._jobs.forget_applet(instance.aid)
            self.unload(instance.package)
        self._again.forget()
        self.unload(file.aid)

    def _check_library(
        self, file: LoadFile, old: bytes, instances: Sequence[RegisteredApplet]
    ) -> None:
        """Return if a library's new version is its vendor's, and all who import it go with it."""
        require_next_library(old, file.bundle, self.vendors)

        def find(package: bytes) -> bytes | None:
            return file.bundle if package == file.aid else self._registry.content(package)

        for instance in instances:
            content = self._registry.content(instance.package) or b""
            linked_bundle(content, instance.module, self.vendors, find)

    def unload(self, package: bytes) -> None:
        """Forget a package."""
        for known in [key for key in self._bundles if key[0] == package]:
            del self._bundles[known]

    def install(self, instance: RegisteredApplet, parameters: bytes) -> None:
        """Make an instance under any AID; refused unless the applet itself agrees."""
        running = self._start(instance)
        if running.board is not None:
            running.board.install(self.hub.now())
        response = self._run(instance, lambda applet: applet.install(parameters))
        # It may be months until somebody turns to it: its memory is for whoever does.
        running.instance.discard()
        if response.sw != SW_SUCCESS:
            said = self.words(instance) or "it does not say why"
            raise AppletRefused(response.sw, f"the applet refused to be installed: {said}")

    def words(self, instance: RegisteredApplet) -> str:
        """Return what an applet wrote last during the command of the moment, or how it broke."""
        running = self._running.get(instance.aid)
        return "" if running is None else printable(running.log.last)[:LINE_SIZE]

    def uninstall(self, instance: RegisteredApplet) -> None:
        """Give an applet its last word and clear its corner of the store, whatever it says."""
        with suppress(AppletRefused):  # what breaks on its way out must not stay for that
            self._run(instance, lambda applet: applet.uninstall())
        running = self._running.pop(instance.aid, None)
        if running is not None and running.board is not None:
            running.board.uninstall()
        AppletStore(self.hub.database, instance.aid).clear()
        forget_answers(self.hub.database, instance.aid)
        forget_memory(self.hub.database, instance.aid)
        self._jobs.forget_applet(instance.aid)

    def select(self, context: AppletContext, command: CommandApdu) -> ResponseApdu:
        """Select an applet; all that anyone is told of it is whether it agrees."""
        self._selected.setdefault(context.connection, set()).add(context.instance.aid)
        if self._start(context.instance).board is not None:
            return ResponseApdu(b"", SW_SUCCESS)
        response = self._run(context.instance, lambda applet: applet.select())
        return ResponseApdu(b"", response.sw)

    def deselect(self, context: AppletContext) -> None:
        """Tell an applet that it is no longer selected."""
        running = self._running.get(context.instance.aid)
        if running is not None and running.board is None:
            try:
                running.instance.deselect()
            except AppletFault:
                running.instance.discard()

    def process(self, context: AppletContext, command: CommandApdu) -> ResponseApdu:
        """Run a command that came over the applet's own channel, fully protected.

        Of an applet that only takes part in sums it may come as it is.
        """
        manifest = self._bundle(context.instance).manifest
        if not (context.is_protected or manifest.protects_itself):
            raise AppletRefused(
                SW_SECURITY, "an applet answers only over its own channel, at level 33"
            )
        desk = HeadDesk(self.hub.disclosure.log)
        if desk.is_meant(command) and context.is_protected:
            if command.p1 == P1_DAYS and manifest.confinement is not Confinement.RAW:
                return tell_span(granted_registers(self.hub.every_register, manifest), command)
            return desk.answer(context.instance.aid, manifest.recipient, command, self.hub.now())
        running, since = self._start(context.instance), self.hub.disclosure.log.length()
        running.log.last = ""
        if running.board is not None:
            response = ResponseApdu.decode(running.board.answer(command.encode()))
        else:
            response = self._process(context, command)
        if response.data and (context.is_protected or self._keeps_unkeyed()):
            self.hub.disclosure.record_message(
                context.instance.aid, manifest.recipient, manifest.purpose, response.data, since
            )
        return response

    def _keeps_unkeyed(self) -> bool:
        """Tell whether an answer to somebody without a key is put on record.

        One that changed nothing at the hub could be had by the thousand, to fill the disk. Of
        those the first `UNKEYED_A_DAY` of a day are, and then the 128th, 256th, 512th, ...
        """
        if self._has_permitted:
            return True
        today = self.hub.now() // DAY_SECONDS
        if today != self._unkeyed_day:
            self._unkeyed_day, self._unkeyed = today, 0
        self._unkeyed += 1
        return self._unkeyed <= UNKEYED_A_DAY or not self._unkeyed & (self._unkeyed - 1)

    def protects_itself(self, instance: RegisteredApplet) -> bool:
        """Tell whether an applet only takes part in sums; one that is not trusted does not."""
        try:
            return self._bundle(instance).manifest.protects_itself
        except AppletRefused:
            return False

    def personalise(self, context: AppletContext, command: CommandApdu) -> ResponseApdu:
        """Hand an applet the STORE DATA that its domain received for it.

        Whoever sends it is told whether it was taken, and nothing else: what an applet answers
        leaves over its own channel. A raw applet takes none, or its status words would say what
        its outputs may not.
        """
        if self._start(context.instance).board is not None:
            raise AppletRefused(SW_CONDITIONS, "a raw applet takes no data but its readings")
        return ResponseApdu(b"", self._process(context, command).sw)

    def _process(self, context: AppletContext, command: CommandApdu) -> ResponseApdu:
        raw, entry = command.encode(), context.instance
        name = self._again.name_of(entry.aid, entry.package, raw)
        if self._again.is_busy(name):
            return ResponseApdu(b"", SW_BUSY)
        status_word = self._again.refusal(name)
        if status_word is not None:
            return ResponseApdu(b"", status_word)
        return self._run(entry, lambda applet: applet.process(raw), may_release=name)

    def reset(self, connection: int) -> None:
        """Forget what the applets that a connection turned to hold in memory: it is transient."""
        for aid in self._selected.pop(connection, ()):
            running = self._running.get(aid)
            if running is not None:
                running.instance.discard()

    def close(self) -> None:
        """Let all applets lose their memory, as when the card's power goes."""
        self._jobs.close()
        for running in self._running.values():
            running.instance.discard()

    def tick(self, applets: Iterable[RegisteredApplet]) -> int:
        """Let raw applets do what is due; return how many outputs were released.

        Together they burn no more than two commands may; who is left is updated at the next tick.
        """
        raw = []
        for entry in applets:
            with suppress(AppletRefused):  # a package that is no longer trusted does nothing
                one = self._start(entry).raw
                if one is not None:
                    raw.append(one)
        released = sum(len(one.release(self.hub.now())) for one in raw)
        burnt = 0
        for one in raw:
            if burnt < MAX_FUEL:
                burnt += one.update_due()
        return released

    def grants(self, server: RegisteredApplet, client: bytes, interface: int) -> bool:
        """Ask a server whose manifest names the client whether it shares with it."""
        ours, theirs = self._start(server), self._running[client]
        manifest = ours.instance.bundle.manifest
        # Manifests name each other as their vendors do: another instance is nobody's peer.
        names = (manifest.aid, theirs.instance.bundle.manifest.aid)
        if names != (server.aid, client):
            return False
        named = any(one.service == interface and client in one.clients for one in manifest.shared)
        if not named or manifest.recipient != theirs.instance.bundle.manifest.recipient:
            return False
        payer = self._running[client].meter
        return self._serve(server, lambda applet: applet.grants(client, interface, payer))

    def serve(
        self, server: RegisteredApplet, client: bytes, interface: int, request: bytes
    ) -> bytes:
        """Let a server answer; what it writes is part of the client's command."""
        payer = self._running[client].meter
        return self._serve(server, lambda applet: applet.serve(client, interface, request, payer))

    def _serve(self, entry: RegisteredApplet, call: Callable[[AppletInstance], T]) -> T:
        instance, record = self._start(entry).instance, self._stack.record
        try:
            with self._stack.entered(record, instance):
                return call(instance)
        except AppletFault as fault:
            record.faults.append((entry.aid, fault))
            raise PeerBroke(fault.status_word, str(fault)) from None

    def _run(
        self,
        entry: RegisteredApplet,
        call: Callable[[AppletInstance], bytes],
        *,
        may_release: bytes | None = None,
    ) -> ResponseApdu:
        """Let an applet work; `may_release` is the command's name where it may release anything."""
        running, record = self._start(entry), CommandRecord()
        instance, running.log.last = running.instance, ""
        response = ResponseApdu(b"", SW_FAILED)
        entered = self._stack.entered(record, instance, may_release=may_release is not None)
        try:
            with self.hub.database.transaction(), entered:
                # The record may yet fail to reach the disk, when the card commits the command.
                self.hub.database.when_undone(record.forget)
                response = ResponseApdu.decode(call(instance))
                if response.sw >> 8 not in KEEPING:
                    raise CommandFailed
            self._again.kept(record)
        except CommandFailed:
            self._take_back(record)
            if may_release is not None and record.refused and not record.permitted:
                self._again.refused(may_release, response.sw, record)
        except WorkInProgress as busy:
            self._take_back(record)
            if may_release is not None:
                self._again.wait_for(may_release, busy.question)
            return ResponseApdu(b"", SW_BUSY)
        except AppletFault as fault:
            self._take_back(record)
            record.faults.append((entry.aid, fault))
            running.log.last = str(fault)
            response = ResponseApdu(b"", fault.status_word)
        except BaseException:
            record.forget()
            raise
        self._keep_faults(record)
        self._has_permitted = bool(record.permitted)
        if record.permitted and response.sw >> 8 not in KEEPING:
            # Which error it is could tell of what was opened: there is one for all.
            return ResponseApdu(b"", SW_FAILED)
        return response

    def _take_back(self, record: CommandRecord) -> None:
        """Let all that took part forget a command; what was opened or refused stays on record."""
        record.forget()
        self.hub.disclosure.refusals.restore()
        for put_on_record in record.permitted:
            put_on_record()

    def _keep_faults(self, record: CommandRecord) -> None:
        for aid, fault in record.faults:
            log = HubLog(self.hub.database, aid, self.hub.now)
            for line in (str(fault), *fault.detail.splitlines()[-FAULT_LINES:]):
                log.write(printable(line)[:LINE_SIZE])

    def _start(self, entry: RegisteredApplet) -> _Running:
        self._follow_versions()
        running = self._running.get(entry.aid)
        if running is None:
            bundle = self._bundle(entry)
            running = self._running[entry.aid] = self._new(entry, bundle)
        return running

    def _follow_versions(self) -> None:
        """Let all start afresh where another process has put a version in place."""
        generation = self._registry.generation()
        if generation == self._generation:
            return
        self._generation = generation
        self._bundles.clear()
        while self._running:
            aid, running = self._running.popitem()
            running.instance.discard()
            self._jobs.forget_applet(aid)
        self._again.forget()

    def _new(self, entry: RegisteredApplet, bundle: Bundle) -> _Running:
        hub, manifest, board = self.hub, bundle.manifest, None
        if manifest.confinement is Confinement.RAW:
            board = OutputBoard(
                self.hub.database,
                entry.aid,
                manifest,
                lambda due: self._permit(entry, bundle, due),
                hub.main.zone,
            )
        quota = manifest.limits.store_bytes
        if entry.data_quota is not None:
            quota = min(quota, entry.data_quota)
        log, meter = _HeardLog(HubLog(hub.database, entry.aid, hub.now)), WorkMeter()
        registers = granted_registers(hub.every_register, manifest)
        [main, *_] = registers.values()
        desk = StatementDesk.of(
            hub, manifest, bundle.digest, self._stack, meter, self._jobs, entry.aid
        )
        platform = Platform(
            statements=HubStatements(
                entry.aid, bundle.digest, manifest, registers, str(Obis(hub.main.channel.register)),
                hub.disclosure, self._stack, desk,
            ),
            calendar=HubCalendar(
                registers,
                meter,
                CustodyGate(entry.aid, bundle.digest, manifest, hub.disclosure, self._stack),
            ),
            store=AppletStore(hub.database, entry.aid, quota),
            clock=HubClock(hub.now),
            signatures=Ed25519Signatures(),
            log=log,
        )  # fmt: skip
        if board is not None:
            minutes = manifest.resolution_minutes or main.slot_minutes
            readings = HubReadings(registers, minutes, meter)
            platform = replace(platform, readings=readings, outputs=board)
        else:
            platform = replace(
                platform,
                transactions=AppletTransactions(self._stack),
                peers=AppletPeers(entry.aid, self._stack, self._firewall),
                aggregation=HubAggregation(
                    entry.aid, bundle.digest, manifest, registers, hub.disclosure,
                    RoundRecord(hub.database), hub.aggregation_secret, hub.authorities, hub.now,
                    self._stack, meter, revocations=hub.revocations,
                ),
            )  # fmt: skip
        instance = self.machine.instance(bundle, platform, meter)
        raw = None
        if board is not None:
            raw = RawApplet(instance, board, self.hub.database, lambda fault: log.write(str(fault)))
        return _Running(instance, raw, board, meter, log)

    def _permit(self, entry: RegisteredApplet, bundle: Bundle, due: Released) -> None:
        manifest = bundle.manifest
        try:
            self.hub.disclosure.permit_output(
                OutputRequest(
                    applet=entry.aid,
                    package=bundle.digest,
                    recipient=manifest.recipient,
                    purpose=manifest.purpose,
                    output=due.output.name,
                    boundary=due.boundary,
                    bits=8 * due.output.size,
                    is_set=due.is_set,
                )
            )
        except ReleaseRefused:
            raise Refused(Refusal.NO_CONSENT) from None

    def _bundle(self, entry: RegisteredApplet) -> Bundle:
        key = entry.package, entry.module
        if key not in self._bundles:
            content = self._registry.content(entry.package)
            if content is None:
                raise AppletRefused(SW_WRONG_DATA, "the package carries nothing to run")
            try:
                self._bundles[key] = linked_bundle(
                    content, entry.module, self.vendors, self._registry.content
                )
            except MachineError as error:
                raise AppletRefused(SW_WRONG_DATA, str(error)) from None
        return self._bundles[key]
