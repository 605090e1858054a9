# SPDX-License-Identifier: Apache-2.0
"""An applet that attacks while it is being loaded, before there is a command and a transaction."""

# ruff: noqa
# mypy: ignore-errors

import sys

from applets.sdk import *

ATTACK


class Early(Applet):
    def process(self, command):
        return Response(b"polite")
