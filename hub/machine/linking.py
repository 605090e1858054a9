# SPDX-License-Identifier: Apache-2.0
"""An applet and the libraries that it imports, found by their packages' AIDs.

Only what this returns is run, and its digest is what a resident consents to.
"""

from collections.abc import Callable, Mapping, Sequence

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from hub.machine.bundle import Bundle
from hub.machine.errors import BundleError
from hub.machine.library import Library, package_version
from hub.machine.packed import bundle_of, signer_of

Find = Callable[[bytes], bytes | None]
"""Returns what a package of this AID carries, or None where there is no such package."""


def linked_bundle(
    content: bytes, module: bytes, vendor_keys: Mapping[bytes, Ed25519PublicKey], find: Find
) -> Bundle:
    """Return a module's applet with its libraries; raise `BundleError`."""
    return link(
        bundle_of(content, module, vendor_keys), signer_of(content, module), vendor_keys, find
    )


def link(
    bundle: Bundle, signer: bytes, vendor_keys: Mapping[bytes, Ed25519PublicKey], find: Find
) -> Bundle:
    """Return `bundle`, which `signer` signed, with its libraries; raise `BundleError`."""
    wanted = bundle.manifest.libraries
    if not wanted:
        return bundle
    found = []
    for one in wanted:
        content = find(one.package)
        if content is None:
            raise BundleError(
                f"it imports the library {one.package.hex().upper()} {one.version}, which is not"
                " here: load that first"
            )
        found.append(Library.decode(content, vendor_keys))
    return bundle.linked(found, signer)


def imports_of(bundles: Sequence[Bundle]) -> dict[bytes, bytes]:
    """Return what the applets of a package import: version (major, minor) by AID.

    Raises `BundleError` where two of them ask for different versions of one.
    """
    wanted: dict[bytes, bytes] = {}
    for bundle in bundles:
        for one in bundle.manifest.libraries:
            version = package_version(one.version)
            if wanted.setdefault(one.package, version) != version:
                raise BundleError(
                    f"two of the package's applets import {one.package.hex().upper()} in different"
                    " versions"
                )
    return wanted
