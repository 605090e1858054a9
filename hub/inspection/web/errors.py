# SPDX-License-Identifier: Apache-2.0
"""What the pages themselves refuse."""

from hub.errors import HubError


class BadInput(HubError):
    """What was sent is not what the page's form sends; the text is for the resident."""

    http_status = 400
