# SPDX-License-Identifier: Apache-2.0
"""The registers that an applet is granted: of another it is not told whether there is one."""

from collections.abc import Mapping

from hub.machine.manifest import Manifest
from hub.metering import MeteredRegister, PeriodIncomplete
from protocols.metrology import Period
from protocols.platform.errors import Refusal, Refused
from sml_codec import Obis


def granted_registers(
    registers: Mapping[bytes, MeteredRegister], manifest: Manifest
) -> dict[str, MeteredRegister]:
    """Return the hub's registers that a manifest names, by OBIS code in text.

    The first of the hub's, its main one, is always among them and first: what may be asked of it,
    each call's grant says. But for a manifest that names registers of further meters alone, the
    first of these is: it is an applet of that meter.
    """
    named = {register for grant in manifest.statements for register in grant.registers}
    named |= set(manifest.registers)
    found = {name: one for code, one in registers.items() if (name := str(Obis(code))) in named}
    main_code, main = next(iter(registers.items()))
    if not found or any(one.channel.meter == main.channel.meter for one in found.values()):
        return {str(Obis(main_code)): main, **found}
    return found


def granted_register(registers: Mapping[str, MeteredRegister], name: str) -> MeteredRegister:
    """Return a register that an applet was granted; raise `Refused` (NOT_FOUND) for any other."""
    if name not in registers:
        raise Refused(Refusal.NOT_FOUND)
    return registers[name]


def period_of(meter: MeteredRegister, begin: int, end: int) -> Period:
    """Return the period of a register's slots; raise `Refused` (MALFORMED) where it is none."""
    try:
        return meter.period(begin, end)
    except (PeriodIncomplete, ValueError, OverflowError, OSError):
        raise Refused(Refusal.MALFORMED) from None
