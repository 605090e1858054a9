# SPDX-License-Identifier: Apache-2.0
"""New versions that recipients bring: whom the resident lets bring them, and what waits for a yes.

A recipient manages its own applet where the resident lets it: the applet's security domain has the
privilege of authorised management (GPCS 2.3.1, 6.6.1), which is over what belongs to that domain
and nothing else. What it brings goes through by itself where it asks for no more than before; else
it is offered here, with all that it asks for. Nothing here takes a short cut into the registry:
commands go through the card, with the issuer's keys, which are the resident's.
"""

from dataclasses import dataclass, fields

from hub.card.entries import Privilege, RegistryEntry
from hub.card.other_versions import KeptVersion, OtherVersions, Place
from hub.card.registry import Registry
from hub.device import Device
from hub.disclosure import ConsentTerms
from hub.installer import InstallationError, Installer, consent_terms
from hub.machine.bundle import Bundle
from hub.machine.consent_terms import terms_of, widens
from hub.machine.errors import MachineError
from hub.machine.linking import linked_bundle
from hub.text import dotted


@dataclass(frozen=True, slots=True)
class OfferedApplet:
    """An instance, and what it would be run from."""

    aid: bytes
    before: Bundle
    after: Bundle

    @property
    def asked(self) -> list[ConsentTerms]:
        """All that the new version asks for."""
        return consent_terms(self.after, self.aid)

    @property
    def more(self) -> list[ConsentTerms]:
        """What of it the version in place does not ask for."""
        had = terms_of(self.before.manifest, self.after.digest, self.aid)
        return [
            wanted for wanted in self.asked
            if not any(terms.covers(wanted) for terms in had)
        ]  # fmt: skip

    def before_of(self, wanted: ConsentTerms) -> ConsentTerms | None:
        """Return what the version in place asks for in its stead: of the same statement, the one
        that is the most like it; None where it asks for nothing of that kind.
        """
        had = terms_of(self.before.manifest, self.after.digest, self.aid)
        same = [one for one in had if one.statement == wanted.statement]
        names = [one.name for one in fields(ConsentTerms)]

        def likeness(one: ConsentTerms) -> int:
            return sum(getattr(one, name) == getattr(wanted, name) for name in names)

        return max(same, key=likeness, default=None)

    @property
    def as_before(self) -> list[ConsentTerms]:
        """What of it the version in place asks for, too."""
        more = self.more
        return [terms for terms in self.asked if terms not in more]

    @property
    def asks_for_more(self) -> bool:
        """Whether that is why it waits: it may be its dealings or registers, too."""
        return widens(self.before.manifest, self.after.manifest)


@dataclass(frozen=True, slots=True)
class Offer:
    """A version that waits for the resident."""

    package: bytes
    digest: bytes
    """Names just this version, whatever else comes meanwhile."""
    version: str
    in_place: str
    is_older: bool
    """Whether it is the one that was there before, which its recipient wants to have back."""
    applets: tuple[OfferedApplet, ...]

    @property
    def name(self) -> str:
        """The names of the applets that would be run from it."""
        return ", ".join(sorted({one.after.manifest.name for one in self.applets}))


def offers_of(device: Device) -> list[Offer]:
    """Return what waits for the resident; no applet is started for being looked at.

    Raises `InstallationError` where a version cannot be read any more, as of a vendor whose key is
    gone.
    """
    registry, others = Registry(device.database), OtherVersions(device.database)
    offers = []
    for package in others.offered():
        offered, entry = others.find(package, Place.OFFERED), registry.find(package)
        if offered is None or entry is None:
            continue
        try:
            offers.append(_offer(device, registry, entry, offered))
        except MachineError as error:
            raise InstallationError(f"the offered version: {error}") from None
    return offers


def _offer(device: Device, registry: Registry, entry: RegistryEntry, offered: KeptVersion) -> Offer:
    vendors, affected = device.vendors(), {entry.aid, *registry.importers(entry.aid)}

    def find(package: bytes) -> bytes | None:
        return offered.content if package == entry.aid else registry.content(package)

    applets = tuple(
        OfferedApplet(
            instance.aid,
            linked_bundle(
                registry.content(instance.package) or b"",
                instance.module,
                vendors,
                registry.content,
            ),
            linked_bundle(find(instance.package) or b"", instance.module, vendors, find),
        )
        for instance in registry.entries()
        if instance.package in affected
    )
    is_older = offered.version < entry.version
    version, in_place = dotted(offered.version), dotted(entry.version)
    return Offer(entry.aid, offered.digest, version, in_place, is_older, applets)


def find_offer(device: Device, package: bytes) -> Offer:
    """Return what waits of a package, or of an applet in it; raise `InstallationError`."""
    for offer in offers_of(device):
        if package == offer.package or package in {one.aid for one in offer.applets}:
            return offer
    raise InstallationError(f"no new version of {package.hex().upper()} waits for you")


def accept_offer(installer: Installer, offer: Offer) -> None:
    """Put an offered version in place, with the consents that it asks for.

    The resident, who calls this, has seen all of them. Raises `InstallationError` where another
    version waits by now than the one that was shown; then nothing has changed.
    """
    disclosure = installer.device.disclosure
    with installer.device.database.transaction():
        installer.tell(lambda manager: manager.accept_version(offer.package, offer.digest))
        instances = {one.aid for one in offer.applets}
        for consent in disclosure.consents():
            if consent.terms.applet in instances and consent.revoked is None:
                disclosure.revoke(consent.number)
        for one in offer.applets:
            installer.consent(one.after, one.aid)


def refuse_offer(installer: Installer, offer: Offer) -> None:
    """Refuse an offered version: the one in place stays, and just this one is not offered again."""
    installer.tell(lambda manager: manager.refuse_version(offer.package, offer.digest))


def let_manage(installer: Installer, applet: bytes, *, is_allowed: bool) -> None:
    """Let an applet's recipient bring new versions of it, or no more.

    The domain is the one that the applet's package belongs to. Raises `InstallationError`.
    """
    domain = managed_by(installer, applet)
    privileges = Privilege.SECURITY_DOMAIN
    if is_allowed:
        privileges |= Privilege.AUTHORIZED_MANAGEMENT
    installer.tell(lambda manager: manager.set_privileges(domain.aid, privileges))


def may_manage(installer: Installer, applet: bytes) -> bool:
    """Tell whether an applet's recipient may bring new versions of it."""
    return managed_by(installer, applet).has(Privilege.AUTHORIZED_MANAGEMENT)


def managed_by(installer: Installer, applet: bytes) -> RegistryEntry:
    """Return the security domain that an applet's package belongs to."""
    card = installer.card
    entry = card.find(applet)
    package = None if entry is None else card.find(entry.package)
    domain = None if package is None else card.find(package.domain)
    if domain is None or not domain.is_domain:
        raise InstallationError(f"there is no applet {applet.hex().upper()}")
    if domain.aid == card.profile.issuer_aid:
        raise InstallationError(
            f"applet {applet.hex().upper()} belongs to the card's issuer, not to its recipient"
        )
    return domain
