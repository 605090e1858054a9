# SPDX-License-Identifier: Apache-2.0
"""A concentrator that cheats: it holds all that an honest one holds, and uses it in one wrong way.

drop        multiplies without a contribution that it lists
repeat      multiplies a contribution twice
alter       multiplies by a ciphertext of its own
leave-out   hands out a batch without a contributor that all have agreed on
swap        gives a contribution another home's certified load
peek        asks for the opening of a sum over too few homes
split       tells some homes of other contributors than the rest
"""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from meterlet.commands.concentrator import run
from meterlet.key_files import public_key
from protocols.aggregation.collector import Batch, Collector
from protocols.aggregation.messages import Contributors
from utility_server.grid.concentrator.hubs import Hubs
from utility_server.grid.concentrator.service import Concentrator
from utility_server.grid.line_identity import LineIdentity
from utility_server.grid.pinned_line import LineKeys

VICTIM: Final = 0
FEW: Final = 2


class _Cheat(Collector):
    """What the cheats share."""

    def _times(self, batch: Batch, factors: Sequence[int]) -> Batch:
        key = self.round.terms.key
        products = key.multiply(key.decode_ciphertexts(batch.products), factors)
        return replace(batch, products=key.encode_ciphertexts(products))

    def _without(self, whole: Contributors, dropped: int) -> Contributors:
        return self.sign(
            whole.among([index for n, index in enumerate(whole.indexes) if n != dropped])
        )

    def _contributed(self) -> list[int]:
        return self.round.terms.key.decode_ciphertexts(self.evidence()[VICTIM].ciphertexts)


class _Drop(_Cheat):
    def batch(self) -> Batch:
        square = self.round.terms.key.modulus**2
        return self._times(super().batch(), [pow(c, -1, square) for c in self._contributed()])


class _Repeat(_Cheat):
    def batch(self) -> Batch:
        return self._times(super().batch(), self._contributed())


class _Alter(_Cheat):
    def batch(self) -> Batch:
        batch, key = super().batch(), self.round.terms.key
        ones = [1] * (len(key.decode_ciphertexts(batch.products)) - 1)
        return self._times(batch, [1 + 1000 * key.modulus, *ones])  # 1000 Wh in the first slot


class _LeaveOut(_Cheat):
    def batch(self) -> Batch:
        batch = super().batch()
        return replace(
            batch,
            contributors=self._without(batch.contributors, VICTIM),
            loads=batch.loads[1:],
            openings=batch.openings[1:],
            range_proofs=batch.range_proofs[1:],
        )


class _Swap(_Cheat):
    def batch(self) -> Batch:
        batch = super().batch()
        first, second, *others = batch.loads
        return replace(batch, loads=(second, first, *others))


class _Peek(_Cheat):
    def close(self) -> Contributors:
        whole = super().close()
        return self.sign(whole.among(whole.indexes[:FEW]))


class _Split(_Cheat):
    _closings: int = 0

    def close(self) -> Contributors:
        whole = super().close()
        self._closings += 1
        return whole if self._closings == 1 else self._without(whole, len(whole.indexes) - 1)


COLLECTORS: Final[Mapping[str, type[Collector]]] = {
    "drop": _Drop,
    "repeat": _Repeat,
    "alter": _Alter,
    "leave-out": _LeaveOut,
    "swap": _Swap,
    "peek": _Peek,
    "split": _Split,
}
KINDS: Final = tuple(COLLECTORS)


def serve() -> None:
    """Serve as `meterlet concentrator serve` does; arguments: kind, folder, hubs, operator."""
    kind, folder, hubs, operator = sys.argv[1:]
    peer = public_key(Path(operator)).public_bytes_raw()
    keys = LineKeys(LineIdentity.open(Path(folder)).key, peer)
    concentrator = Concentrator(
        Path(hubs), peer, Hubs(16, 60.0), keys.own, collector=COLLECTORS[kind]
    )
    run(concentrator, keys, "127.0.0.1", 0, "meterlet.concentrator.serve/1")
