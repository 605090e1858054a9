# SPDX-License-Identifier: Apache-2.0
"""A command that an applet is at work on, for tests of the services that stand behind it."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, cast

from hub.applet_host.command import CommandRecord, CommandStack
from hub.vault.database import Database

if TYPE_CHECKING:
    from hub.machine.instance import AppletInstance


class Sleeper:
    """An applet that counts how often it was let forget."""

    def __init__(self) -> None:
        self.forgotten = 0

    def discard(self) -> None:
        self.forgotten += 1


def asleep() -> "AppletInstance":
    return cast("AppletInstance", Sleeper())


@contextmanager
def at_work(database: Database, *, may_release: bool = True) -> Iterator[CommandStack]:
    """Return the stack of a command that is being worked on."""
    stack = CommandStack(database)
    with stack.entered(CommandRecord(), asleep(), may_release=may_release):
        yield stack
