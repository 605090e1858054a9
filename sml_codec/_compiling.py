# SPDX-License-Identifier: Apache-2.0
"""What the source tells the compiler (mypyc), and nobody else.

`@mypyc_attr(acyclic=True)` says that objects of a class cannot be part of a cycle of references, so
that the garbage collector need not look at them. In plain Python it does nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

T = TypeVar("T")

if TYPE_CHECKING:
    from mypy_extensions import mypyc_attr as mypyc_attr
else:

    def mypyc_attr(**_: object) -> Callable[[T], T]:
        """Return a decorator that does nothing."""
        return lambda decorated: decorated
