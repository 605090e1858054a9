# SPDX-License-Identifier: Apache-2.0
"""The secure channels of GlobalPlatform between a host and a card; sans-IO."""
