# SPDX-License-Identifier: Apache-2.0
"""Settlements and profiles of many customers: what each is asked, and how far that is.

new --> asked --> answered --> entered | refused
 |        +--> unreachable, not-ready: tried again when due --> given-up
 +--> declined      the hub said no: no consent, too often, too few days
 +--> refused       there is nothing to ask, or the answer was wrong
 +--> given-up, cancelled

A question is kept before its hub is asked, and asked again byte for byte, so that the hub counts it
once. An answer is kept before the hub is sent anything more. What it proves, or that it does not,
is entered in the ledger in the transaction that notes it here: exactly once, whatever dies.

Errors: AnswerTooLong, StoreError
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from hashlib import sha256
from typing import Any, Final, TypeAlias

from sqlalchemy import Connection, Engine, Row, and_, func, insert, or_, select, update

from applets.common.questions import Question
from utility_server.database import claim_document_table as documents
from utility_server.database import claim_item_table as table
from utility_server.database import job_table as jobs
from utility_server.database import reading, writing
from utility_server.errors import (
    AnswerTooLong,
    CannotVerify,
    HubRefused,
    StoreError,
    UnknownCustomer,
    UtilityError,
    VerificationFailed,
    kind_of,
)
from utility_server.hub_conversation import INCOMPLETE
from utility_server.retail.batches import check_answers
from utility_server.retail.claims import (
    CLAIMS,
    Claim,
    ClaimingUtility,
    VerifiedAnswer,
)
from utility_server.retail.failures import kind_of_failure, printed
from utility_server.retail.ledger import LEDGER, Appending, Content
from utility_server.retail.questions import MOST_ANSWER_BYTES
from utility_server.retail.verification import BillBundle

PART: Final = 16
"""Answers that are verified and entered at once."""


class ClaimState(StrEnum):
    """How far one customer is."""

    NEW = "new"
    ASKED = "asked"
    UNREACHABLE = "unreachable"
    NOT_READY = "not-ready"
    ANSWERED = "answered"
    ENTERED = "entered"
    REFUSED = "refused"
    DECLINED = "declined"
    GIVEN_UP = "given-up"
    CANCELLED = "cancelled"


ASKING: Final = (ClaimState.ASKED, ClaimState.UNREACHABLE, ClaimState.NOT_READY)
"""States in which a hub's answer is taken."""
OPEN: Final = (ClaimState.NEW, *ASKING, ClaimState.ANSWERED)
"""What is not at its end."""
GOING_ON: Final = ("waiting", "running")
"""States of a run, as the service keeps them, in which hubs are asked for it."""
TO_RETRY: Final = (ClaimState.GIVEN_UP, ClaimState.REFUSED, ClaimState.CANCELLED)
"""What a run that begins again tries anew; nobody who has declined is asked again by it."""


@dataclass(frozen=True, slots=True)
class ClaimItem:
    """One customer of a run."""

    job: str
    meter: bytes
    kind: str
    """Of what is asked: `settlement` or `profile`, as in `claims.CLAIMS`."""
    supplier: str = ""
    """Whose customer it is, in a settlement."""
    begin: int = 0
    end: int = 0
    state: ClaimState = ClaimState.NEW
    nonce: bytes = b""
    question: bytes = field(default=b"", repr=False)
    """As it goes to the hub; empty before there is one, and once its answer is entered."""
    answer: bytes = field(default=b"", repr=False)
    address: str = ""
    """Where the hub is asked, HOST:PORT; empty: it is waited for."""
    tries: int = 0
    due: int = 0
    """When it is asked again."""
    reason: str = ""
    why: str = ""
    entry: int = 0
    """The number of its ledger entry; 0 before there is one."""
    value: str = ""
    """What was proved: an amount in 10^-9 of the currency, or the best profile."""
    missing: int = 0
    """Slots without a reading, which count as no use."""

    @property
    def claim(self) -> Claim[Any, Any, Any]:
        """What is asked."""
        return CLAIMS[self.kind]

    @property
    def asked(self) -> Question:
        """The question."""
        question: Question = self.claim.question.decode(self.question)
        return question


@dataclass(frozen=True, slots=True)
class ClaimItems:
    """The customers of all runs."""

    engine: Engine
    now: Callable[[], int] = field(repr=False)

    def keep_document(self, connection: Connection, content: bytes) -> None:
        """Keep what a run asks under by its SHA-256, in the transaction that keeps the run."""
        digest = sha256(content).digest()
        known = select(documents.c.digest).where(documents.c.digest == digest)
        if connection.execute(known).first() is None:
            connection.execute(insert(documents).values(digest=digest, content=content))

    def document(self, digest: bytes) -> bytes:
        """Return what was kept under a digest; raise `StoreError` where that is not it."""
        query = select(documents.c.content).where(documents.c.digest == digest)
        with reading(self.engine) as connection:
            content = connection.execute(query).scalar_one_or_none()
        if content is None or sha256(bytes(content)).digest() != digest:
            raise StoreError("what a run asks under is gone, or changed")
        return bytes(content)

    def add(self, items: Sequence[ClaimItem]) -> None:
        """Keep new customers of a run; those that are there stay as they are."""
        if not items:
            return
        with writing(self.engine, *{item.job.encode() for item in items}) as connection:
            for item in items:
                if connection.execute(select(table.c.state).where(*_is(item))).first() is None:
                    connection.execute(insert(table).values(**_values(item)))

    def put(
        self, item: ClaimItem, within: Sequence[ClaimState] = OPEN, **changes: Any
    ) -> ClaimItem | None:
        """Keep how far a customer is, if he is in one of these states; return him, or None.

        In another one he is further by now: another process was faster, or the run is cancelled.
        """
        changes["why"] = printed(changes.get("why", item.why))
        with writing(self.engine, item.job.encode()) as connection:
            where = (*_is(item), table.c.state.in_(within), table.c.nonce == item.nonce)
            if not connection.execute(update(table).where(*where).values(**changes)).rowcount:
                return None
        return replace(item, **changes)

    def begin_again(self, job: str) -> int:
        """Let customers be tried anew who were not asked to the end; return how many.

        A question that no answer has come to is asked again as it was.
        """
        common = {"tries": 0, "due": 0, "reason": "", "why": ""}
        is_over = (table.c.job == job, table.c.state.in_(TO_RETRY))
        is_asked = (table.c.question != b"") & (table.c.entry == 0)
        with writing(self.engine, job.encode()) as connection:
            count = connection.execute(
                update(table).where(*is_over, is_asked).values(state=ClaimState.ASKED, **common)
            ).rowcount
            anew = {"state": ClaimState.NEW, "nonce": b"", "question": b"", "entry": 0}
            count += connection.execute(
                update(table).where(*is_over).values(**anew, **common)
            ).rowcount
        return count

    # What the run asks by itself

    def to_try(self, job: str, limit: int) -> list[ClaimItem]:
        """Return customers whom the run itself has to do with by now."""
        query = select(table).where(table.c.job == job, _is_tried(), table.c.due <= self.now())
        return self._found(query.order_by(table.c.due, table.c.meter).limit(limit))

    def next_due(self, job: str) -> int | None:
        """Return when there is one next; None where there is none."""
        query = select(func.min(table.c.due)).where(table.c.job == job, _is_tried())
        with reading(self.engine) as connection:
            found: int | None = connection.execute(query).scalar_one()
        return found

    def in_state(self, job: str, states: Sequence[ClaimState], limit: int) -> list[ClaimItem]:
        """Return some customers in these states, in the order of their meters."""
        query = select(table).where(table.c.job == job, table.c.state.in_(states))
        return self._found(query.order_by(table.c.meter).limit(limit))

    # What hubs are asked when they dial

    def due_meters(self) -> frozenset[bytes]:
        """Return the meters whose hubs are waited for."""
        query = select(table.c.meter).where(_is_waited_for(), _goes_on(), table.c.due <= self.now())
        with reading(self.engine) as connection:
            found = connection.execute(query.distinct()).scalars()
            return frozenset(bytes(meter) for meter in found)

    def waiting(self, meter: bytes) -> list[ClaimItem]:
        """Return what a meter's hub is to be asked now, the oldest period first."""
        query = select(table).where(
            table.c.meter == meter, _is_waited_for(), _goes_on(), table.c.due <= self.now()
        )
        return self._found(query.order_by(table.c.begin, table.c.job))

    def waited_for_by_others(self, item: ClaimItem, begin: int, end: int) -> list[ClaimItem]:
        """Return whom other runs that go on have asked of the same meter, supplier and period."""
        query = select(table).where(
            table.c.meter == item.meter, table.c.job != item.job, table.c.kind == item.kind,
            table.c.supplier == item.supplier, table.c.begin == begin, table.c.end == end,
            table.c.state.in_((*ASKING, ClaimState.ANSWERED)), _goes_on(),
        )  # fmt: skip
        return self._found(query)

    def answered(self, item: ClaimItem, answer: bytes) -> None:
        """Keep an answer, unverified, if it is still waited for.

        Raises `AnswerTooLong`; nothing is kept then.
        """
        if len(answer) > MOST_ANSWER_BYTES:
            raise AnswerTooLong(
                f"the answer has {len(answer):,} bytes, and {MOST_ANSWER_BYTES:,} are kept at most"
            )
        changes = {"reason": "", "why": "", "due": 0}
        self.put(item, ASKING, state=ClaimState.ANSWERED, answer=answer, **changes)

    def failed(self, item: ClaimItem, error: UtilityError, due: int) -> ClaimItem | None:
        """Note that a hub did not answer, and when it is asked again unless it said no.

        A hub that was not reached may be tried again, and one whose days are not certified yet.
        What it has refused otherwise it is not pressed for: that is the end.
        """
        reason, why = kind_of_failure(error), str(error)
        if isinstance(error, HubRefused) and error.status_word != INCOMPLETE:
            # Nobody asks it again.
            changes: dict[str, Any] = {"state": ClaimState.DECLINED, "question": b""}
        elif isinstance(error, UnknownCustomer | AnswerTooLong):
            changes = {"state": ClaimState.REFUSED}
        else:
            is_early = isinstance(error, HubRefused)
            state = ClaimState.UNREACHABLE if item.address else ClaimState.ASKED
            state = ClaimState.NOT_READY if is_early else state
            changes = {"state": state, "tries": item.tries + 1, "due": due}
        return self.put(item, ASKING, reason=reason, why=why, **changes)

    # What is shown

    def counts(self, job: str) -> dict[str, int]:
        """Return how many customers of a run are in each state."""
        query = select(table.c.state, func.count()).where(table.c.job == job)
        with reading(self.engine) as connection:
            found = connection.execute(query.group_by(table.c.state)).all()
        return {state: int(number) for state, number in found}

    def page(
        self, job: str, after: bytes, limit: int, states: Sequence[str] = ()
    ) -> list[ClaimItem]:
        """Return customers in the order of their meters, from after one on."""
        query = select(table).where(table.c.job == job, table.c.meter > after)
        if states:
            query = query.where(table.c.state.in_(states))
        return self._found(query.order_by(table.c.meter).limit(limit))

    def entered(self, job: str) -> Iterator[tuple[str, str, int]]:
        """Yield supplier, value and missing slots of each customer who is entered."""
        after = b""
        while some := self.page(job, after, 1000, (ClaimState.ENTERED,)):
            for one in some:
                yield one.supplier, one.value, one.missing
            after = some[-1].meter

    def _found(self, query: Any) -> list[ClaimItem]:
        with reading(self.engine) as connection:
            return [_item(row) for row in connection.execute(query).all()]


_Asked: TypeAlias = tuple[ClaimItem, Question, BillBundle]
_Checked: TypeAlias = tuple[ClaimItem, BillBundle, Any]


@dataclass(frozen=True, slots=True)
class ClaimEntering:
    """Verifies answers of a run and enters what they prove."""

    utility: ClaimingUtility
    items: ClaimItems
    proved: Callable[[str, Any], tuple[str, int]]
    """Returns, by kind and result, the value and missing slots that the run shows."""

    def enter_some(self, job: str) -> int:
        """Verify and enter a part of the answers that have come; return how many they were."""
        waiting = self.items.in_state(job, (ClaimState.ANSWERED,), PART)
        asked = list[_Asked]()
        for item in waiting:
            try:
                bundle = self._bundle(item)
            except UnknownCustomer as error:
                self.items.put(
                    item, state=ClaimState.REFUSED, reason=kind_of(error), why=str(error)
                )
                continue
            asked.append((item, item.asked, bundle))
        if asked:
            self._enter(self._checked(asked))
        return len(waiting)

    def _checked(self, asked: Sequence[_Asked]) -> list[_Checked]:
        """Return what came of verifying answers: all at once, or each by itself where that breaks.

        An answer that breaks the verification is refused, and holds up nobody else.
        """
        try:
            pairs = [(question, bundle) for _, question, bundle in asked]
            outcomes = check_answers(self.utility, asked[0][0].claim, pairs)
        except StoreError:
            raise
        except Exception as error:  # noqa: BLE001 - a hub has a part in what is verified
            if len(asked) > 1:
                return [one for each in asked for one in self._checked([each])]
            self.items.put(
                asked[0][0], state=ClaimState.REFUSED, reason=kind_of(error),
                why="its answer cannot be verified",
            )  # fmt: skip
            return []
        return [
            (item, bundle, came) for (item, _, bundle), came in zip(asked, outcomes, strict=True)
        ]

    def _bundle(self, item: ClaimItem) -> BillBundle:
        claim = item.claim
        enrolment = self.utility.customers.find(item.meter, *claim.aids)
        supplier = self.utility.keys.public.public_bytes_raw()
        return claim.bundle.of(item.question, item.answer, enrolment, supplier)

    def _enter(self, checked: Sequence[_Checked]) -> None:
        """Enter what came of each, all in one transaction with what is noted of it."""
        if not checked:
            return
        meters = {item.meter for item, _, _ in checked}
        scopes = (LEDGER, *meters, checked[0][0].job.encode())
        with writing(self.items.engine, *scopes) as connection:
            # Under the locks: what another process has entered meanwhile is left alone.
            checked = [one for one in checked if _is_still_answered(connection, one[0])]
            days = [
                day
                for _, _, came in checked
                if isinstance(came, VerifiedAnswer)
                for day in came.result.certified
            ]
            appending = Appending.begin(connection, days)
            for item, bundle, came in checked:
                changes = self._append(appending, item, bundle, came)
                # Question and answer are in the entry's evidence from now on.
                changes |= {"question": b"", "answer": b""}
                connection.execute(update(table).where(*_is(item)).values(**changes))
            appending.write(connection)

    def _append(
        self, appending: Appending, item: ClaimItem, bundle: BillBundle, came: Any
    ) -> dict[str, Any]:
        """Append what came of a customer; return what the run notes of it."""
        now, evidence = self.utility.now(), bundle.encode()
        try:
            if not isinstance(came, VerifiedAnswer):
                raise came
            content: Content = came.claim.content(came.about, came.document, came.result)
            if "supplier" in came.claim.added:
                content = {**content, "supplier": item.supplier}
            entry = appending.append(
                now, item.kind, item.meter, content, evidence, came.result.certified
            )
        except (VerificationFailed, CannotVerify) as error:
            facts: Content = {"begin": item.begin, "end": item.end, "why": str(error)}
            entry = appending.append(now, "refused", item.meter, facts, evidence)
            return {
                "state": ClaimState.REFUSED, "reason": kind_of(error), "why": printed(str(error)),
                "entry": entry.sequence,
            }  # fmt: skip
        value, missing = self.proved(item.kind, came.result)
        return {
            "state": ClaimState.ENTERED, "reason": "", "why": "", "entry": entry.sequence,
            "value": value, "missing": missing,
        }  # fmt: skip


def _is_still_answered(connection: Connection, item: ClaimItem) -> bool:
    query = select(table.c.state, table.c.nonce).where(*_is(item))
    row = connection.execute(query).one_or_none()
    return row is not None and (row.state, bytes(row.nonce)) == (ClaimState.ANSWERED, item.nonce)


def _is_waited_for() -> Any:
    """Tell whose hub is asked when it dials in: also one that was not reached at its address."""
    return table.c.state.in_(ASKING)


def _goes_on() -> Any:
    """Tell whose run is not over: one that has failed, or is to begin again, asks nobody.

    Nobody would enter the answer, and the hub would count it.
    """
    is_open = jobs.c.state.in_(GOING_ON)
    return select(jobs.c.kind).where(jobs.c.identification == table.c.job, is_open).exists()


def _is_tried() -> Any:
    """Tell whom the run itself asks, or has to make a question for."""
    return or_(table.c.state == ClaimState.NEW, and_(_is_waited_for(), table.c.address != ""))


def _is(item: ClaimItem) -> tuple[Any, ...]:
    return (table.c.job == item.job, table.c.meter == item.meter)


def _values(item: ClaimItem) -> Mapping[str, Any]:
    return {name: getattr(item, name) for name in ClaimItem.__slots__}


def _item(row: Row[Any]) -> ClaimItem:
    return ClaimItem(
        row.job, bytes(row.meter), row.kind, row.supplier, row.begin, row.end,
        ClaimState(row.state), bytes(row.nonce), bytes(row.question), bytes(row.answer),
        row.address, row.tries, row.due, row.reason, row.why, row.entry, row.value, row.missing,
    )  # fmt: skip
