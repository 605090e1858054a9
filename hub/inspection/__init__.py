# SPDX-License-Identifier: Apache-2.0
"""What the resident sees: the bill checked against the readings, and everything that left."""

from hub.inspection.bill import CheckedBill, InspectionError, Verdict, check_invoices
from hub.inspection.export import Export, consent_to_export, export_readings

__all__ = [
    "CheckedBill",
    "Export",
    "InspectionError",
    "Verdict",
    "check_invoices",
    "consent_to_export",
    "export_readings",
]
