# SPDX-License-Identifier: Apache-2.0
"""What may leave the house: consents, the release guard, and the log of everything that did."""

from hub.disclosure.cells import Form
from hub.disclosure.consent_record import CONSENT_COMPONENT
from hub.disclosure.consents import LEAST_MINUTES, Consent, ConsentTerms, UnknownConsent
from hub.disclosure.guard import Disclosure
from hub.disclosure.knowledge import Knowledge, knowledge_of
from hub.disclosure.log import LOG_COMPONENT, DisclosureLog, LogEntry, LogTampered
from hub.disclosure.numbers import Number, number_of
from hub.disclosure.refusals import count_refusals
from hub.disclosure.requests import (
    AggregateRequest,
    ExportRequest,
    OutputRequest,
    Publication,
    Release,
    ReleaseRequest,
    Weights,
)
from hub.disclosure.rules import ReleaseRefused
from hub.disclosure.strangers import STRANGERS_COMPONENT, StrangerCounts
from hub.disclosure.unattributed import UnattributedRequest

__all__ = [
    "CONSENT_COMPONENT",
    "LEAST_MINUTES",
    "LOG_COMPONENT",
    "STRANGERS_COMPONENT",
    "AggregateRequest",
    "Consent",
    "ConsentTerms",
    "Disclosure",
    "DisclosureLog",
    "ExportRequest",
    "Form",
    "Knowledge",
    "LogEntry",
    "LogTampered",
    "Number",
    "OutputRequest",
    "Publication",
    "Release",
    "ReleaseRefused",
    "ReleaseRequest",
    "StrangerCounts",
    "UnattributedRequest",
    "UnknownConsent",
    "Weights",
    "count_refusals",
    "knowledge_of",
    "number_of",
]
