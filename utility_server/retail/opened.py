# SPDX-License-Identifier: Apache-2.0
"""The utility of a folder, opened once in each process that works on parts of something.

For work that `utility_server.fan_out` spreads: what travels to another process is the folder's path
and plain data; keys and connections to the database do not.
"""

from pathlib import Path
from typing import Final

from utility_server.retail.utility import Utility

_open: Final[dict[Path, Utility]] = {}


def opened(folder: Path) -> Utility:
    """Return the utility of a folder, opened now or before in this process."""
    if folder not in _open:
        _open[folder] = Utility.open(folder)
    return _open[folder]


def close_opened() -> None:
    """Close what was opened in this process to work on parts."""
    while _open:
        _open.popitem()[1].close()
