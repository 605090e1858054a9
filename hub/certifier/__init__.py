# SPDX-License-Identifier: Apache-2.0
"""The sealed metrology part: readings in, signed commitments out."""

from hub.certifier.certifier import Certification, Certifier
from hub.certifier.errors import CertifierError, KeyFileError, OutOfOrder, ReadingsRefused
from hub.certifier.keys import CertifierKeys
from hub.certifier.slots import DayUse, default_tolerance, slot_uses

__all__ = [
    "Certification",
    "Certifier",
    "CertifierError",
    "CertifierKeys",
    "DayUse",
    "KeyFileError",
    "OutOfOrder",
    "ReadingsRefused",
    "default_tolerance",
    "slot_uses",
]
