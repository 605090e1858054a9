# SPDX-License-Identifier: Apache-2.0
from hypothesis import given
from hypothesis import strategies as st

from protocols.proofs import ORDER, Transcript
from protocols.proofs.group import GENERATOR, INFINITY

items = st.lists(st.tuples(st.sampled_from(["", "a", "b", "ab"]), st.binary(max_size=4)))


def replay(history: list[tuple[str, bytes]]) -> Transcript:
    transcript = Transcript("test", 1)
    for label, content in history:
        transcript.append(label, content)
    return transcript


@given(items, items)
def test_two_histories_give_the_same_challenge_only_if_they_are_the_same(
    one: list[tuple[str, bytes]], other: list[tuple[str, bytes]]
) -> None:
    assert (replay(one).challenge("c") == replay(other).challenge("c")) == (one == other)
    assert (replay(one).digest() == replay(other).digest()) == (one == other)


def test_protocol_version_label_and_kind_all_count() -> None:
    digests = {
        Transcript("a", 1).digest(),
        Transcript("a", 2).digest(),
        Transcript("b", 1).digest(),
        Transcript("a/1", 1).digest(),
    }
    kinds = [Transcript("k", 1) for _ in range(6)]
    kinds[0].append("x", b"1")
    kinds[1].append("y", b"1")
    kinds[2].append_integers("x", [1, 1])
    kinds[3].append_integers("x", [11])
    kinds[4].append_scalar("x", 1)
    kinds[5].challenge("x")
    assert len(digests | {kind.digest() for kind in kinds}) == 10


def test_a_challenge_depends_on_the_challenges_before_it() -> None:
    one, other = Transcript("t", 1), Transcript("t", 1)
    one.challenge("first")
    assert one.challenge("second") != other.challenge("second")
    challenges = [one.challenge("again") for _ in range(50)]
    assert len(set(challenges)) == 50
    assert all(0 < challenge < ORDER for challenge in challenges)


def test_a_digest_and_a_fork_leave_the_transcript_as_it_was() -> None:
    transcript = Transcript("t", 1)
    first = transcript.digest()
    transcript.fork().append("x", b"")
    assert transcript.digest() == first
    assert transcript.challenge("c") == Transcript("t", 1).challenge("c")


def test_infinity_is_told_from_every_other_point() -> None:
    one, other = Transcript("t", 1), Transcript("t", 1)
    one.append_point("p", INFINITY)
    other.append_point("p", GENERATOR)
    assert one.digest() != other.digest()


def test_the_transcript_of_an_old_release_still_gives_its_challenge() -> None:
    transcript = Transcript("frozen", 1)
    transcript.append("item", b"content")
    transcript.append_text("text", "ü")
    transcript.append_integers("list", [-1, 2])
    assert f"{transcript.challenge('c'):064x}" == FROZEN


FROZEN = "ff5377277572d161e4a12d7b18929a21ec30fdfb069de6836b8396d76d08d02d"
