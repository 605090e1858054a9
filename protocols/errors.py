# SPDX-License-Identifier: Apache-2.0
"""The root of what a script that imports `meterlet` may have to catch."""

from typing import Any


class MeterletError(Exception):
    """Base of the errors that the public Python interface raises.

    They go from process to process as they are: with their facts, whatever made them.
    """

    def __reduce__(self) -> tuple[Any, ...]:
        # As it is by default, but without calling `__init__`, which may take other things.
        return _again, (type(self), self.args, dict(self.__dict__))


def _again(kind: type[MeterletError], args: tuple[Any, ...], facts: dict[str, Any]) -> Any:
    error = kind.__new__(kind, *args)
    error.args = args
    error.__dict__.update(facts)
    return error
