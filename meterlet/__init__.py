# SPDX-License-Identifier: Apache-2.0
"""Meterlet: an in-home metering hub that proves bills and sums instead of sending readings."""
