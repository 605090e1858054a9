# SPDX-License-Identifier: Apache-2.0
"""What a package carries: one applet's bundle as it is, or several, each under its module's AID.

    `Meterlet applets` 00 | version 01 | for each, in order of AIDs: length of its AID (1), AID,
                                         length of its bundle (4, big-endian), bundle

Each is signed by itself, with a manifest of its own: a package is how they travel, and nothing that
they share. The AID is the manifest's.
"""

from collections.abc import Mapping, Sequence
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from hub.machine.bundle import CONTENT_TYPE, Bundle
from hub.machine.errors import BundleError
from protocols.canonical.cose import SignedParts

LABEL: Final = b"Meterlet applets\0\x01"
MOST: Final = 16


def pack(bundles: Mapping[bytes, bytes]) -> bytes:
    """Return the content of a package with these bundles, by their manifests' AIDs."""
    if len(bundles) == 1:
        return next(iter(bundles.values()))
    if not 1 < len(bundles) <= MOST:
        raise BundleError(f"a package carries 1 to {MOST} applets")
    return LABEL + b"".join(
        bytes((len(aid),)) + aid + len(bundle).to_bytes(4, "big") + bundle
        for aid, bundle in sorted(bundles.items())
    )


def unpack(content: bytes) -> dict[bytes, bytes]:
    """Return the bundles by AID; the only one under the empty name. Raises `BundleError`."""
    if not content.startswith(LABEL):
        return {b"": content}
    bundles: dict[bytes, bytes] = {}
    rest = content[len(LABEL) :]
    while rest:
        aid = rest[1 : 1 + rest[0]]
        head = 1 + len(aid) + 4
        size = int.from_bytes(rest[1 + len(aid) : head], "big")
        if len(rest) < head + size or not 5 <= len(aid) <= 16:
            raise BundleError("the package of several applets is cut off, or names none")
        bundles[aid], rest = rest[head : head + size], rest[head + size :]
    if len(bundles) < 2 or pack(bundles) != content:
        raise BundleError("the package of several applets is not in its one form")
    return bundles


def bundle_of(
    content: bytes, module: bytes, vendor_keys: Mapping[bytes, Ed25519PublicKey]
) -> Bundle:
    """Return the bundle that a module is run from; raise `BundleError`."""
    bundles = unpack(content)
    raw = bundles.get(b"", bundles.get(module))
    if raw is None:
        raise BundleError(f"the package holds no applet {module.hex().upper()}")
    bundle = Bundle.decode(raw, vendor_keys)
    if b"" not in bundles and bundle.manifest.aid != module:
        raise BundleError(f"what is called {module.hex().upper()} is another applet")
    return bundle


def bundles_of(content: bytes, vendor_keys: Mapping[bytes, Ed25519PublicKey]) -> Sequence[Bundle]:
    """Return all bundles of a package; raise `BundleError` unless each one is right."""
    return [bundle_of(content, module, vendor_keys) for module in unpack(content)]


def require_successor(
    old: bytes, new: bytes, module: bytes, vendor_keys: Mapping[bytes, Ed25519PublicKey]
) -> None:
    """Return if a module's new version may have what the old one stored; raise `BundleError`.

    Both are of one vendor and for one recipient: what was kept for one is told to no other. What
    sees readings goes on seeing the same and letting out the same, and what sees none stays blind:
    a store of readings must not come to a program that may tell whatever it has.
    """
    before, after = (bundle_of(content, module, vendor_keys) for content in (old, new))
    if signer_of(old, module) != signer_of(new, module):
        raise BundleError("the new version is signed by another vendor")
    for member, word in _LASTING.items():
        if getattr(before.manifest, member) != getattr(after.manifest, member):
            raise BundleError(f"the new version has another {word}: install it as a new applet")


_LASTING: Final = {
    "aid": "AID",
    "recipient": "recipient",
    "confinement": "confinement",
    "resolution_minutes": "resolution of readings",
    "registers": "choice of registers",
    "outputs": "choice of outputs",
}
"""Members of a manifest that what is stored depends on, in words."""


def signer_of(content: bytes, module: bytes) -> bytes:
    """Return the key id of who signed the bundle that a module is run from."""
    bundles = unpack(content)
    raw = bundles.get(b"", bundles.get(module, b""))
    return SignedParts.decode(raw, CONTENT_TYPE).key_id
