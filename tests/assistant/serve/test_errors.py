"""Every wrong request gets a status, a type, a code and a field, and no word of the library's."""

import base64

import httpx
import openai
import pytest

from assistant.errors import AssistantError, ConfigError, ImageError, ModelError
from assistant.serve.errors import ApiError, as_api_error, field_name
from assistant.serve.jobs import Busy
from tests.assistant.serve.conftest import WAIT_S

TEXT = [{"role": "user", "content": "What?"}]


def image(url):
    return [
        {"role": "user", "content": [{"type": "text", "text": "?"}, {"type": "image_url", "image_url": {"url": url}}]}
    ]


WRONG = [
    ({"model": "gpt-4", "messages": TEXT}, 404, "model_not_found", "model", "serves tiny"),
    ({"messages": TEXT}, 400, "invalid_value", "model", "model: Field required"),
    ({"model": "tiny"}, 400, "invalid_value", "messages", "Field required"),
    ({"model": "tiny", "messages": []}, 400, "invalid_value", "messages", "at least 1 item"),
    ({"model": "tiny", "messages": "hello"}, 400, "invalid_value", "messages", "valid list"),
    ({"model": "tiny", "messages": TEXT, "colour": 1}, 400, "unknown_parameter", "colour", "Extra inputs"),
    ({"model": "tiny", "messages": TEXT, "temperature": 3}, 400, "invalid_value", "temperature", "less than or equal"),
    ({"model": "tiny", "messages": TEXT, "n": 2}, 400, "unsupported_parameter", "n", "one answer is made"),
    ({"model": "tiny", "messages": TEXT, "tools": [{}]}, 400, "unsupported_parameter", "tools", "calls no tools"),
    ({"model": "tiny", "messages": TEXT, "functions": [{}]}, 400, "unsupported_parameter", "functions", "no functions"),
    ({"model": "tiny", "messages": TEXT, "modalities": ["audio"]}, 400, "unsupported_parameter", "modalities", "text"),
    ({"model": "tiny", "messages": TEXT, "audio": {"a": 1}}, 400, "unsupported_parameter", "audio", "text"),
    ({"model": "tiny", "messages": TEXT, "prediction": "x"}, 400, "unsupported_parameter", "prediction", "first word"),
    ({"model": "tiny", "messages": TEXT, "web_search_options": {}}, 400, "unsupported_parameter", "web_search_options",
     "nothing is looked up"),
    ({"model": "tiny", "messages": TEXT, "logprobs": True}, 400, "unsupported_parameter", "logprobs", "confidence"),
    ({"model": "tiny", "messages": TEXT, "presence_penalty": 1}, 400, "unsupported_parameter", "presence_penalty", ""),
    (
        {"model": "tiny", "messages": [{"role": "assistant", "content": "I"}]},
        400, "no_question", "messages[0].role", "last message is not the user's",
    ),
    ({"model": "tiny", "messages": [{"role": "user", "content": " "}]}, 400, "no_question", "messages[0].content", ""),
    ({"model": "tiny", "messages": [{"role": "tool", "content": "x"}]}, 400, "invalid_value", "messages[0].role", ""),
    (
        {"model": "tiny", "messages": image("https://example.com/a.png")},
        400, "remote_image_refused", "messages[0].content[1].image_url.url", "nothing that is asked here leaves",
    ),
    ({"model": "tiny", "messages": image("file:///etc/passwd")}, 400, "remote_image_refused", None, "not fetched"),
    ({"model": "tiny", "messages": image("/etc/passwd")}, 400, "invalid_image_url", None, "no data URL"),
    ({"model": "tiny", "messages": image("data:image/png,abc")}, 400, "invalid_image_url", None, "not in base64"),
    ({"model": "tiny", "messages": image("data:image/png;base64,%%%")}, 400, "invalid_base64", None, "broken"),
    (
        {"model": "tiny", "messages": image("data:image/png;base64," + base64.b64encode(b"patient DOE").decode())},
        400, "invalid_image", "messages[0].content[1].image_url.url", "this is text, not a picture",
    ),
    ({"model": "tiny", "messages": image("data:image/png;base64,")}, 400, "invalid_image", None, "the file is empty"),
]  # fmt: skip


@pytest.mark.parametrize(("body", "status", "code", "param", "message"), WRONG)
def test_a_wrong_request_is_told_what_is_wrong(server, body, status, code, param, message):
    response = httpx.post(f"{server.url}/v1/chat/completions", json=body, timeout=WAIT_S)
    error = response.json()["error"]
    assert (response.status_code, error["code"]) == (status, code)
    assert param in (None, error["param"])
    assert message in error["message"]
    assert set(error) == {"message", "type", "param", "code"}
    assert "DOE" not in response.text
    assert "Traceback" not in response.text


@pytest.mark.parametrize(
    ("path", "body", "code"),
    [
        ("reports", {"model": "tiny", "images": []}, "invalid_value"),
        ("reports", {"model": "tiny", "images": [{"url": "http://far.example/x"}]}, "remote_image_refused"),
        ("reports", {"model": "tiny", "images": [{"url": "data:;base64,"}] * 5}, "too_many_images"),
        ("embeddings", {"model": "tiny", "input": []}, "invalid_value"),
        ("embeddings", {"model": "tiny", "input": ""}, "invalid_value"),
        ("embeddings", {"model": "tiny", "input": [[1, 2]]}, "invalid_value"),
        ("embeddings", {"model": "tiny", "input": "x", "dimensions": 3}, "unsupported_parameter"),
        ("embeddings", {"model": "tiny", "input": "data:image/png;base64,AAAA"}, "invalid_image"),
    ],
)
def test_so_is_one_of_the_other_routes(server, path, body, code):
    response = httpx.post(f"{server.url}/v1/{path}", json=body, timeout=WAIT_S)
    assert (response.status_code, response.json()["error"]["code"]) == (400, code)


def test_an_unknown_address_and_method_are_told(server):
    unknown = httpx.get(f"{server.url}/v1/nothing", timeout=WAIT_S)
    assert (unknown.status_code, unknown.json()["error"]["code"]) == (404, "unknown_url")
    wrong = httpx.get(f"{server.url}/v1/chat/completions", timeout=WAIT_S)
    assert (wrong.status_code, wrong.json()["error"]["code"]) == (405, "method_not_allowed")
    assert wrong.headers["allow"] == "POST"


@pytest.mark.parametrize("content", [b"{", b"", b"[1]", b"null", b"\xff", b"[" * 100_000])
def test_a_body_that_is_no_object_is_told(server, content):
    headers = {"content-type": "application/json"}
    response = httpx.post(f"{server.url}/v1/chat/completions", content=content, headers=headers, timeout=WAIT_S)
    assert response.status_code == 400
    assert set(response.json()["error"]) == {"message", "type", "param", "code"}


def test_the_client_raises_its_own_errors(server):
    with pytest.raises(openai.NotFoundError) as caught:
        server.client().chat.completions.create(model="gpt-4", messages=TEXT)
    assert (caught.value.code, caught.value.param, caught.value.type) == ("model_not_found", "model", "not_found_error")


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (ApiError(418, "m", code="c"), 418, "c"),
        (Busy(3, 2.2, own=True), 429, "too_many_requests"),
        (Busy(3, 2.2, own=False), 503, "server_busy"),
        (TimeoutError(), 504, "timeout"),
        (ImageError("m"), 400, "invalid_image"),
        (ModelError("m"), 503, "model_not_available"),
        (ConfigError("m"), 400, "invalid_request"),
        (AssistantError("m"), 502, "not_answered"),
        (RuntimeError("a secret path"), 500, "internal_error"),
    ],
)
def test_every_error_has_its_status(error, status, code):
    told = as_api_error(error)
    assert (told.status, told.code) == (status, code)
    assert "secret" not in told.message
    if isinstance(error, Busy):
        assert told.headers["Retry-After"] == "3"


def test_a_field_is_named_as_openai_names_it():
    assert field_name(("body", "messages", 0, "content", "list[TextPart]", 1, "image_url", "image_url", "url")) == (
        "messages[0].content[1].image_url.image_url.url"
    )
    assert field_name(("body",)) == ""


def test_a_question_too_long_for_the_model_is_told_and_harms_nobody_else(server, asking):
    with pytest.raises(openai.BadRequestError, match="Shorten it") as caught:
        server.client().chat.completions.create(model="tiny", messages=asking("long " * 2000))
    assert caught.value.code == "invalid_request"
    with pytest.raises(openai.APIError, match="Shorten it"):
        list(server.client().chat.completions.create(model="tiny", messages=asking("long " * 2000), stream=True))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda client: client.responses.create(model="tiny", input="?"), "Responses API is not served"),
        (lambda client: client.completions.create(model="tiny", prompt="?"), "Ask with /v1/chat/completions"),
        (lambda client: client.files.list(), "Nothing is kept here"),
        (lambda client: client.moderations.create(input="?"), "See /docs for what there is"),
    ],
)
def test_what_openai_has_and_this_server_has_not_is_told_with_what_to_do_instead(server, call, message):
    with pytest.raises(openai.NotFoundError, match=message):
        call(server.client())


def test_who_sends_parts_is_told_of_the_parts_alone(server):
    part = {"type": "file", "file": {"file_id": "x"}}
    body = {"model": "tiny", "messages": [{"role": "user", "content": [part]}]}
    error = httpx.post(f"{server.url}/v1/chat/completions", json=body, timeout=WAIT_S).json()["error"]
    assert "file_data: Field required" in error["message"]
    assert "valid string" not in error["message"]
