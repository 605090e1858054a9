# SPDX-License-Identifier: Apache-2.0
"""Drives PyGP, a client of GlobalPlatform that others wrote, through the life of an applet.

    python with_pygp.py CAP LEVEL PACKAGE MODULE APPLET

PyGP 1.0.0 brings its own pyscard for Windows, and registers curves with a function that
cryptography has no longer. It gets what is installed, and its own code does the rest. It checks an
answer's R-MAC and then reads these eight bytes as data, on which it stops now and then: they are
taken off.
"""

import sys
from typing import Any

import cryptography.utils
from smartcard import scard  # type: ignore[import-untyped]


def _as_it_is(_: object) -> Any:
    return lambda curve: curve


cryptography.utils.register_interface = _as_it_is  # type: ignore[attr-defined]
sys.modules["pygp.connection.pcsc"] = scard
import pygp  # type: ignore[import-not-found]  # noqa: E402
from pygp.gp import gp_functions  # type: ignore[import-not-found]  # noqa: E402

_checked = gp_functions.unwrap_command


def _without_mac(security: Any, answer: str) -> Any:
    status, text = _checked(security, answer)
    is_signed = security is not None and security["securityLevel"] in (0x11, 0x13)
    if is_signed and text is not None and len(text.replace(" ", "")) > 4:
        text = text.replace(" ", "")
        text = text[:-20] + text[-4:]
    return status, text


gp_functions.unwrap_command = _without_mac

cap, level, package, module, applet = sys.argv[1:]
pygp.terminal("Virtual PCD 00 00")
pygp.change_protocol("T1")
pygp.card()
for number in "123":
    pygp.set_key(f"30/{number}/AES/404142434445464748494A4B4C4D4E4F")
    pygp.set_key(f"31/{number}/AES/505152535455565758595A5B5C5D5E5F")
pygp.auth(keysetversion="30", securitylevel=int(level, 16))
pygp.get_status_isd()
pygp.get_key_information()
pygp.get_cplc()
pygp.upload_install(cap, "A000000151000000", module, applet)
pygp.ls()
pygp.set_app_state("80", applet)
pygp.set_app_state("00", applet)
pygp.delete(applet)
pygp.delete_package(package)
pygp.put_scp_key("31")
pygp.select_isd()
pygp.auth(keysetversion="31", securitylevel=int(level, 16))
pygp.get_status_isd()
pygp.close()
