# SPDX-License-Identifier: Apache-2.0
"""Who counts as one caller on a network: whoever can be given another address as he likes.

An IPv4 address is one caller. Of IPv6 a /64 is: every host has all of it.
"""

from ipaddress import AddressValueError, IPv4Address, IPv6Address, IPv6Network
from typing import Final

IPV6_PREFIX: Final = 64
_LONGEST: Final = 64


def source_of(address: str) -> str:
    """Return what stands for all addresses of the caller at `address`; any text has one."""
    try:
        return str(IPv4Address(address))
    except AddressValueError:
        pass
    try:
        host = IPv6Address(address.partition("%")[0])
    except AddressValueError:
        return address[:_LONGEST]
    if host.ipv4_mapped is not None:
        return str(host.ipv4_mapped)
    return str(IPv6Network((int(host), IPV6_PREFIX), strict=False))
