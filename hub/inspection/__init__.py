# SPDX-License-Identifier: Apache-2.0
"""What the resident sees: the bill checked against the readings, and everything that left."""
