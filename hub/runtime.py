# SPDX-License-Identifier: Apache-2.0
"""Joins the card to the machine: an instance in the registry is an applet that runs.

The card decides who is asking and in which transaction; the machine runs the applet; what an
applet answers over its channel is put on record here, to the byte, before it leaves.
"""

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from hub.card import AppletContext, AppletRefused
from hub.card import AppletInstance as Entry
from hub.disclosure import Disclosure
from hub.machine import (
    AppletFault,
    AppletInstance,
    AppletMachine,
    Bundle,
    BundleError,
    Ed25519Signatures,
    Platform,
)
from hub.metering import Meter
from hub.services import AppletStore, HubCalendar, HubClock, HubLog, HubStatements
from hub.vault import Database
from protocols.secure_channel import CommandApdu, ResponseApdu

__all__ = ["MachineRuntime"]

SW_SUCCESS: Final = 0x9000
SW_SECURITY: Final = 0x6982
SW_WRONG_DATA: Final = 0x6A80


@dataclass(slots=True)
class MachineRuntime:
    """Runs the card's applets; implements `hub.card.AppletRuntime`."""

    machine: AppletMachine
    database: Database
    disclosure: Disclosure
    meter: Meter
    now: Callable[[], int]
    vendors: Mapping[bytes, Ed25519PublicKey]
    """Whose signatures on packages the resident trusts, by key id."""
    packages: Callable[[bytes], bytes | None]
    """Returns the bundle of a package in the registry."""
    _bundles: dict[bytes, Bundle] = field(default_factory=dict, init=False)
    _running: dict[bytes, AppletInstance] = field(default_factory=dict, init=False)

    def load(self, package: bytes, bundle: bytes) -> None:
        """Check a bundle's form and signature; nothing of it runs yet."""
        self._bundles[package] = self._decode(bundle)

    def unload(self, package: bytes) -> None:
        """Forget a package."""
        self._bundles.pop(package, None)

    def install(self, instance: Entry, parameters: bytes) -> None:
        """Make an instance; refused unless the applet itself agrees."""
        if self._bundle(instance.package).manifest.aid != instance.aid:
            raise AppletRefused(SW_WRONG_DATA, "the manifest names another AID")
        response = self._run(instance, lambda applet: applet.install(parameters))
        if response.sw != SW_SUCCESS:
            raise AppletRefused(response.sw, "the applet refused to be installed")

    def uninstall(self, instance: Entry) -> None:
        """Give an applet its last word and clear its corner of the store, whatever it says."""
        with suppress(AppletRefused):  # what breaks on its way out must not stay for that
            self._run(instance, lambda applet: applet.uninstall())
        self._running.pop(instance.aid, None)
        AppletStore(self.database, instance.aid).clear()

    def select(self, context: AppletContext, command: CommandApdu) -> ResponseApdu:
        """Select an applet; what it says of itself is nothing secret."""
        return self._run(context.instance, lambda applet: applet.select())

    def deselect(self, context: AppletContext) -> None:
        """Tell an applet that it is no longer selected."""
        running = self._running.get(context.instance.aid)
        if running is not None:
            try:
                running.deselect()
            except AppletFault:
                self._running.pop(context.instance.aid, None)

    def process(self, context: AppletContext, command: CommandApdu) -> ResponseApdu:
        """Run a command that came over the applet's own channel, fully protected."""
        if not context.is_protected:
            raise AppletRefused(
                SW_SECURITY, "an applet answers only over its own channel, at level 33"
            )
        response = self._run(context.instance, lambda applet: applet.process(command.encode()))
        manifest = self._bundle(context.instance.package).manifest
        if response.data:
            self.disclosure.record_message(
                context.instance.aid, manifest.recipient, manifest.purpose, response.data
            )
        return response

    def personalise(self, context: AppletContext, command: CommandApdu) -> ResponseApdu:
        """Hand an applet the STORE DATA that its domain received for it."""
        return self._run(context.instance, lambda applet: applet.process(command.encode()))

    def reset(self, connection: int) -> None:
        """Forget what applets hold in memory: it is transient, as on a card."""
        for applet in self._running.values():
            applet.discard()

    def _run(self, entry: Entry, call: Callable[[AppletInstance], bytes]) -> ResponseApdu:
        applet = self._running.get(entry.aid)
        if applet is None:
            bundle = self._bundle(entry.package)
            applet = self.machine.instance(bundle, self._platform(entry, bundle))
            self._running[entry.aid] = applet
        try:
            return ResponseApdu.decode(call(applet))
        except AppletFault as fault:
            HubLog(self.database, entry.aid, self.now).write(str(fault))
            raise AppletRefused(
                fault.status_word, f"the applet failed: {fault.kind.name}"
            ) from None

    def _platform(self, entry: Entry, bundle: Bundle) -> Platform:
        return Platform(
            statements=HubStatements(
                entry.aid, bundle.digest, bundle.manifest, self.meter, self.disclosure
            ),
            calendar=HubCalendar(self.meter),
            store=AppletStore(self.database, entry.aid, bundle.manifest.limits.store_bytes),
            clock=HubClock(self.now),
            signatures=Ed25519Signatures(),
            log=HubLog(self.database, entry.aid, self.now),
        )

    def _bundle(self, package: bytes) -> Bundle:
        if package not in self._bundles:
            content = self.packages(package)
            if content is None:
                raise AppletRefused(SW_WRONG_DATA, "the package carries nothing to run")
            self._bundles[package] = self._decode(content)
        return self._bundles[package]

    def _decode(self, bundle: bytes) -> Bundle:
        try:
            return Bundle.decode(bundle, self.vendors)
        except BundleError as error:
            raise AppletRefused(SW_WRONG_DATA, str(error)) from None
