# SPDX-License-Identifier: Apache-2.0
"""The sealed metrology part: readings in, signed commitments out."""

from hub.certifier.certifier import Certification, Certifier, SignedSlots
from hub.certifier.errors import (
    CertifierError,
    CorrectionRefused,
    KeyFileError,
    OutOfOrder,
    ReadingsRefused,
)
from hub.certifier.facts import MeterFact, NewCustody, NewMeter, NewStep
from hub.certifier.inheritance import InheritedChain
from hub.certifier.keys import CertifierKeys
from hub.certifier.slots import DayUse, default_tolerance, register_at, slot_uses

__all__ = [
    "Certification",
    "Certifier",
    "CertifierError",
    "CertifierKeys",
    "CorrectionRefused",
    "DayUse",
    "InheritedChain",
    "KeyFileError",
    "MeterFact",
    "NewCustody",
    "NewMeter",
    "NewStep",
    "OutOfOrder",
    "ReadingsRefused",
    "SignedSlots",
    "default_tolerance",
    "register_at",
    "slot_uses",
]
