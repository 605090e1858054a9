# SPDX-License-Identifier: Apache-2.0
"""The packages that make up the product."""

from typing import Final

PRODUCT: Final = (
    "applets", "dlms_codec", "hub", "listeners", "meter_codecs", "meterlet", "protocols",
    "sml_codec", "tariffs", "utility_server",
)  # fmt: skip
