# SPDX-License-Identifier: Apache-2.0
"""Roll-outs planned over a utility's customers: a package's version, new keys, a look at cards.

What is planned is kept in `utility_server.fleet.rollouts`; the gateway carries it on. The command
and the service plan with these.

Errors: PackageMalformed, RolloutRefused, UnknownCustomer, StoreError
"""

from collections.abc import Iterator, Sequence
from hashlib import sha256
from typing import Final

from protocols.enrolment import Enrolment
from protocols.packages.cap_file import CapFile
from utility_server.errors import RolloutRefused
from utility_server.fleet.card_state import PackageVersion
from utility_server.fleet.conversations import BroughtPackage
from utility_server.fleet.plans import HubFacts, Kind, RolloutFacts, Share, Waves
from utility_server.fleet.rollouts import Rollouts
from utility_server.retail.customers import Customers
from utility_server.retail.utility import Utility

LOOK_NAME: Final = "look at cards"
KEYS_NAME: Final = "new keys"
EVERYONE: Final = Waves(None, (), Share(100, is_percent=True))
"""All at once, and failures stop nothing: cards are only looked at."""
_AT_A_TIME: Final = 500


def rollouts_of(utility: Utility) -> Rollouts:
    """Return the roll-outs that a utility keeps."""
    return Rollouts(utility.engine, utility.now, utility.randomness)


def read_package(content: bytes) -> tuple[bytes, BroughtPackage]:
    """Return a package file as it is loaded, and the applet for whose channel it is.

    What the vendor has signed in it is for the card to check. Raises `PackageMalformed`, and
    `RolloutRefused` for a library.
    """
    cap = CapFile.decode(content)
    if not cap.file.modules:
        raise RolloutRefused("a library is the resident's to load: it belongs to no recipient")
    major, minor = cap.file.version
    target = PackageVersion((major, minor), sha256(cap.file.bundle).digest())
    # The domain of a package is that of its first applet, for which it was loaded.
    return cap.file.modules[0], BroughtPackage(cap.file.aid, target, cap.block, cap.sha256)


def plan_version(
    utility: Utility, name: str, content: bytes, named: Sequence[bytes], waves: Waves
) -> RolloutFacts:
    """Plan to bring the version in a package file to customers' hubs; nothing is said to them yet.

    `named` are those customers' meters; none: all who have the applet.
    """
    applet, package = read_package(content)
    meters = meters_with(utility.customers, applet, named)
    return rollouts_of(utility).plan(Kind.VERSION, name, applet, meters, waves, package)


def plan_keys(
    utility: Utility, applet: bytes, named: Sequence[bytes], waves: Waves
) -> RolloutFacts:
    """Plan to give the channels to an applet new keys, on customers' hubs."""
    meters = meters_with(utility.customers, applet, named)
    return rollouts_of(utility).plan(Kind.KEYS, KEYS_NAME, applet, meters, waves)


def look_at_cards(utility: Utility, applet: bytes, named: Sequence[bytes]) -> RolloutFacts:
    """Have customers' cards looked at when their hubs dial next; return what was begun."""
    meters = meters_with(utility.customers, applet, named)
    package = _package_of(utility.customers.find(meters[0], applet))
    rollouts = rollouts_of(utility)
    made = rollouts.plan(Kind.LOOK, LOOK_NAME, applet, meters, EVERYONE, package_aid=package)
    return rollouts.start(made.number)


def card_states(
    rollouts: Rollouts, applet: bytes, after: bytes = b"", limit: int | None = None
) -> list[HubFacts]:
    """Return what cards have said last of an applet's package, by meter, from after one on."""
    return rollouts.newest_of(Kind.LOOK, applet, after, limit)


def meters_with(customers: Customers, applet: bytes, named: Sequence[bytes]) -> list[bytes]:
    """Return the meters that are meant, which all have the applet.

    Raises `UnknownCustomer` for a named one that has not, and `RolloutRefused` where nobody has.
    """
    if named:
        wanted = list(dict.fromkeys(named))
        for some in _parts(wanted):
            customers.find_all(some, applet)
        return wanted
    found = [
        meter
        for some in _parts(customers.meters())
        for meter, enrolments in customers.enrolled(some).items()
        if any(one.applet == applet for one in enrolments)
    ]
    if not found:
        raise RolloutRefused(f"no customer is enrolled with the applet {applet.hex().upper()}")
    return found


def _parts(meters: Sequence[bytes]) -> Iterator[Sequence[bytes]]:
    """Yield some at a time: a statement names only so many."""
    for start in range(0, len(meters), _AT_A_TIME):
        yield meters[start : start + _AT_A_TIME]


def _package_of(enrolment: Enrolment) -> bytes:
    """Return the AID of the package that `meterlet applet build` gives an applet of its own."""
    return enrolment.applet[:4] + b"\xe0" + enrolment.applet[4:]
