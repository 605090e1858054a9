# SPDX-License-Identifier: Apache-2.0
"""A bill with feed-in, in which one register stands for the other, or feed-in for more than it was.

The forger is the hub or its resident: it has all readings and blindings of both registers, and
makes proofs at will. What it has not is the certifier's key.
"""

from collections.abc import Callable
from dataclasses import replace
from datetime import date
from typing import Any

import cbor2
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from applets.billing.messages import BillAnswer
from applets.common.evidence import AnswerRefused
from protocols.metrology import CertifiedDay, Period, SlotState
from protocols.proofs import Source, VectorOpening
from tariffs import Register, TariffError
from tariffs.signing import sign_tariff
from tests.support.two_registers import (
    CREDIT,
    ENERGY,
    KEYS,
    REGISTERS,
    Home,
    drawn_home,
    tariff_of,
)
from utility_server.errors import CannotVerify, VerificationFailed
from utility_server.retail.claims import BILL
from utility_server.retail.verification import BillBundle

PERIOD = Period(date(2013, 3, 30), date(2013, 4, 2))
HOME = drawn_home(1, period=PERIOD)
NEIGHBOUR = drawn_home(2, period=PERIOD, meter=b"NEXT DOOR")
LATER = drawn_home(1, period=Period(date(2013, 4, 3), date(2013, 4, 6)))
BOTH, DRAWN_ALONE = tariff_of(ENERGY, CREDIT), tariff_of(ENERGY)
HONEST = HOME.answer(BOTH)
SUPPLIER = Ed25519PrivateKey.from_private_bytes(bytes([7] * 32))
Forgery = Callable[[], BillAnswer]


IMPORT, EXPORT = REGISTERS[Register.IMPORT], REGISTERS[Register.EXPORT]
DAYS = HONEST.registers


def other_days(days: tuple[bytes, ...]) -> BillAnswer:
    return replace(HONEST, registers={**DAYS, EXPORT: days})


def proved(sources: dict[Register, Source]) -> BillAnswer:
    """Another proof, over these sources, with the honest days."""
    answer = HOME.prove(BOTH, sources)
    return replace(HONEST, total=answer.total, proof=answer.proof)


def import_days_for_export() -> BillAnswer:
    """What is drawn is to be credited: proved rightly, over the import register's days."""
    drawn = HOME.source(Register.IMPORT)
    lie = proved({Register.IMPORT: drawn, Register.EXPORT: drawn})
    return replace(lie, registers={IMPORT: DAYS[IMPORT], EXPORT: DAYS[IMPORT]})


def import_proof_for_export() -> BillAnswer:
    """The same, with the honest days beside it."""
    drawn = HOME.source(Register.IMPORT)
    return proved({Register.IMPORT: drawn, Register.EXPORT: drawn})


def swapped_sources() -> BillAnswer:
    return proved(
        {
            Register.IMPORT: HOME.source(Register.EXPORT),
            Register.EXPORT: HOME.source(Register.IMPORT),
        }
    )


def of(home: Home) -> BillAnswer:
    """The export register's days are those of another home or time."""
    theirs = home.source(Register.EXPORT)
    lie = proved({Register.IMPORT: HOME.source(Register.IMPORT), Register.EXPORT: theirs})
    return replace(lie, registers={**DAYS, EXPORT: home.days(Register.EXPORT)})


def swapped_days() -> BillAnswer:
    return replace(HONEST, registers={IMPORT: DAYS[EXPORT], EXPORT: DAYS[IMPORT]})


def inflated() -> BillAnswer:
    """Twice as much was fed in, says a proof over commitments that fit; the days' do not."""
    honest = HOME.source(Register.EXPORT)
    assert isinstance(honest.opening, VectorOpening)
    more = replace(honest.opening, uses=tuple(2 * wh for wh in honest.opening.uses))
    source = replace(honest, opening=more)
    lie = proved({Register.IMPORT: HOME.source(Register.IMPORT), Register.EXPORT: source})
    assert lie.total < HONEST.total
    return lie


def own_key() -> BillAnswer:
    *rest, last = HOME.certified[Register.EXPORT]
    forged = CertifiedDay.sign(last.day.content, Ed25519PrivateKey.generate())
    return other_days((*(one.day.encode() for one in rest), forged.encode()))


def own_key_throughout() -> BillAnswer:
    """Days that follow each other as they should, all of them signed by somebody else."""
    key, days = Ed25519PrivateKey.generate(), HOME.certified[Register.EXPORT]
    forged = [CertifiedDay.sign(one.day.content, key) for one in days]
    return other_days(tuple(day.encode() for day in forged))


def unknown_slots() -> BillAnswer:
    """Dear slots are said to be missing in the export register, and so left out of the bill."""
    first, *rest = HOME.certified[Register.EXPORT]
    content = first.day.content
    states = (SlotState.MISSING,) * len(content.states)
    forged = replace(first.day, content=replace(content, states=states))
    return other_days((forged.encode(), *(one.day.encode() for one in rest)))


def test_the_honest_answer_is_right() -> None:
    verified = HOME.check(BOTH, HONEST.encode())
    assert verified.registers == (Register.IMPORT, Register.EXPORT)
    assert verified.total == HONEST.total


@pytest.mark.parametrize(
    ("forge", "check"),
    [
        (import_days_for_export, "chain"),
        (swapped_days, "chain"),
        (lambda: of(NEIGHBOUR), "chain"),
        (lambda: of(LATER), "chain"),
        (lambda: other_days(DAYS[IMPORT]), "chain"),
        (lambda: other_days(DAYS[EXPORT][1:]), "chain"),
        (lambda: other_days((*DAYS[EXPORT], DAYS[EXPORT][-1])), "chain"),
        (lambda: other_days((*DAYS[EXPORT][1::-1], *DAYS[EXPORT][2:])), "chain"),
        (own_key, "signature"),
        (own_key_throughout, "signature"),
        (unknown_slots, "signature"),
        (import_proof_for_export, "proof"),
        (swapped_sources, "proof"),
        (inflated, "proof"),
        (lambda: replace(HONEST, registers={IMPORT: DAYS[IMPORT]}), "message"),
        (lambda: replace(HONEST, registers={EXPORT: DAYS[EXPORT]}), "message"),
        (
            lambda: replace(HONEST, registers={EXPORT: DAYS[EXPORT], IMPORT: DAYS[IMPORT]}),
            "message",
        ),
        (lambda: replace(HONEST, total=HONEST.total - 1), "total"),
    ],
)
def test_a_forged_answer_is_refused(forge: Forgery, check: str) -> None:
    with pytest.raises(AnswerRefused) as refused:
        HOME.check(BOTH, forge().encode())
    assert refused.value.check == check


def test_feed_in_where_the_tariff_has_none_is_refused() -> None:
    """Neither as a second register of an answer, nor in the place of a sum's opening."""
    blocks = tariff_of(
        ENERGY,
        '[[charge]]\nname = "more"\nkind = "blocks"\ninterval = "period"\n'
        'block = [{ up_to = "3", price = "0.01" }, { price = "0.02" }]\n',
    )
    answer = HOME.answer(blocks)
    HOME.check(blocks, answer.encode())
    for tariff, added in (
        (blocks, replace(answer, registers={**answer.registers, EXPORT: DAYS[EXPORT]})),
        (DRAWN_ALONE, replace(HONEST, tariff=DRAWN_ALONE.digest)),
    ):
        with pytest.raises(AnswerRefused) as refused:
            HOME.check(tariff, added.encode())
        assert refused.value.check == "message"


def test_a_meter_that_is_enrolled_without_feed_in_is_credited_nothing() -> None:
    with pytest.raises(TariffError, match="no feed-in register of this meter is enrolled"):
        HOME.check(BOTH, HONEST.encode(), feed_in=None)


def test_another_register_than_the_enrolled_one_is_credited_nothing() -> None:
    with pytest.raises(AnswerRefused) as refused:
        HOME.check(BOTH, HONEST.encode(), feed_in=bytes.fromhex("0100020801ff"))
    assert refused.value.check == "message"


def bundle(**changes: Any) -> BillBundle:
    question = replace(HOME.question(), document=sign_tariff(BOTH, SUPPLIER, b"key"))
    whole = BillBundle(
        question.encode(),
        HONEST.encode(),
        KEYS.public_key.public_bytes_raw(),
        SUPPLIER.public_key().public_bytes_raw(),
        REGISTERS[Register.IMPORT],
        HOME.zone,
        30,
        (REGISTERS[Register.EXPORT],),
    )
    return replace(whole, **changes)


@pytest.mark.parametrize(
    ("changes", "refused_by"),
    [
        ({}, None),
        ({"others": ()}, CannotVerify),
        ({"others": (REGISTERS[Register.IMPORT],)}, CannotVerify),
        (
            {
                "register": REGISTERS[Register.EXPORT],
                "others": (REGISTERS[Register.IMPORT],),
            },
            CannotVerify,
        ),
        ({"others": (b"",)}, CannotVerify),
        ({"others": (bytes.fromhex("0100020801ff"),)}, VerificationFailed),
        ({"others": (bytes.fromhex("0700020800ff"),)}, CannotVerify),
    ],
)
def test_a_bundle_is_right_with_its_own_registers_only(
    changes: dict[str, Any], refused_by: type[Exception] | None
) -> None:
    data = bundle(**changes).encode()
    if refused_by is None:
        _, _, verified = BILL.verify(BillBundle.decode(data))
        assert verified.total == HONEST.total
        return
    with pytest.raises(refused_by):
        BILL.verify(BillBundle.decode(data))


def test_a_bundle_says_that_there_is_no_register_in_one_way() -> None:
    members = cbor2.loads(bundle().encode())
    (fed_in,) = members["registers"].keys() - {members["main"].hex()}
    changes: tuple[dict[str, Any], ...] = (
        {"registers": {**members["registers"], fed_in: None}},
        {"registers": {**members["registers"], fed_in: {}}},
        {"registers": {}},
        {"feed_in_register": None},
        {"main": bytes(6)},
        {"format": "meterlet bill bundle 1"},
    )
    for change in changes:
        with pytest.raises(CannotVerify):
            BillBundle.decode(cbor2.dumps({**members, **change}, canonical=True))
