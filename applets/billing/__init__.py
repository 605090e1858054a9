# SPDX-License-Identifier: Apache-2.0
"""Billing: the exact bill under a signed tariff, proved without the readings."""
