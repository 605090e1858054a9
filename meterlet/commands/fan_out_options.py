# SPDX-License-Identifier: Apache-2.0
"""The options of commands whose work can be spread: over processors, or over Ray."""

from collections.abc import Callable
from typing import Any, TypeVar

import rich_click as click

from utility_server.fan_out import FanOut, InProcesses, InThisProcess, OnRay

CommandT = TypeVar("CommandT", bound=Callable[..., Any])


def fan_out_options(
    what: str, default: int | Callable[[], int] = 1, shown: str | bool = True
) -> Callable[[CommandT], CommandT]:
    """Return the options `--processes` and `--ray`, about `what` is done there."""
    processes = click.option(
        "--processes", type=click.IntRange(1, 256), default=default, show_default=shown,
        help=f"In how many processes {what}.",
    )  # fmt: skip
    ray = click.option(
        "--ray", "is_on_ray", is_flag=True,
        help="The same in tasks of Ray (extra `ray`), on the cluster that RAY_ADDRESS names.",
    )  # fmt: skip

    def decorate(command: CommandT) -> CommandT:
        return processes(ray(command))

    return decorate


def fan_out(processes: int, *, is_on_ray: bool) -> FanOut:
    """Return what those options say."""
    if is_on_ray:
        return OnRay()
    return InThisProcess() if processes == 1 else InProcesses(processes)
