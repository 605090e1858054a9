# SPDX-License-Identifier: Apache-2.0
"""Which sockets a process listens on, as Linux tells it."""

import re
from pathlib import Path


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
