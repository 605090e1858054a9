# SPDX-License-Identifier: Apache-2.0
"""What the pages themselves refuse.

Errors: BadInput
"""

__all__ = ["BadInput"]


class BadInput(Exception):
    """What was sent is not what the page's form sends; the text is for the resident."""
