# SPDX-License-Identifier: Apache-2.0
"""Invoices that name seller and buyer: EN 16931 (Factur-X) and PDF, made from the signed ones."""
