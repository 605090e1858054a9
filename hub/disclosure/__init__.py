# SPDX-License-Identifier: Apache-2.0
"""What may leave the house: consents, the release guard, and the log of everything that did."""

from hub.disclosure.consents import (
    CONSENT_COMPONENT,
    LEAST_MINUTES,
    Consent,
    Terms,
    UnknownConsent,
)
from hub.disclosure.guard import Disclosure, ReleaseRefused
from hub.disclosure.knowledge import Form, Knowledge, knowledge_of
from hub.disclosure.log import LOG_COMPONENT, DisclosureLog, Entry, LogTampered
from hub.disclosure.requests import (
    AggregateRequest,
    AmountsRequest,
    ExportRequest,
    Number,
    OutputRequest,
    Release,
    ReleaseRequest,
    Weights,
    number_of,
)

__all__ = [
    "CONSENT_COMPONENT",
    "LEAST_MINUTES",
    "LOG_COMPONENT",
    "AggregateRequest",
    "AmountsRequest",
    "Consent",
    "Disclosure",
    "DisclosureLog",
    "Entry",
    "ExportRequest",
    "Form",
    "Knowledge",
    "LogTampered",
    "Number",
    "OutputRequest",
    "Release",
    "ReleaseRefused",
    "ReleaseRequest",
    "Terms",
    "UnknownConsent",
    "Weights",
    "knowledge_of",
    "number_of",
]
