"""The other routes, the gate before them, the audit log behind them, and the description of it all."""

import base64
import contextlib
import json
import socket
import threading

import httpx
import numpy as np
import openai
import pytest

from assistant.serve.audit import verify_log
from assistant.serve.gate import Allowance
from assistant.serve.keys import add_key
from tests.assistant.serve.conftest import WAIT_S


@pytest.fixture(scope="module")
def client(server):
    return server.client()


@pytest.fixture(scope="module")
def http(server):
    with httpx.Client(base_url=server.url, timeout=WAIT_S) as made:
        yield made


@pytest.fixture(scope="module")
def keyed(start_server, tmp_path_factory):
    path = tmp_path_factory.mktemp("keys") / "keys"
    keys = {name: add_key(path, name) for name in ("lab", "ward")}
    return start_server(keys=str(path), requests_per_minute=30, max_body_mb=1), keys


def test_the_model_is_listed_with_what_it_is_made_of(server, client):
    (model,) = client.models.list().data
    opened = server.service.get()
    assert model.id == "tiny"
    assert model.model_extra["fingerprint"] == opened.model_fingerprint
    assert model.model_extra["dimensions"] == 24
    assert client.models.retrieve("tiny").id == "tiny"
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("other")


def test_texts_and_images_lie_in_one_space(server, client, image_url):
    made = client.embeddings.create(model="tiny", input=["a glioma", image_url(1), "a normal brain", image_url(1)])
    rows = np.array([one.embedding for one in made.data], dtype=np.float32)
    assert rows.shape == (4, 24)
    assert np.allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-5)
    assert np.allclose(rows[1], rows[3])
    expected = server.service.get().assistant.model.text.embed(["a glioma"])
    assert np.allclose(rows[0], expected[0], atol=1e-6)
    (one,) = client.embeddings.create(model="tiny", input="a glioma", encoding_format="float").data
    assert np.allclose(one.embedding, rows[0], atol=1e-6)


def test_content_parts_are_embedded_too(http, image_url):
    parts = [{"type": "text", "text": "a glioma"}, {"type": "image_url", "image_url": {"url": image_url()}}]
    made = http.post("/v1/embeddings", json={"model": "tiny", "input": parts, "encoding_format": "base64"}).json()
    assert [len(base64.b64decode(one["embedding"])) for one in made["data"]] == [96, 96]


def test_a_report_has_its_sections_and_grounds(http, image_url):
    body = {
        "model": "tiny",
        "images": [{"url": image_url(1)}],
        "priors": [{"url": image_url(2)}],
        "indication": "cough",
    }
    made = http.post("/v1/reports", json=body)
    told = made.json()
    assert made.status_code == 200
    assert list(told["sections"]) == ["technique", "comparison", "findings", "impression"]
    assert told["object"] == "report"
    assert {"confidence", "abstained", "evidence", "cautions", "usage"} <= set(told)


def test_health_and_readiness(http):
    assert http.get("/healthz").json() == {"status": "ok", "model": "ready"}
    assert http.get("/readyz").status_code == 200


def test_counts_are_told_without_content(http, client, asking):
    client.chat.completions.create(model="tiny", messages=asking("Is there a secretword?"))
    text = http.get("/metrics").text
    assert 'medassist_requests_total{route="/v1/chat/completions",status="200"}' in text
    assert "medassist_ready 1.0" in text
    assert "medassist_batch_size_count" in text
    assert "secretword" not in text


def test_the_description_is_served_here_and_loads_nothing(http):
    page = http.get("/docs")
    assert "POST /v1/chat/completions" in page.text
    assert "<script" not in page.text
    assert "http://" not in page.text.replace(str(http.base_url), "")
    spec = http.get("/openapi.json").json()
    assert set(spec["paths"]) == {
        "/v1/chat/completions", "/v1/embeddings", "/v1/feedback", "/v1/models", "/v1/models/{name}", "/v1/reports",
    }  # fmt: skip
    assert "422" not in json.dumps(spec)


def test_a_key_is_needed_where_keys_are_set(keyed, asking):
    server, keys = keyed
    for wrong in ("", "none", keys["lab"][:-1]):
        headers = {"Authorization": f"Bearer {wrong}"} if wrong else {}
        for path in ("/v1/models", "/metrics"):
            refused = httpx.get(server.url + path, headers=headers, timeout=WAIT_S)
            assert refused.status_code == 401
            assert refused.headers["www-authenticate"] == "Bearer"
            assert refused.json()["error"]["code"] == "invalid_api_key"
    with pytest.raises(openai.AuthenticationError):
        server.client("wrong").models.list()
    assert server.client(keys["lab"]).chat.completions.create(model="tiny", messages=asking()).id
    assert httpx.get(server.url + "/healthz", timeout=WAIT_S).status_code == 200


def test_the_audit_log_says_who_and_never_what(keyed, asking):
    server, keys = keyed
    made = server.client(keys["ward"]).chat.completions.create(model="tiny", messages=asking("Is it a secretword?"))
    lines = [json.loads(line) for line in server.audit.read_text().splitlines()]
    asked, ended = [line for line in lines if line["id"] == made.id.removeprefix("chatcmpl-")]
    assert (asked["what"], asked["who"], asked["images"]) == ("chat", "ward", 1)
    assert asked["model"] == server.service.get().model_fingerprint
    assert ended["outcome"] in ("answered", "abstained")
    assert "secretword" not in server.audit.read_text()
    assert keys["ward"] not in server.audit.read_text()
    assert verify_log(server.audit).fault is None


def test_a_request_that_is_too_large_is_refused_before_it_is_read(keyed, asking):
    server, keys = keyed
    headers = {"Authorization": f"Bearer {keys['lab']}", "Content-Type": "application/json"}
    told = httpx.post(server.url + "/v1/chat/completions", content=b" " * 1_000_001, headers=headers, timeout=WAIT_S)
    assert (told.status_code, told.json()["error"]["code"]) == (413, "request_too_large")


def test_a_body_of_unknown_length_is_read_no_further_than_allowed(keyed):
    server, keys = keyed
    host, port = server.url.removeprefix("http://").split(":")
    head = (
        f"POST /v1/chat/completions HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {keys['lab']}\r\n"
        "Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
    )
    with socket.create_connection((host, int(port)), timeout=WAIT_S) as connection:
        connection.sendall(head.encode())
        for _ in range(10):
            connection.sendall(b"186a0\r\n" + b" " * 100_000 + b"\r\n")
        connection.sendall(b"1\r\n \r\n")  # one byte more than it takes, after which it may close at any moment
        assert connection.recv(4096).startswith(b"HTTP/1.1 413")
        with contextlib.suppress(ConnectionError):  # closed: either an end or a reset
            while connection.recv(65536):
                pass


def test_a_body_that_does_not_come_is_not_waited_for(start_server):
    host, port = start_server(timeout_s=1).url.removeprefix("http://").split(":")
    head = (
        f"POST /v1/embeddings HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n{{"
    )
    with socket.create_connection((host, int(port)), timeout=WAIT_S) as connection:
        connection.sendall(head.encode())
        told = b""
        while more := connection.recv(4096):
            told += more
    assert told.startswith(b"HTTP/1.1 408")
    assert b"did not come within 1 s" in told


def test_a_body_of_another_kind_is_refused(http):
    told = http.post("/v1/chat/completions", content=b"{}", headers={"Content-Type": "text/plain"})
    assert (told.status_code, told.json()["error"]["code"]) == (415, "unsupported_media")


def test_too_many_requests_a_minute_wait(start_server, tmp_path):
    keys = tmp_path / "keys"
    one, other = add_key(keys, "one"), add_key(keys, "other")
    server = start_server(keys=str(keys), requests_per_minute=1)
    client = server.client(one)  # one, quick to ask: an allowance of 1 fills again in 60 s
    assert client.models.list()
    with pytest.raises(openai.RateLimitError) as caught:
        client.models.list()
    assert caught.value.code == "rate_limit_exceeded"
    assert int(caught.value.response.headers["retry-after"]) >= 1
    assert server.client(other).models.list()


def test_an_allowance_fills_again():
    now = [0.0]
    allowance = Allowance(60, clock=lambda: now[0])
    assert [allowance.take("ann") for _ in range(60)] == [0.0] * 60
    assert allowance.take("ann") == pytest.approx(1.0)
    assert allowance.take("bob") == 0.0
    now[0] = 1.0
    assert allowance.take("ann") == 0.0
    assert Allowance(0).take("ann") == 0.0


def test_a_full_queue_is_told_with_when_to_come_again(start_server, asking):
    server = start_server(max_waiting=2, max_waiting_each=1)
    assistant = server.service.get().assistant
    running, go = threading.Event(), threading.Event()
    prepare = assistant._cases

    def slow(asked):
        running.set()
        go.wait(WAIT_S)
        return prepare(asked)

    assistant._cases = slow
    made = []

    def ask():
        made.append(server.client().chat.completions.create(model="tiny", messages=asking()))

    threads = [threading.Thread(target=ask)]
    threads[0].start()
    assert running.wait(WAIT_S)
    threads.append(threading.Thread(target=ask))
    threads[1].start()
    while not server.service.queue.waiting:
        threads[1].join(0.01)
    with pytest.raises(openai.RateLimitError, match="Your 1 requests wait already") as caught:
        server.client().chat.completions.create(model="tiny", messages=asking())
    assert int(caught.value.response.headers["retry-after"]) >= 1
    go.set()
    for thread in threads:
        thread.join(WAIT_S)
    assert len(made) == 2


def test_a_request_that_takes_too_long_ends(start_server, asking):
    server = start_server(timeout_s=3)  # of which the body itself may need some on a busy machine
    go = threading.Event()
    assistant = server.service.get().assistant
    prepare = assistant._cases

    def slow(asked):
        go.wait(WAIT_S)
        return prepare(asked)

    assistant._cases = slow
    try:
        with pytest.raises(openai.InternalServerError, match="longer than the server allows") as caught:
            server.client().chat.completions.create(model="tiny", messages=asking())
        assert caught.value.status_code == 504
    finally:
        go.set()
