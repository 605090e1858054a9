# SPDX-License-Identifier: Apache-2.0
"""What goes over the interface of roll-outs: plans, how far they are, what hubs have answered."""

from typing import Annotated, Final

from pydantic import Field, StringConstraints

from utility_server.fleet.plans import LARGEST_WAVES, Waves
from utility_server.service.api.models import AidText, Base64Text, LineText, MeterText, Model

LONGEST_PACKAGE: Final = 1_000_000
"""Of a package file in Base64; a request has 1 MiB at most."""
MOST_NAMED: Final = 10_000
LONGEST_REST: Final = 31_536_000
_DEFAULT: Final = Waves()

ShareText = Annotated[
    str, StringConstraints(pattern=r"^([1-9][0-9]{0,8}|([1-9][0-9]?|100)%)$", max_length=9)
]


class _Plan(Model):
    meters: list[MeterText] = Field(
        [], max_length=MOST_NAMED, description="Empty: all customers who have the applet."
    )
    canary: ShareText = Field(
        str(_DEFAULT.canary), description="How many hubs the first wave has, or which share."
    )
    waves: list[ShareText] = Field(
        [str(share) for share in _DEFAULT.until],
        max_length=LARGEST_WAVES,
        description="Up to how many hubs each wave after it goes; the last one has all.",
    )
    stop_at: ShareText = Field(
        str(_DEFAULT.stop_at), description="It stops where so many hubs of a wave have failed."
    )
    enough: int = Field(
        _DEFAULT.enough, ge=1, le=100,
        description="The next wave opens when so many percent of a wave have answered.",
    )  # fmt: skip
    rest: int = Field(
        _DEFAULT.rest, ge=0, le=LONGEST_REST,
        description="And at least so many seconds after the wave was opened.",
    )  # fmt: skip


class NewRollout(_Plan):
    """A version to be brought to customers' hubs."""

    name: LineText = Field(min_length=1, max_length=64, description="What people call it.")
    package: Base64Text = Field(
        max_length=LONGEST_PACKAGE,
        description="The file that `meterlet applet build` has made, in Base64.",
    )


class NewKeyRollout(_Plan):
    """New keys for the channels to an applet, on customers' hubs."""

    applet: AidText


class NewCardLook(Model):
    """Whose cards are to be looked at when their hubs dial next."""

    applet: AidText
    meters: list[MeterText] = Field(
        [], max_length=MOST_NAMED, description="Empty: all customers who have the applet."
    )


class Resumption(Model):
    """How a roll-out that has stopped goes on."""

    leave_failed: bool = Field(
        False, description="Do not try the hubs again that have failed; they count no more."
    )


class RolloutSummary(Model):
    """A roll-out."""

    number: int
    kind: str = Field(description="version, keys or look.")
    name: str
    state: str
    why: str | None = Field(description="Why it has stopped, or by what it was superseded.")
    applet: str
    package: str | None
    version: str | None
    digest: str | None = Field(description="SHA-256 of what the vendor has signed.")
    waves: list[int] = Field(description="How many hubs each has.")
    wave: int = Field(description="The last one that is open; 0 before the start.")
    stop_at: str
    enough: int
    rest: int
    planned: str
    changed: str


class RolloutProgress(RolloutSummary):
    """A roll-out, and how far it is."""

    answered: int = Field(
        description="Hubs that have answered; while it is rolled back, those that have gone back."
    )
    total: int
    hubs: list[dict[str, int]] = Field(
        description="Of each wave, how many hubs are in which state."
    )


class RolloutHub(Model):
    """How far a hub of a roll-out is."""

    meter: str
    wave: int
    state: str
    attempts: int
    next_try: str | None = Field(description="Not spoken to before that.")
    changed: str
    detail: str = Field(description="What it has said last, or why it has failed.")


class RolloutAnswer(Model):
    """What a hub has answered once."""

    time: str
    goal: str = Field(description="forward or back.")
    state: str
    status_word: str | None
    detail: str


class CardLine(Model):
    """What a hub's card has said last of an applet's package."""

    meter: str
    state: str
    card: str
    time: str
