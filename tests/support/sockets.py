# SPDX-License-Identifier: Apache-2.0
"""Sockets: which ones a process listens on, as Linux tells it; free ports, and whole answers."""

import re
import socket
from pathlib import Path

from tests.support.waiting import PATIENCE
from utility_server.stack.own import lasting_port


def listening_sockets(process: int) -> set[str]:
    """Return the inodes of the listening sockets that a process has open."""
    own = set()
    for link in Path(f"/proc/{process}/fd").iterdir():
        try:
            own |= set(re.findall(r"socket:\[(\d+)\]", str(link.readlink())))
        except OSError:  # closed meanwhile
            continue
    listening = set()
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A":
                listening.add(fields[9])
    return own & listening


def free_port() -> int:
    """Return a port that nobody listens on, nor will while other tests take any that is free."""
    return lasting_port("127.0.0.1")


def ask(address: tuple[str, int], request: bytes) -> bytes:
    """Send a request; return all that comes until the other end hangs up."""
    with socket.create_connection(address, PATIENCE) as line:
        line.sendall(request)
        answer = b""
        while piece := line.recv(4096):
            answer += piece
    return answer
