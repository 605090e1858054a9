# SPDX-License-Identifier: Apache-2.0
"""The wake-up of an agent over MQTT: the trigger message of Amendment B in place of an SMS.

    topic      meterlet/wake/<meter in hex>     as in the hub's certificate; one for each meter
    payload    81 00                            a trigger that leaves everything to what is stored

A wake-up proves nothing and says nothing: the hub dials the server that it has stored, as it would
have at its next poll. So a trigger that names a server, an identity or retries is not followed
(`require_wake`): whoever can publish must not be able to send a hub elsewhere.

Errors: MalformedParameters
"""

import re
from dataclasses import dataclass
from typing import Final, Self

from protocols.remote_admin.errors import MalformedParameters
from protocols.remote_admin.parameters import Trigger

TOPICS: Final = "meterlet/wake/"
WAKE: Final = Trigger().encode()
PORT: Final = 8883
"""Of MQTT over TLS (IANA: secure-mqtt)."""
_ADDRESS: Final = re.compile(
    r"mqtts://(?:\[(?P<v6>[0-9a-fA-F:.]{2,45})\]|(?P<host>[A-Za-z0-9][A-Za-z0-9.-]{0,252}))"
    r"(?::(?P<port>[1-9][0-9]{0,4}))?/?(?:\?version=(?P<version>5|3\.1\.1))?",
    re.ASCII,
)


def wake_topic(meter: bytes) -> str:
    """Return the topic on which a meter's hub is woken."""
    return TOPICS + meter.hex()


def require_wake(payload: bytes) -> None:
    """Return for a trigger without parameters; raise `MalformedParameters` for all else."""
    if Trigger.decode(payload) != Trigger():
        raise MalformedParameters("a wake-up names no server and nothing else")


@dataclass(frozen=True, slots=True)
class BrokerAddress:
    """Where a broker of MQTT is; it is spoken to over TLS alone."""

    host: str
    port: int = PORT
    is_old: bool = False
    """Whether it speaks MQTT 3.1.1 alone, and not 5."""

    @classmethod
    def parse(cls, url: str) -> Self:
        """Return the address in mqtts://HOST[:PORT][?version=3.1.1]; raise `ValueError` otherwise.

        The error repeats nothing of what was written.
        """
        match = _ADDRESS.fullmatch(url)
        port = PORT if match is None or match["port"] is None else int(match["port"])
        if match is None or port > 0xFFFF:
            raise ValueError("write the broker's address as mqtts://HOST:PORT")
        return cls(match["v6"] or match["host"], port, match["version"] == "3.1.1")

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"mqtts://{host}:{self.port}"
