# SPDX-License-Identifier: Apache-2.0
"""What a profiling applet answers for one of the London homes, and the check of it."""

from applets.common.questions import About
from applets.profiling.messages import (
    ProfilingAnswer,
    ProfilingQuestion,
    ProfilingRequest,
)
from applets.profiling.statement import (
    PURPOSE,
    RECIPIENT,
    ProfiledPeriod,
    check_profile,
)
from hub.certifier import Certifier
from protocols.proofs import NumbersContext, open_numbers
from tests.support.homes import KEYS, SLOT, Home, series_of
from tests.support.statements import stated_numbers

NONCE = bytes(range(16))


def question_for(home: Home) -> ProfilingQuestion:
    return ProfilingQuestion(About(home.name.encode(), *home.bounds, NONCE), b"signed")


def answered(home: Home, request: ProfilingRequest) -> ProfilingAnswer:
    """What applet and platform make of it."""
    series, (begin, end) = series_of(home.name), home.bounds
    context = NumbersContext(
        series.meter, (series.register,), begin, end, SLOT // 60, request.digest, RECIPIENT,
        PURPOSE, NONCE,
    )  # fmt: skip
    numbers = request.numbers(home.starts, SLOT)
    source, days = stated_numbers(Certifier(series, KEYS), home.certified, numbers)
    _, proof = open_numbers(context, [source], numbers, bytes(32))
    return ProfilingAnswer(question_for(home).about, proof, request.digest, days)


def checked(home: Home, answer: ProfilingAnswer, request: ProfilingRequest) -> ProfiledPeriod:
    return check_profile(
        question_for(home), answer.encode(), request, home.period, series_of(home.name),
        KEYS.public_key,
    )  # fmt: skip
