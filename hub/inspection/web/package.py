# SPDX-License-Identifier: Apache-2.0
"""An applet's package, read before anything is done with it."""

from hub.card.packages.cap_file import CapFile, PackageError
from hub.device import Device
from hub.disclosure import ConsentTerms
from hub.inspection.web.installed import Vendor, signer_of
from hub.installer import InstallationError, consent_terms
from hub.machine.bundle import Bundle
from hub.machine.errors import BundleError


def read_package(device: Device, content: bytes) -> tuple[Bundle, Vendor, list[ConsentTerms]]:
    """Return a package's bundle, who signed it, and the consents it asks for.

    Raises `InstallationError` where its form or its signature is not right.
    """
    try:
        cap = CapFile.decode(content)
        bundle = Bundle.decode(cap.file.bundle, device.vendors())
    except (PackageError, BundleError) as error:
        raise InstallationError(f"the package: {error}") from None
    vendor = signer_of(device, cap.file.bundle)
    if vendor is None:
        raise InstallationError("the package: signed by nobody who is trusted to sign applets")
    return bundle, vendor, consent_terms(bundle)
