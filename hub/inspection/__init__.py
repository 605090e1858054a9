# SPDX-License-Identifier: Apache-2.0
"""What the resident sees: the bill checked against the readings, and everything that left."""

from hub.inspection.bill import CheckedBill, InspectionError, Verdict, check_invoices

__all__ = ["CheckedBill", "InspectionError", "Verdict", "check_invoices"]
