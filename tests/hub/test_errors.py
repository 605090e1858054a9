# SPDX-License-Identifier: Apache-2.0
"""Every error of the hub has one root, which says what commands, pages and the card make of it."""

import importlib
import pkgutil
import re
from collections.abc import Iterator

import pytest

import hub
from hub import errors
from hub.errors import HubError

CONTROL_FLOW = {
    "CommandFailed",  # takes back what a command wrote that answers with an error
    "Malformed",  # a component's value means nothing; an `AppletFault` comes of it
    "Cancelled",  # ends a job inside its thread
    "UnknownText",  # no catalogue has a text of that name: a bug of ours
    "_StrangerTiresUs",  # ends the connection of a stranger who goes on for too long
    "_Undone",  # ends what was tried in a transaction, and takes it back
    "_Unreadable",  # a message of a broker says nothing that is understood
    "_Unstamped",  # a telegram whose moment is not known, which is set aside for it
    "_Unusable",  # an intact telegram that no readout can be taken from
}
"""What no user is ever shown: it is raised and caught inside, or it is a bug."""
LINE = re.compile(r"^( +)([A-Z]\w+)  +\S")


def defined() -> list[type[BaseException]]:
    found = set()
    for module in pkgutil.walk_packages(hub.__path__, "hub."):
        for value in vars(importlib.import_module(module.name)).values():
            if isinstance(value, type) and issubclass(value, BaseException):
                found.add(value)
    ours = (kind for kind in found if kind.__module__.startswith("hub."))
    return sorted(ours, key=lambda kind: kind.__name__)


ALL = defined()
OURS = [kind for kind in ALL if issubclass(kind, HubError)]


def test_every_error_of_the_hub_has_the_one_root() -> None:
    assert {kind.__name__ for kind in ALL if not issubclass(kind, HubError)} == CONTROL_FLOW


@pytest.mark.parametrize("kind", OURS)
def test_an_error_has_an_exit_code_a_status_and_a_status_word(kind: type[HubError]) -> None:
    assert kind.exit_code in range(1, 6)
    assert kind.http_status in range(400, 600)
    # ISO/IEC 7816-4, 5.6: warnings and errors; ETSI TS 102 221, 10.2.1.3: busy
    assert kind.status_word in {*range(0x6200, 0x7000), 0x9300}


def drawn() -> Iterator[tuple[str, str]]:
    """Yield each class that the docstring draws below the root, and its parent there."""
    parents = {0: "HubError"}
    for line in (errors.__doc__ or "").splitlines():
        match = LINE.match(line)
        if match:
            depth = len(match[1]) // 2
            parents[depth] = match[2]
            yield match[2], parents[depth - 1]


def test_the_tree_in_the_docstring_is_the_tree_of_the_classes() -> None:
    bases = {kind.__name__: kind.__base__ for kind in OURS if kind is not HubError}
    tree = {name: base.__name__ for name, base in bases.items() if base is not None}
    assert dict(drawn()) == tree
