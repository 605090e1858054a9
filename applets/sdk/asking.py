# SPDX-License-Identifier: Apache-2.0
"""Questions of an applet by their names, as `meterlet applet ask` asks them.

An applet's `statement` module lists them, a function for each:

    def use(hub: AskedHub, period: Period) -> Facts:
        '''Ask what was used in a period.'''
        question = Question(*hub.bounds(period), hub.nonce())
        answer = hub.send(Command(0x80, INS_ASK, data=question.encode()))
        return {"watt_hours": check(question, answer, period, hub.series, hub.certifier)}

    QUESTIONS = {"use": use}

Whatever a function takes beside the hub is an argument of the question, by its name and type: a
`Period`, `date`, `int`, `str` or `bytes` (in hexadecimal). What it returns is true: it checks the
proof first, and raises where that does not hold. It runs at the recipient, never in the hub.
"""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date
from types import ModuleType
from typing import Any, Final, TypeAlias

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from applets.sdk.apdu import Command
from protocols.metrology import Period, Series

NONCE_SIZE: Final = 16
Facts: TypeAlias = Mapping[str, object]
"""What a question came to: names and what JSON can say."""
ARGUMENT_TYPES: Final = (Period, date, int, str, bytes)


class NoQuestions(Exception):
    """A module lists no questions, or not as it should."""


@dataclass(frozen=True, slots=True)
class AskedHub:
    """A hub and its applet, as the recipient knows them."""

    series: Series
    certifier: Ed25519PublicKey
    send: Callable[[Command], bytes] = field(repr=False)
    """Sends a command over the applet's own channel and returns the answer's data."""
    randomness: Callable[[int], bytes] = field(repr=False)

    def bounds(self, period: Period) -> tuple[int, int]:
        """Return begin and end of a period at home, in seconds since 1970."""
        return period.bounds(self.series.zone)

    def nonce(self) -> bytes:
        """Return 16 random bytes for a question."""
        return self.randomness(NONCE_SIZE)


@dataclass(frozen=True, slots=True)
class AskableQuestion:
    """One question of an applet."""

    name: str
    text: str
    """The first line of its docstring."""
    arguments: Mapping[str, type]
    """By name, in order."""
    optional: frozenset[str]
    """Those that may be left out."""
    _function: Callable[..., Facts] = field(repr=False)

    def ask(self, hub: AskedHub, arguments: Mapping[str, object]) -> Facts:
        """Return what the hub's applet answers, checked; whatever the function raises comes out."""
        return self._function(hub, **arguments)


def questions_of(module: ModuleType) -> dict[str, AskableQuestion]:
    """Return the questions that a module lists, by name; raise `NoQuestions`."""
    listed = getattr(module, "QUESTIONS", None)
    if not isinstance(listed, Mapping) or not listed:
        raise NoQuestions(f"{module.__name__} has no QUESTIONS: a function by the name of each")
    return {str(name): _question(str(name), function) for name, function in listed.items()}


def _question(name: str, function: Any) -> AskableQuestion:
    try:
        signature = inspect.signature(function, eval_str=True)
    except (TypeError, ValueError, NameError) as error:
        raise NoQuestions(f"question {name}: {error}") from None
    parameters = list(signature.parameters.values())[1:]
    for one in parameters:
        if one.annotation not in ARGUMENT_TYPES or one.kind not in (
            inspect.Parameter.POSITIONAL_OR_KEYWORD,
            inspect.Parameter.KEYWORD_ONLY,
        ):
            known = ", ".join(each.__name__ for each in ARGUMENT_TYPES)
            raise NoQuestions(f"question {name}: argument {one.name} is none of {known}")
    return AskableQuestion(
        name,
        (inspect.getdoc(function) or "").partition("\n")[0],
        {one.name: one.annotation for one in parameters},
        frozenset(one.name for one in parameters if one.default is not inspect.Parameter.empty),
        function,
    )
