# SPDX-License-Identifier: Apache-2.0
import pytest

from protocols.proofs import FalseStatement, Malformed, Transcript, commit
from protocols.proofs.batch import find_refused
from protocols.proofs.bits import receive_bits, send_bits
from protocols.proofs.channel import Incoming, Outgoing
from protocols.proofs.group import Point
from protocols.proofs.nonces import Nonces
from protocols.proofs.pedersen import H


def prove(point: Point, value: int, width: int) -> bytes:
    channel = Outgoing(Transcript("t", 1))
    send_bits(channel, point, (value, 5), width, Nonces(bytes(32)))
    return channel.data()


def accepts(proof: bytes, point: Point, width: int) -> bool:
    channel = Incoming(Transcript("t", 1), proof)
    checks = receive_bits(channel, "bits", point, width)
    channel.finish()
    return not find_refused(checks)


@pytest.mark.parametrize("width", [1, 2, 4])
def test_every_value_of_a_width_is_proved(width: int) -> None:
    for value in range(1 << width):
        proof = prove(commit(value, 5), value, width)
        assert len(proof) == 195 * width - 33
        assert accepts(proof, commit(value, 5), width)


@pytest.mark.parametrize("value", [-1, 4, 5, 2**255])
def test_a_value_out_of_range_is_neither_proved_nor_accepted(value: int) -> None:
    with pytest.raises(FalseStatement):
        prove(commit(value, 5), value, 2)
    with pytest.raises(FalseStatement):
        prove(commit(value, 5), value % 4, 2)  # the lowest commitment comes out as neither bit
    assert not accepts(prove(commit(1, 5), 1, 2), commit(value, 5), 2)


def test_every_flipped_byte_of_a_proof_is_refused() -> None:
    point = commit(2, 5)
    proof = prove(point, 2, 2)
    assert not accepts(proof, point + H, 2)
    for place in range(len(proof)):
        bent = bytearray(proof)
        bent[place] ^= 1 << place % 8
        try:
            assert not accepts(bytes(bent), point, 2), place
        except Malformed:
            continue
