# SPDX-License-Identifier: Apache-2.0
"""Figures of the service, as Prometheus reads them: counts and times, nothing of a customer."""

from collections.abc import Iterator
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from utility_server.retail.questions import Questions
from utility_server.service.jobs.store import Jobs

CONTENT_TYPE: Final = CONTENT_TYPE_LATEST
_BUCKETS: Final = (0.005, 0.02, 0.1, 0.5, 2.0, 10.0)


class Metrics:
    """The figures of one service."""

    def __init__(self, questions: Questions, jobs: Jobs) -> None:
        self._registry = CollectorRegistry()
        self._requests = Counter(
            "meterlet_requests", "Requests by route and status.", ("method", "route", "status"),
            registry=self._registry,
        )  # fmt: skip
        self._seconds = Histogram(
            "meterlet_request_seconds", "How long requests took.", ("method", "route"),
            registry=self._registry, buckets=_BUCKETS,
        )  # fmt: skip
        self._refused = Counter(
            "meterlet_access_refused", "Requests without a right key, token or role.", ("why",),
            registry=self._registry,
        )  # fmt: skip
        self._registry.register(_Kept(questions, jobs))

    def answered(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count a request by the route's pattern, never by its address."""
        self._requests.labels(method, route, str(status)).inc()
        self._seconds.labels(method, route).observe(seconds)

    def refused(self, why: str) -> None:
        """Count somebody who may not."""
        self._refused.labels(why).inc()

    def text(self) -> bytes:
        """Return all of it."""
        return generate_latest(self._registry)


class _Kept:
    """What the database says at the moment it is asked."""

    def __init__(self, questions: Questions, jobs: Jobs) -> None:
        self._questions, self._jobs = questions, jobs

    def collect(self) -> Iterator[Metric]:
        """Yield the states of questions and runs."""
        for name, what, counts in (
            ("meterlet_bill_questions", "Questions for bills by state.", self._questions.counts),
            ("meterlet_runs", "Long runs by state.", self._jobs.counts),
        ):
            family = GaugeMetricFamily(name, what, labels=("state",))
            for state, number in sorted(counts().items()):
                family.add_metric((state,), number)
            yield family

    def describe(self) -> list[Metric]:
        """Return nothing: registering asks no database."""
        return []
