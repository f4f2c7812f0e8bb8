"""The server keeps to its own description, whatever is sent to it."""

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_schema_conformance,
    status_code_conformance,
)

from tests.assistant.serve.conftest import WAIT_S

OPERATIONS = [
    ("/v1/chat/completions", "POST"),
    ("/v1/reports", "POST"),
    ("/v1/embeddings", "POST"),
    ("/v1/feedback", "POST"),
    ("/v1/models", "GET"),
    ("/v1/models/{name}", "GET"),
]
CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]


@pytest.fixture(scope="module")
def schema(start_server):
    server = start_server(requests_per_minute=0, max_waiting=1000, max_waiting_each=1000)
    return schemathesis.openapi.from_url(f"{server.url}/openapi.json")


@pytest.mark.parametrize("mode", list(GenerationMode), ids=lambda mode: mode.value)
@pytest.mark.parametrize(("path", "method"), OPERATIONS)
def test_every_answer_is_as_described(schema, path, method, mode):
    operation = schema[path][method]
    if mode is GenerationMode.NEGATIVE and method == "GET":
        return  # it takes nothing that could be wrong
    checks = [*CHECKS, negative_data_rejection] if mode is GenerationMode.NEGATIVE else CHECKS

    @settings(
        max_examples=25, deadline=None, derandomize=True, database=None, phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(case=operation.as_strategy(generation_mode=mode))
    def check(case):
        if mode is GenerationMode.POSITIVE and isinstance(case.body, dict) and path != "/v1/feedback":
            case.body["model"] = "tiny"  # or nearly all would end at a model that is not here
        case.call_and_validate(checks=checks, timeout=WAIT_S)

    check()


def test_every_operation_is_tried(schema):
    assert {(one.ok().path, one.ok().method.upper()) for one in schema.get_all_operations()} == set(OPERATIONS)
