# SPDX-License-Identifier: Apache-2.0
"""What inspection raises itself: one error, whose text is for the resident."""

__all__ = ["InspectionError"]


class InspectionError(Exception):
    """There is nothing to inspect, or what there is cannot be read."""
