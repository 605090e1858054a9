# SPDX-License-Identifier: Apache-2.0
"""What a package's other version asks of the resident, beside the one that is in place.

The card asks before it puts a version in place that a recipient has brought (`hub.card.upgrades`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from hub.card.applet_runtime import RegisteredApplet
from hub.card.registry import Registry
from hub.disclosure import Disclosure
from hub.disclosure.carrying import carry, standing_for, were_worded_otherwise
from hub.machine.bundle import Bundle
from hub.machine.consent_terms import terms_of, widens
from hub.machine.linking import linked_bundle
from protocols.packages.load_file import LoadFile


@dataclass(frozen=True, slots=True)
class OtherVersion:
    """A version that was checked, and the instances that would be run from it."""

    file: LoadFile
    instances: Sequence[RegisteredApplet]
    registry: Registry
    vendors: Mapping[bytes, Ed25519PublicKey]
    disclosure: Disclosure

    def asks_for_more(self) -> bool:
        """Tell whether an instance asks for more than before, or has consents of older words."""
        for instance in self.instances:
            before, after = self._before(instance), self._after(instance)
            standing = standing_for(self.disclosure, instance.aid, before.digest)
            if widens(before.manifest, after.manifest):
                return True
            if were_worded_otherwise(self.disclosure, standing):
                return True
        return False

    def carry_consents(self) -> None:
        """Let the consents go over; raise `ValueError` where that would allow more."""
        for instance in self.instances:
            before, after = self._before(instance), self._after(instance)
            asked = terms_of(after.manifest, after.digest, instance.aid)
            carry(self.disclosure, instance.aid, before.digest, asked)

    def _before(self, instance: RegisteredApplet) -> Bundle:
        content = self.registry.content(instance.package) or b""
        return linked_bundle(content, instance.module, self.vendors, self.registry.content)

    def _after(self, instance: RegisteredApplet) -> Bundle:
        content = self._find(instance.package) or b""
        return linked_bundle(content, instance.module, self.vendors, self._find)

    def _find(self, package: bytes) -> bytes | None:
        return self.file.bundle if package == self.file.aid else self.registry.content(package)
