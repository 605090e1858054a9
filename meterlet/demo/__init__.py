# SPDX-License-Identifier: Apache-2.0
"""The demonstrations: whole journeys through real parts, and liars that must be found out."""
