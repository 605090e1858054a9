# SPDX-License-Identifier: Apache-2.0
"""Consents beside one another."""

from datetime import date

from hub.device import Device
from hub.disclosure import Consent


def same_beside(device: Device, consent: Consent, today: date) -> list[Consent]:
    """Return other standing consents to the very same: revoking one leaves those.

    Release 0.1 let the same be granted twice. The newest one is what the guard goes by.
    """
    return [
        one
        for one in device.disclosure.consents()
        if one.terms.subject == consent.terms.subject
        and one.number != consent.number
        and one.revoked is None
        and one.terms.until >= today
    ]
