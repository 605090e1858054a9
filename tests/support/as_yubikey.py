# SPDX-License-Identifier: Apache-2.0
"""A plugin for pytest under which Yubico's device tests run on the hub's card.

What a YubiKey says of itself stands in its management application, which the card has not. So
version and serial are told here; all that the tests then ask goes over PC/SC. The virtual reader
has a second, empty slot, which no YubiKey has. And what looks for programs that hold a reader, to
end them, looks for none.
"""

from typing import Any

import ykman.pcsc
import yubikit.support
from smartcard import System  # type: ignore[import-untyped]
from yubikit.core import TRANSPORT, Version
from yubikit.management import CAPABILITY, FORM_FACTOR, DeviceConfig, DeviceInfo

SERIAL = 20251130
VERSION = Version(5, 7, 2)
"""The first with SCP11, which is what the tests ask for."""


def _told(*_: object) -> DeviceInfo:
    everything = {TRANSPORT.USB: CAPABILITY(0x3F), TRANSPORT.NFC: CAPABILITY(0x3F)}
    return DeviceInfo(
        config=DeviceConfig(everything, None, None, None),
        serial=SERIAL,
        version=VERSION,
        form_factor=FORM_FACTOR.USB_A_KEYCHAIN,
        supported_capabilities=everything,
        is_locked=False,
    )


def _nobody() -> bool:
    return False


def _first_slot() -> list[Any]:
    return [reader for reader in System.readers() if str(reader).endswith("00 00")]


for module, name, stand_in in (
    (yubikit.support, "read_info", _told),
    (ykman.pcsc, "read_info", _told),
    (ykman.pcsc, "kill_scdaemon", _nobody),
    (ykman.pcsc, "kill_yubikey_agent", _nobody),
    (ykman.pcsc, "list_readers", _first_slot),
):
    setattr(module, name, stand_in)
