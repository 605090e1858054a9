# SPDX-License-Identifier: Apache-2.0
"""The supplier's side: customers, bills, ledger, settlement."""
