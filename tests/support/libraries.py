# SPDX-License-Identifier: Apache-2.0
"""A library of a vendor's, and how an applet imports it."""

from pathlib import Path
from textwrap import dedent

from tests.support.sharing import Home

TOOLS = "F04D544C0900"
LIBRARY = """
    kind = "library"
    aid = "F04D544C0900"
    name = "tools"
    version = "{version}"
    vendor = "A vendor"

    [code]
    runtime = "python"
    package = "tools"
    """
IMPORTED = '\n    [[libraries]]\n    package = "F04D544C0900"\n    version = "1.0"\n'
GREETING = """
    def greet(platform, name):
        count = (platform.store.get(b"count") or b"\\0")[0] + 1
        platform.store.put(b"count", bytes([count]))
        return b"{word} " + name + bytes([count])
    """


def written_library(home: Home, version: str, word: str) -> Path:
    folder = home.folder / "tools"
    folder.mkdir(exist_ok=True)
    (folder / "manifest.toml").write_text(dedent(LIBRARY.format(version=version)))
    (folder / "greeting.py").write_text(dedent(GREETING.replace("{word}", word)))
    return folder
