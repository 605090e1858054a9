# SPDX-License-Identifier: Apache-2.0
"""Requests of one weighted sum, with weights as they come: no amount on the wire has them all."""

from hub.disclosure import Form, Number, ReleaseRequest


def sum_request(
    applet: bytes,
    package: bytes,
    recipient: str,
    purpose: str,
    days: int,
    form: Form,
    subject: bytes,
) -> ReleaseRequest:
    number = Number("linear", (form,), answer_bits(form.weights))
    return ReleaseRequest(applet, package, recipient, purpose, days, (number,), subject)
