# SPDX-License-Identifier: Apache-2.0
"""Who decrypts products: the MDMS alone, or together with the trustee that has the other share."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from protocols.aggregation import (
    Decryptor,
    JointDecryptor,
    PaillierPrivateKey,
    Round,
    SumRefused,
)
from utility_server.concentrator.errors import ConcentratorError
from utility_server.concentrator.lines import Item, Line
from utility_server.errors import CannotVerify
from utility_server.mdms.office import Mdms

__all__ = ["decryptor_of"]


def decryptor_of(
    office: Mdms, concentrator: Line, trustee: Line | None, announced: Round
) -> Decryptor:
    """Return what opens the products of a round.

    Raises `CannotVerify` where the MDMS holds a share only, and there is no trustee.
    """
    if isinstance(office.paillier, PaillierPrivateKey):
        return office.paillier
    if trustee is None:
        raise CannotVerify("this MDMS has a share of its key only: its trustee must help")
    return JointDecryptor(office.paillier, _OtherHalf(concentrator, trustee, announced).ask)


@dataclass(slots=True)
class _OtherHalf:
    """Asks the trustee, to whom the concentrator's evidence has to be shown."""

    concentrator: Line
    trustee: Line
    announced: Round
    _evidence: list[Item] = field(default_factory=list)

    def ask(self, ciphertexts: Sequence[int]) -> list[int]:
        """Return the trustee's halves; raise `SumRefused` where it helps not to open that."""
        if not self._evidence:
            for name, items in self.concentrator.ask("evidence", self.announced.digest):
                if name == "contribution":
                    self._evidence += items
        size = self.announced.terms.key.ciphertext_size
        data = b"".join(int(ciphertext).to_bytes(size, "big") for ciphertext in ciphertexts)
        try:
            for name, items in self.trustee.ask(
                "halves", self.announced.encode(), data, *self._evidence
            ):
                match name, items:
                    case "halves", (bytes(halves),):
                        starts = range(0, len(halves), size)
                        return [int.from_bytes(halves[at : at + size], "big") for at in starts]
        except ConcentratorError as error:
            raise SumRefused(f"the trustee does not help: {error}") from None
        raise SumRefused("the trustee does not help")
