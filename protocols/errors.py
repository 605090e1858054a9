# SPDX-License-Identifier: Apache-2.0
"""The root of what a script that imports `meterlet` may have to catch."""


class MeterletError(Exception):
    """Base of the errors that the public Python interface raises."""
