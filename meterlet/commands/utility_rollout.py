# SPDX-License-Identifier: Apache-2.0
"""`meterlet utility rollout`: versions, new keys and looks at cards, over many hubs that dial."""

from pathlib import Path
from typing import Any, Final

import rich_click as click

from applets.billing.messages import AID
from hub.text import counted, utc_text
from meterlet.commands.common import (
    AID_IN_HEX,
    PRESENT_FILE,
    Hex,
    Shown,
    json_or_text,
    one_line_errors,
    utility_option,
)
from utility_server.errors import RolloutRefused
from utility_server.fleet.planning import card_states as newest_card_states
from utility_server.fleet.planning import look_at_cards, plan_version, rollouts_of
from utility_server.fleet.planning import plan_keys as planned_keys
from utility_server.fleet.plans import HubState, Kind, RolloutFacts, RolloutState, Share, Waves
from utility_server.fleet.rollouts import Rollouts
from utility_server.retail.utility import Utility

CHANGE: Final = "meterlet.utility.rollout-changed/1"
PLAN: Final = "meterlet.utility.rollout-planned/1"
DEFAULT: Final = Waves()


class HubShare(click.ParamType[Share]):
    """A number of hubs, or a share of them."""

    name = "N|N%"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> Share:
        """Return the share; fail where it is none."""
        if isinstance(value, Share):
            return value
        try:
            return Share.parse(value)
        except RolloutRefused as refused:
            self.fail(str(refused), param, ctx)


number_argument = click.argument("number", type=click.IntRange(1), help="Which roll-out.")
meters_option = click.option(
    "--meter", "meters", type=Hex(), multiple=True,
    help="For this customer's hub alone; by default for all that have the applet. Repeatable.",
)  # fmt: skip
applet_option = click.option(
    "--applet", type=AID_IN_HEX, default=AID.hex(), help="The applet; by default the bill's."
)


def waves_options(command: Any) -> Any:
    """Add the options that say how a roll-out goes on and where it stops."""
    options = (
        click.option(
            "--canary", type=HubShare(), default=str(DEFAULT.canary), show_default=True,
            help="How many hubs the first wave has.",
        ),
        click.option(
            "--wave", "until", type=HubShare(), multiple=True,
            default=[str(share) for share in DEFAULT.until], show_default=True,
            help="Up to how many hubs the next wave goes; the last one has all. Repeatable.",
        ),
        click.option(
            "--stop-at", type=HubShare(), default=str(DEFAULT.stop_at), show_default=True,
            help="Stop where so many hubs of a wave have failed.",
        ),
        click.option(
            "--enough", type=click.IntRange(1, 100), default=DEFAULT.enough, show_default=True,
            help="The next wave opens when so many percent of a wave have answered.",
        ),
        click.option(
            "--rest", type=click.IntRange(0), default=DEFAULT.rest, show_default=True,
            help="And at least so many seconds after the wave was opened.",
        ),
    )  # fmt: skip
    for option in reversed(options):
        command = option(command)
    return command


@click.group()
def rollout() -> None:
    """Roll out over many hubs, as they dial: versions of applets, new keys, looks at cards.

    `meterlet utility gateway` carries on what is started here.
    """


@rollout.command()
@utility_option
@click.argument(
    "package", type=PRESENT_FILE, help="A package that `meterlet applet build` has made."
)
@meters_option
@waves_options
@json_or_text(PLAN)
def plan(
    folder: Path, package: Path, meters: tuple[bytes, ...], canary: Share,
    until: tuple[Share, ...], stop_at: Share, enough: int, rest: int,
) -> Shown:  # fmt: skip
    """Plan to bring the version in PACKAGE to customers' hubs; nothing is said to them yet.

    The version must be newer than any that was rolled out. A hub whose resident has to consent to
    more keeps the version it has until then.
    """
    waves = Waves(canary, until, stop_at, enough, rest)
    with one_line_errors(), Utility.open(folder) as utility:
        made = plan_version(utility, package.name, package.read_bytes(), meters, waves)
    return _facts(made), f"planned {_in_words(made)}"


@rollout.command("plan-keys")
@utility_option
@applet_option
@meters_option
@waves_options
@json_or_text(PLAN)
def plan_keys(
    folder: Path, applet: bytes, meters: tuple[bytes, ...], canary: Share,
    until: tuple[Share, ...], stop_at: Share, enough: int, rest: int,
) -> Shown:  # fmt: skip
    """Plan to give the channels to an applet new keys, on customers' hubs.

    The old keys open nothing more; there is no way back to them.
    """
    waves = Waves(canary, until, stop_at, enough, rest)
    with one_line_errors(), Utility.open(folder) as utility:
        made = planned_keys(utility, applet, meters, waves)
    return _facts(made), f"planned {_in_words(made)}"


@rollout.command()
@utility_option
@number_argument
@json_or_text(CHANGE)
def start(folder: Path, number: int) -> Shown:
    """Open the first wave of a planned roll-out. An earlier one of the same package ends."""
    with one_line_errors(), Utility.open(folder) as utility:
        return _changed(rollouts_of(utility).start(number))


@rollout.command()
@utility_option
@number_argument
@json_or_text(CHANGE)
def stop(folder: Path, number: int) -> Shown:
    """Begin with no more hubs. Those that are spoken to at the moment are finished with."""
    with one_line_errors(), Utility.open(folder) as utility:
        return _changed(rollouts_of(utility).stop(number))


@rollout.command()
@utility_option
@number_argument
@click.option("--leave-failed", is_flag=True, help="Do not try the hubs again that have failed.")
@json_or_text(CHANGE)
def resume(folder: Path, number: int, leave_failed: bool) -> Shown:
    """Go on with a roll-out that has stopped; hubs that have failed are tried again."""
    with one_line_errors(), Utility.open(folder) as utility:
        return _changed(rollouts_of(utility).resume(number, leaves_failed=leave_failed))


@rollout.command("ask-again")
@utility_option
@number_argument
@json_or_text(CHANGE)
def ask_again(folder: Path, number: int) -> Shown:
    """Speak to hubs that wait, for a resident's yes or after a failure, when they dial next.

    Otherwise they are spoken to every few hours.
    """
    with one_line_errors(), Utility.open(folder) as utility:
        return _changed(rollouts_of(utility).ask_again(number))


@rollout.command("roll-back")
@utility_option
@number_argument
@json_or_text(CHANGE)
def roll_back(folder: Path, number: int) -> Shown:
    """Have all hubs go back to the version that was there before.

    Where the one before asks for more, the resident is asked. Again, of a roll-out that is rolled
    back: the hubs that have failed are tried again.
    """
    with one_line_errors(), Utility.open(folder) as utility:
        return _changed(rollouts_of(utility).roll_back(number))


@rollout.command()
@utility_option
@click.argument("number", type=click.IntRange(1), required=False, help="Which; by default all.")
@click.option("--hubs", "with_hubs", is_flag=True, help="Each hub, too, and what it said last.")
@click.option("--answers", "meter", type=Hex(), help="All that this customer's hub has answered.")
@json_or_text("meterlet.utility.rollout-status/1")
def status(folder: Path, number: int | None, with_hubs: bool, meter: bytes | None) -> Shown:
    """Show how far roll-outs are: of each wave, how many hubs are in which state."""
    if number is None and (with_hubs or meter is not None):
        raise click.UsageError("--hubs and --answers go with a NUMBER")
    with one_line_errors(), Utility.open(folder) as utility:
        rollouts = rollouts_of(utility)
        chosen = rollouts.all() if number is None else [rollouts.find(number)]
        facts, lines = [], []
        for one in chosen:
            shown, said = _progress(rollouts, one)
            facts.append(shown)
            lines += said
        told: dict[str, Any] = {"rollouts": facts}
        if number is not None and with_hubs:
            told["hubs"], said = _hubs(rollouts, number)
            lines += said
        if number is not None and meter is not None:
            told["answers"], said = _answers(rollouts, number, meter)
            lines += said
    return told, lines or "nothing was rolled out yet"


@rollout.command("card-states")
@utility_option
@applet_option
@meters_option
@click.option("--ask", is_flag=True, help="Have the hubs' cards looked at when they dial next.")
@json_or_text("meterlet.utility.card-states/1")
def card_states(folder: Path, applet: bytes, meters: tuple[bytes, ...], ask: bool) -> Shown:
    """Show what hubs' cards have said last of an applet's package; --ask has them asked anew."""
    with one_line_errors(), Utility.open(folder) as utility:
        if ask:
            look_at_cards(utility, applet, meters)
        known = newest_card_states(rollouts_of(utility), applet)
    shown = [hub for hub in known if not meters or hub.meter in meters]
    facts = [
        {
            "meter": hub.meter.hex(),
            "state": "read" if hub.state is HubState.INSTALLED else str(hub.state),
            "card": hub.detail,
            "at": utc_text(hub.changed),
        }
        for hub in shown
    ]
    lines = [f"{one['meter']}: {one['state']}, {one['at']}: {one['card']}" for one in facts]
    return {"cards": facts}, lines or "no card was looked at: --ask has them asked"


def _changed(made: RolloutFacts) -> Shown:
    return _facts(made), _in_words(made)


def _facts(one: RolloutFacts) -> dict[str, Any]:
    return {
        "number": one.number,
        "kind": str(one.kind),
        "name": one.name,
        "state": str(one.state),
        "why": one.why,
        "applet": one.applet.hex().upper(),
        "package": one.package.hex().upper(),
        "version": "{}.{}".format(*one.version) if one.kind is Kind.VERSION else None,
        "digest": one.digest.hex(),
        "waves": list(one.sizes),
        "wave": one.wave,
        "stop_at": str(one.stop_at),
        "enough": one.enough,
        "rest": one.rest,
        "made": utc_text(one.made),
        "changed": utc_text(one.changed),
    }


def _in_words(one: RolloutFacts) -> str:
    version = f", version {one.version[0]}.{one.version[1]}" if one.kind is Kind.VERSION else ""
    waves = ", ".join(map(str, one.sizes))
    open_one = f"; wave {one.wave} is open" if one.state is RolloutState.RUNNING else ""
    why = f" ({one.why})" if one.why else ""
    return (
        f"roll-out {one.number}: {one.name}{version}, {counted(sum(one.sizes), 'hub')} in waves of"
        f" {waves}: {one.state}{why}{open_one}"
    )


def _progress(rollouts: Rollouts, one: RolloutFacts) -> tuple[dict[str, Any], list[str]]:
    counts = rollouts.counts(one.number)
    hubs = {
        str(wave): {str(state): count for state, count in sorted(states.items())}
        for wave, states in sorted(counts.items())
    }
    lines = [_in_words(one)]
    for wave, states in hubs.items():
        said = ", ".join(f"{count} {state}" for state, count in states.items())
        lines.append(f"  wave {wave}: {said}")
    return {**_facts(one), "hubs": hubs}, lines


def _hubs(rollouts: Rollouts, number: int) -> tuple[list[dict[str, Any]], list[str]]:
    hubs = rollouts.hubs(number)
    facts = [
        {
            "meter": hub.meter.hex(),
            "wave": hub.wave,
            "state": str(hub.state),
            "attempts": hub.attempts,
            "changed": utc_text(hub.changed),
            "detail": hub.detail,
        }
        for hub in hubs
    ]
    lines = [
        f"{hub.meter.hex()}, wave {hub.wave}: {hub.state}"
        + (f": {hub.detail}" if hub.detail else "")
        for hub in hubs
    ]
    return facts, lines


def _answers(
    rollouts: Rollouts, number: int, meter: bytes
) -> tuple[list[dict[str, Any]], list[str]]:
    answers = rollouts.answers(number, meter)
    facts = [
        {
            "at": utc_text(one.time),
            "goal": one.goal,
            "state": str(one.state),
            "status_word": f"{one.status:04X}" if one.status else None,
            "detail": one.detail,
        }
        for one in answers
    ]
    return facts, [
        f"{utc_text(one.time)}, {one.goal}: {one.state}: {one.detail}" for one in answers
    ]
