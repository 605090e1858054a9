# SPDX-License-Identifier: Apache-2.0
"""What a resident has consented to, in tests of the guard."""

from datetime import date

from hub.disclosure import ConsentTerms

BILLING = ConsentTerms(
    applet=b"\xf0bill",
    package=b"package",
    recipient="supplier",
    purpose="billing",
    statement="linear",
    least_days=28,
    least_minutes=480,
    answers=6,
    bits=64,
    until=date(2030, 1, 1),
)
"""To sums over four weeks, six times."""
