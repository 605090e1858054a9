# SPDX-License-Identifier: Apache-2.0
"""What is wrong with a package."""

from protocols.errors import MeterletError


class PackageMalformed(MeterletError):
    """A file is not a CAP file, or a load file, with a bundle for this machine."""


class PackageTooLarge(PackageMalformed):
    """What is to be packed does not fit the form."""
