# SPDX-License-Identifier: Apache-2.0
"""What a further meter of each medium counts by, where nobody says otherwise."""

from typing import Final

USUAL: Final = {
    "electricity": ("1-1:1.8.0*255", "15"),
    "gas": ("7-0:3.0.0*255", "60"),
    "water": ("8-0:1.0.0*255", "60"),
    "hot-water": ("9-0:1.0.0*255", "60"),
    "heat": ("6-0:1.0.0*255", "60"),
}
"""The register and the minutes of a slot of each medium, where nobody says others."""
