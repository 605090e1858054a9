# SPDX-License-Identifier: Apache-2.0
"""An enrolment that is right."""

from protocols.enrolment import Enrolment
from protocols.secure_channel.keys import StaticKeys

GOOD = Enrolment(
    meter=bytes.fromhex("0a014d544c0000000001"),
    register=bytes.fromhex("0100010800ff"),
    zone="Europe/Berlin",
    slot_minutes=15,
    certifier=bytes(range(32)),
    applet=bytes.fromhex("f04d544c010101"),
    security_domain=bytes.fromhex("f04d544c0101"),
    key_version=48,
    keys=StaticKeys(b"e" * 16, b"m" * 16, b"d" * 16),
)
