# SPDX-License-Identifier: Apache-2.0
"""Where the resident's pages are served; a part of its own, so that it costs no web server."""

from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Final

EVERYWHERE: Final = ("0.0.0.0", "::")  # noqa: S104 - refused, or with TLS and a name


@dataclass(frozen=True, slots=True)
class PageAddress:
    """Where the pages are served, under which names, and over TLS if there is a certificate."""

    host: str
    port: int
    """0 for any that is free."""
    names: tuple[str, ...] = ()
    certificate: Path | None = None
    key: Path | None = None

    @property
    def problem(self) -> str | None:
        """What is wrong with it; None if nothing is."""
        if (self.certificate is None) != (self.key is None):
            return "TLS needs both a certificate and its key"
        if self.certificate is None and not is_loopback(self.host):
            return "not loopback: a certificate and its key are needed"
        if self.host in EVERYWHERE and not self.names:
            return "all addresses: a name is needed that browsers call the hub by"
        return None

    def url(self, port: int) -> str:
        """Return the address that is said to people."""
        scheme = "http" if self.key is None else "https"
        return f"{scheme}://{bracketed(self.host)}:{port}/"


def is_loopback(host: str) -> bool:
    """Whether only this computer can reach a host."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def bracketed(host: str) -> str:
    """Return a host as it stands in an address."""
    return f"[{host}]" if ":" in host else host
