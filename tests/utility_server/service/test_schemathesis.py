# SPDX-License-Identifier: Apache-2.0
"""Schemathesis asks every operation all kinds of things: no fault of ours, and only what is said.

A sample in `make test`; many more in `make soak`. What is of the right form may still be refused:
a period that has no contract, a cursor that nobody gave.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import positive_data_acceptance

from tests.support.service import ENROLMENT, Served, new_utility, other_meters, served
from tests.support.soak import IS_SOAKING
from utility_server.service.api.application import create_service_api

EXAMPLES = 200 if IS_SOAKING else 1
ORIGINS = frozenset({"http://localhost", "http://testserver", "http://127.0.0.1:8420"})


@pytest.fixture(autouse=True)
def database_kind() -> str:
    """The database that needs no server: the interface's own tests run on both."""
    return "sqlite"


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Served]:
    folder = new_utility(tmp_path / "utility")
    with served(folder, origins=ORIGINS) as service:
        for content in [ENROLMENT.encode(), *other_meters(2)]:
            service.post("/v1/customers", 201, content=content)
        service.tariff()
        yield service


@schemathesis.serializer("application/cose", "application/toml")
def as_it_is(_: Any, value: Any) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode("utf-8", "replace")


def operations(service: Served) -> Iterator[Any]:
    app: Any = create_service_api(service.parts)
    schema = schemathesis.openapi.from_asgi("/v1/openapi.json", app)
    for result in schema.get_all_operations():
        assert isinstance(result, Ok), result
        yield result.ok()


def test_every_operation_answers_only_what_is_described(service: Served) -> None:
    headers, asked = {"Authorization": f"Bearer {service.key()}"}, list[str]()
    statuses: set[int] = set()

    for operation in operations(service):

        @hypothesis.given(case=operation.as_strategy())
        @hypothesis.settings(
            max_examples=EXAMPLES, deadline=None, database=None, derandomize=not IS_SOAKING,
            phases=[Phase.explicit, Phase.generate],
            suppress_health_check=list(HealthCheck),
        )  # fmt: skip
        def check(case: Any) -> None:
            answer = case.call(headers=headers)
            statuses.add(answer.status_code)
            assert answer.status_code < 500, (case.method, case.path, answer.text)
            case.validate_response(answer, excluded_checks=[positive_data_acceptance])

        check()
        asked.append(operation.label)
    assert len(asked) > 40
    assert statuses > {200, 404, 422}
