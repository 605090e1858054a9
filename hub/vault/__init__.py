# SPDX-License-Identifier: Apache-2.0
"""What the hub keeps: readings, sealed, and certified days, in one SQLite file."""
