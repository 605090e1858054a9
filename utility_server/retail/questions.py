# SPDX-License-Identifier: Apache-2.0
"""The questions for bills, and how far each has come: what makes a bill exist exactly once.

    asked --> answered --> entered --> delivered
      |           |
      +-----------+--> refused       the answer is wrong, and in the ledger as such
      +-----------+--> withdrawn     another question took its place, or its days were billed

A question is kept before a hub is asked, under its nonce, which no other has. A customer and period
have one open question (asked or answered) at most: who asks again gets the same one, and the same
answer of the hub. An answer is kept before it is verified. Whatever dies on the way, the next one
goes on from the state that is kept, and the same answer is entered once (`retail.billing`).

Errors: AnswerTooLong, QuestionClosed
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from hashlib import sha256
from typing import Any, Final

from sqlalchemy import (
    Connection,
    Engine,
    Row,
    Select,
    Update,
    bindparam,
    delete,
    func,
    insert,
    select,
    update,
)

from applets.billing.messages import BillQuestion
from utility_server.database import (
    answer_table,
    invoice_table,
    question_failure_table,
    reading,
    writing,
)
from utility_server.database import aside_table as aside
from utility_server.database import question_table as table
from utility_server.errors import AnswerTooLong, QuestionClosed, StoreError, UtilityError
from utility_server.writes import Writes


class State(StrEnum):
    """How far a question has come."""

    ASKED = "asked"
    ANSWERED = "answered"
    ENTERED = "entered"
    DELIVERED = "delivered"
    REFUSED = "refused"
    WITHDRAWN = "withdrawn"


NEXT: Final[Mapping[State, frozenset[State]]] = {
    State.ASKED: frozenset({State.ANSWERED, State.WITHDRAWN}),
    State.ANSWERED: frozenset({State.ENTERED, State.REFUSED, State.WITHDRAWN}),
    State.ENTERED: frozenset({State.DELIVERED}),
    State.DELIVERED: frozenset(),
    State.REFUSED: frozenset(),
    State.WITHDRAWN: frozenset(),
}
OPEN: Final = (State.ASKED, State.ANSWERED)
MOST_ANSWER_BYTES: Final = 1 << 21
"""Of one answer that is kept, and becomes evidence; a month of today's format has 15 kB, a year by
quarter-hours in the format of before 1.3 MB."""
_MOST_REASON: Final = 400
# Made once: a gateway keeps the answers of many hubs.
_BY_NONCE: Final = select(table).where(table.c.nonce == bindparam("of"))
_BY_NONCES: Final = select(table).where(table.c.nonce.in_(bindparam("of", expanding=True)))
_KEEP_ANSWER: Final = insert(answer_table).values(
    nonce=bindparam("nonce"), content=bindparam("content")
)
_ANSWERED: Final = (
    update(table)
    .where(table.c.nonce == bindparam("of"))
    .values(state=bindparam("state"), changed=bindparam("changed"), answer=bindparam("answer"))
)


@dataclass(frozen=True, slots=True)
class KeptQuestion:
    """A question, and how far it has come."""

    question: BillQuestion
    state: State
    changed: int
    """Since when it is in that state, in epoch seconds."""
    address: str
    """Where its hub was asked last, HOST:PORT; empty where it was not."""
    answer: bytes
    """SHA-256 of the answer that counts; empty before there is one."""
    entry: int
    """The number of its entry in the ledger; 0 before there is one."""

    @property
    def is_open(self) -> bool:
        """Whether it still waits for its bill."""
        return self.state in OPEN


@dataclass(frozen=True, slots=True)
class KeptInvoice:
    """An invoice as it was signed, and the bills that it has made void, by number."""

    number: int
    document: bytes
    void: bytes
    """The later bills that have to be asked for again, encoded."""


@dataclass(frozen=True, slots=True)
class Questions:
    """The utility's questions for bills."""

    engine: Engine
    now: Callable[[], int]

    def ask(self, question: BillQuestion) -> BillQuestion:
        """Keep a new question, and return what is to be asked: the open one, if it is the same.

        The same but for its nonce. An open question for the period that says anything else is
        withdrawn: its answer would be another bill.
        """
        about = question.about
        with writing(self.engine, about.meter) as connection:
            row = connection.execute(_open_for(question)).one_or_none()
            if row is not None:
                known = _kept(row).question
                if replace(known, about=about) == question:
                    return known
                self.move(connection, known, State.WITHDRAWN)
            connection.execute(
                insert(table).values(
                    nonce=about.nonce,
                    meter=about.meter,
                    begin=about.begin,
                    end=about.end,
                    state=State.ASKED,
                    changed=self.now(),
                    address="",
                    question=question.encode(),
                    answer=b"",
                    entry=0,
                )
            )
        return question

    def is_open(self, question: BillQuestion) -> bool:
        """Tell whether `ask` would return an open question: the same one, but for its nonce."""
        with reading(self.engine) as connection:
            row = connection.execute(_open_for(question)).one_or_none()
        if row is None:
            return False
        return replace(_kept(row).question, about=question.about) == question

    def find(self, question: BillQuestion) -> KeptQuestion:
        """Return how far a question has come; raise `QuestionClosed` where it was never asked."""
        with reading(self.engine) as connection:
            return self.locked(connection, question)

    def of_nonce(self, nonce: bytes) -> KeptQuestion:
        """Return the question of a nonce; raise `QuestionClosed` where there is none."""
        with reading(self.engine) as connection:
            row = connection.execute(select(table).where(table.c.nonce == nonce)).one_or_none()
        if row is None:
            raise QuestionClosed("this utility has asked no such question")
        return _kept(row)

    def page(
        self, after: bytes, limit: int, state: State | None = None, meter: bytes | None = None
    ) -> list[KeptQuestion]:
        """Return questions in the order of their nonces, from after one on."""
        query = select(table).where(table.c.nonce > after).order_by(table.c.nonce).limit(limit)
        if state is not None:
            query = query.where(table.c.state == state)
        if meter is not None:
            query = query.where(table.c.meter == meter)
        with reading(self.engine) as connection:
            return [_kept(row) for row in connection.execute(query).all()]

    def counts(self) -> dict[str, int]:
        """Return how many questions are in each state."""
        query = select(table.c.state, func.count()).group_by(table.c.state)
        with reading(self.engine) as connection:
            return {state: int(number) for state, number in connection.execute(query)}

    def last_address(self, meter: bytes) -> str:
        """Return where a meter's hub was asked last, HOST:PORT; empty where it never was."""
        query = (
            select(table.c.address)
            .where(table.c.meter == meter, table.c.address != "")
            .order_by(table.c.changed.desc(), table.c.nonce)
            .limit(1)
        )
        with reading(self.engine) as connection:
            return connection.execute(query).scalar_one_or_none() or ""

    def invoice_of(self, number: int) -> KeptInvoice | None:
        """Return the invoice of that number as it was signed; None where none is kept."""
        query = select(invoice_table).where(invoice_table.c.number == number)
        with reading(self.engine) as connection:
            row = connection.execute(query).one_or_none()
        return (
            None if row is None else KeptInvoice(row.number, bytes(row.document), bytes(row.void))
        )

    def locked(self, connection: Connection, question: BillQuestion) -> KeptQuestion:
        """Return the same, of a transaction's moment."""
        return _asked(
            connection.execute(_BY_NONCE, {"of": question.about.nonce}).one_or_none(), question
        )

    def asked_at(self, question: BillQuestion, address: str) -> None:
        """Keep where a question's hub is asked, for the invoice to go there as well."""
        with writing(self.engine, question.about.meter) as connection:
            connection.execute(_update(question).values(address=address))

    def answered(self, question: BillQuestion, answer: bytes) -> KeptQuestion:
        """Keep an answer, unless its question is closed; return how far that has come.

        Of several answers to an open question the last one is kept; the one that is entered first
        counts. Raises `QuestionClosed` where the question was withdrawn, never asked, or closed
        with another answer, `AnswerTooLong` for more than `MOST_ANSWER_BYTES`.
        """
        [kept] = self.answered_together([(question, answer)])
        if isinstance(kept, UtilityError):
            raise kept
        return kept

    def answered_together(
        self, answers: Sequence[tuple[BillQuestion, bytes]]
    ) -> list[KeptQuestion | UtilityError]:
        """Keep answers of several hubs in one transaction; of each return what `answered` would.

        Where it would raise, the error is returned, and the others are kept all the same. Raises
        `StoreError`, and keeps none then.
        """
        meters = {question.about.meter for question, _ in answers}
        rows: dict[bytes, tuple[bytes, KeptQuestion]] = {}
        outcomes: list[KeptQuestion | UtilityError] = []
        with writing(self.engine, *meters) as connection:
            found = self._found(connection, [question.about.nonce for question, _ in answers])
            dropped = set[bytes]()
            for question, answer in answers:
                nonce, digest = question.about.nonce, sha256(answer).digest()
                try:
                    kept = rows[nonce][1] if nonce in rows else _asked(found.get(nonce), question)
                    _require_length(answer)
                    require_this_answer(kept, digest)
                except UtilityError as error:
                    outcomes.append(error)
                    continue
                if kept.is_open and kept.answer != digest:
                    if kept.answer and nonce not in rows:
                        dropped.add(nonce)
                    is_first = kept.state is State.ASKED
                    changed = self.now() if is_first else kept.changed
                    kept = replace(kept, state=State.ANSWERED, changed=changed, answer=digest)
                    rows[nonce] = answer, kept
                outcomes.append(kept)
            if dropped:
                connection.execute(delete(answer_table).where(answer_table.c.nonce.in_(dropped)))
            if rows:
                # On rows that this transaction has read under the write lock.
                connection.execute(
                    _KEEP_ANSWER,
                    [{"nonce": nonce, "content": answer} for nonce, (answer, _) in rows.items()],
                )
                connection.execute(
                    _ANSWERED,
                    [
                        {"of": nonce, "state": one.state, "changed": one.changed,
                         "answer": one.answer}
                        for nonce, (_, one) in rows.items()
                    ],
                )  # fmt: skip
        return outcomes

    @staticmethod
    def _found(
        connection: Connection, nonces: Sequence[bytes]
    ) -> Mapping[bytes, Row[tuple[object, ...]]]:
        rows = connection.execute(_BY_NONCES, {"of": list(nonces)}).all()
        return {bytes(row.nonce): row for row in rows}

    def answer(self, question: BillQuestion) -> bytes | None:
        """Return the answer that is kept and not entered yet, None if there is none."""
        with reading(self.engine) as connection:
            content = connection.execute(
                select(answer_table.c.content).where(answer_table.c.nonce == question.about.nonce)
            ).scalar_one_or_none()
        return None if content is None else bytes(content)

    def kept_answers(self, nonces: Sequence[bytes]) -> list[tuple[KeptQuestion, bytes]]:
        """Return the questions of these nonces that are answered and not entered, with the answers.

        In the order of the nonces; one that is named twice comes once.
        """
        query = (
            select(table, answer_table.c.content)
            .join(answer_table, answer_table.c.nonce == table.c.nonce)
            .where(table.c.nonce.in_(nonces), table.c.state == State.ANSWERED)
        )
        with reading(self.engine) as connection:
            rows = connection.execute(query).all()
        found = {bytes(row.nonce): (_kept(row), bytes(row.content)) for row in rows}
        return [found[nonce] for nonce in dict.fromkeys(nonces) if nonce in found]

    def first_within(self, nonces: Sequence[bytes], most_bytes: int) -> int:
        """Return how many of the first nonces have answers of so many bytes together; at least one.

        Those that do not wait count nothing.
        """
        size = func.length(answer_table.c.content)
        query = select(answer_table.c.nonce, size).where(answer_table.c.nonce.in_(nonces))
        with reading(self.engine) as connection:
            sizes = {bytes(nonce): int(size) for nonce, size in connection.execute(query).all()}
        total = 0
        for place, nonce in enumerate(nonces):
            total += sizes.get(nonce, 0)
            if total > most_bytes and place:
                return place
        return len(nonces)

    def answers_now(
        self, connection: Connection, questions: Iterable[BillQuestion]
    ) -> dict[bytes, bytes]:
        """Return the SHA-256 of the answer that counts, by nonce, of those that are answered.

        As of a transaction that holds the meters' locks. Whoever is entered, or withdrawn, is not
        among them.
        """
        nonces = [question.about.nonce for question in questions]
        query = select(table.c.nonce, table.c.answer)
        rows = connection.execute(
            query.where(table.c.nonce.in_(nonces), table.c.state == State.ANSWERED)
        )
        return {bytes(row.nonce): bytes(row.answer) for row in rows}

    def answered_before(self, moment: int, limit: int) -> list[bytes]:
        """Return nonces of questions that wait for their entry since before a moment, oldest first.

        `limit` of them at most; what was set aside is left out.
        """
        query = (
            select(table.c.nonce)
            .where(table.c.state == State.ANSWERED, table.c.changed <= moment)
            .where(table.c.nonce.not_in(select(aside.c.nonce)))
            .order_by(table.c.changed, table.c.nonce)
            .limit(limit)
        )
        with reading(self.engine) as connection:
            return [bytes(nonce) for nonce in connection.execute(query).scalars()]

    def set_aside(self, nonce: bytes, reason: str) -> None:
        """Keep that an answer could not be worked on, by an error of ours; it stays answered."""
        with writing(self.engine, nonce) as connection:
            connection.execute(delete(aside).where(aside.c.nonce == nonce))
            connection.execute(
                insert(aside).values(nonce=nonce, why=reason[:_MOST_REASON], time=self.now())
            )

    def taken_up_again(self) -> int:
        """Forget what was set aside, so that it is tried again; return how much that was."""
        with writing(self.engine) as connection:
            return connection.execute(delete(aside)).rowcount

    def reasons_aside(self) -> dict[bytes, str]:
        """Return why answers were set aside, by their questions' nonces."""
        with reading(self.engine) as connection:
            rows = connection.execute(select(aside.c.nonce, aside.c.why)).all()
        return {bytes(nonce): str(why) for nonce, why in rows}

    def close(
        self, writes: Writes, question: BillQuestion, answer: bytes, state: State, entry: int
    ) -> None:
        """Say what came of an answer, in the transaction that enters it; the ledger has it now.

        The question is answered, as that transaction has seen under its lock.
        """
        digest = sha256(answer).digest()
        self._leave_answered(writes, question, state, answer=digest, entry=entry)

    def give_up(self, writes: Writes, question: BillQuestion) -> None:
        """Let an answered question be withdrawn in a transaction, as `close` closes one."""
        self._leave_answered(writes, question, State.WITHDRAWN)

    def _leave_answered(
        self, writes: Writes, question: BillQuestion, state: State, **values: object
    ) -> None:
        if state not in NEXT[State.ANSWERED] or state in OPEN:
            raise StoreError(f"a question that is {State.ANSWERED} cannot become {state}")
        nonce = question.about.nonce
        row = {"nonce": nonce, "state": State.ANSWERED}
        writes.change(table, row, state=state, changed=self.now(), **values)
        writes.drop(answer_table, nonce=nonce)

    def withdraw(self, question: BillQuestion) -> None:
        """Let no answer to an open question count any more; others stay as they are."""
        with writing(self.engine, question.about.meter) as connection:
            if self.locked(connection, question).is_open:
                self.move(connection, question, State.WITHDRAWN)

    def move(self, connection: Connection, question: BillQuestion, state: State) -> None:
        """Put a question in its next state; raise `StoreError` where that does not follow."""
        before = self.locked(connection, question).state
        if state not in NEXT[before]:
            raise StoreError(f"a question that is {before} cannot become {state}")
        changed = connection.execute(
            _update(question).where(table.c.state == before).values(state=state, changed=self.now())
        )
        if changed.rowcount != 1:
            raise StoreError("another process has changed the question at the same time")
        if state not in OPEN:
            for over in (answer_table, question_failure_table):
                connection.execute(delete(over).where(over.c.nonce == question.about.nonce))

    def keep_invoice(self, writes: Writes, question: BillQuestion, invoice: KeptInvoice) -> None:
        """Keep a signed invoice in the transaction that enters its bill, until it is delivered."""
        writes.add(
            invoice_table,
            number=invoice.number,
            nonce=question.about.nonce,
            document=invoice.document,
            void=invoice.void,
        )

    def invoice(self, question: BillQuestion) -> KeptInvoice:
        """Return the invoice of a question that is entered."""
        with reading(self.engine) as connection:
            row = connection.execute(
                select(invoice_table).where(invoice_table.c.nonce == question.about.nonce)
            ).one_or_none()
        if row is None:
            raise StoreError("the invoice of an entered bill is not there")
        return KeptInvoice(row.number, bytes(row.document), bytes(row.void))

    def delivered(self, question: BillQuestion) -> None:
        """Keep that a question's invoice has reached the hub; again changes nothing."""
        with writing(self.engine, question.about.meter) as connection:
            if self.locked(connection, question).state is State.ENTERED:
                self.move(connection, question, State.DELIVERED)

    def states(self) -> dict[bytes, frozenset[State]]:
        """Return, by meter, the states of questions that are open or not delivered."""
        query = select(table.c.meter, table.c.state).distinct()
        query = query.where(table.c.state.in_((*OPEN, State.ENTERED)))
        found: dict[bytes, set[State]] = {}
        with reading(self.engine) as connection:
            for meter, state in connection.execute(query).all():
                found.setdefault(bytes(meter), set()).add(State(state))
        return {meter: frozenset(states) for meter, states in found.items()}

    def for_hubs(self, since: int) -> list[tuple[bytes, bytes, State]]:
        """Return meter, nonce and state of each question that has come to wait for its hub.

        Since then: it was asked, or its invoice was entered.
        """
        query = select(table.c.meter, table.c.nonce, table.c.state).where(
            table.c.state.in_((State.ASKED, State.ENTERED)), table.c.changed >= since
        )
        with reading(self.engine) as connection:
            rows = connection.execute(query).all()
        return [(bytes(meter), bytes(nonce), State(state)) for meter, nonce, state in rows]

    def waiting(self, meter: bytes | None = None) -> list[KeptQuestion]:
        """Return the questions that are open or not delivered, of one meter or all.

        Those that are entered come in the order of their invoices, after all others.
        """
        query = select(table).where(table.c.state.in_((*OPEN, State.ENTERED)))
        if meter is not None:
            query = query.where(table.c.meter == meter)
        order = (table.c.entry, table.c.changed, table.c.meter, table.c.begin)
        with reading(self.engine) as connection:
            rows = connection.execute(query.order_by(*order)).all()
        return [_kept(row) for row in rows]


def _asked(row: Row[Any] | None, question: BillQuestion) -> KeptQuestion:
    """Return how far a question has come by its row; raise `QuestionClosed` if it is not that."""
    if row is None or bytes(row.question) != question.encode():
        raise QuestionClosed(
            f"meter {question.about.meter.hex()}: this utility has asked no such question; its"
            " answer makes no bill"
        )
    return _kept(row, question)


def _require_length(answer: bytes) -> None:
    if len(answer) > MOST_ANSWER_BYTES:
        raise AnswerTooLong(
            f"the hub's answer has {len(answer):,} bytes; {MOST_ANSWER_BYTES:,} are taken"
        )


def require_this_answer(kept: KeptQuestion, digest: bytes) -> None:
    """Raise `QuestionClosed` where a question is withdrawn, or closed with another answer."""
    meter = kept.question.about.meter.hex()
    if kept.state is State.WITHDRAWN:
        raise QuestionClosed(f"meter {meter}: the question was withdrawn; ask for the bill again")
    if not kept.is_open and kept.answer != digest:
        raise QuestionClosed(
            f"meter {meter}: entry {kept.entry} has another answer to this question; ask for the"
            " bill again if it has to be replaced"
        )


def _open_for(question: BillQuestion) -> Select[Any]:
    about = question.about
    return select(table).where(
        table.c.meter == about.meter,
        table.c.begin == about.begin,
        table.c.end == about.end,
        table.c.state.in_(OPEN),
    )


def _update(question: BillQuestion) -> Update:
    return update(table).where(table.c.nonce == question.about.nonce)


def _kept(row: Row[tuple[object, ...]], question: BillQuestion | None = None) -> KeptQuestion:
    return KeptQuestion(
        question or BillQuestion.decode(bytes(row.question)),
        State(row.state),
        row.changed,
        row.address,
        bytes(row.answer),
        row.entry,
    )
