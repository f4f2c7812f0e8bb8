"""The gateway before a server of somebody else's, which stalls, refuses, breaks off and comes back."""

import asyncio
import json
import re
import threading
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import httpx
import openai
import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.responses import JSONResponse, StreamingResponse
from starlette.routing import Route

from assistant.ui.server import listen
from tests.assistant.serve.conftest import WAIT_S, soon


class Foreign:
    """An OpenAI-style server that answers with the number in the question; a test says how it misbehaves."""

    def __init__(self, port=0):
        self.now = self.most = self.asked = self.left = 0
        self.refusals, self.breaks, self.logprobs = [], 0, True
        self.seen = []
        self.gates = {}
        routes = [
            Route("/v1/chat/completions", self.chat, methods=["POST"]),
            Route("/v1/models", lambda _: JSONResponse({"data": [{"id": "theirs"}]})),
        ]
        listener = listen("127.0.0.1", port)
        self.port = listener.getsockname()[1]
        self.address = f"http://127.0.0.1:{self.port}/v1"
        self._server = uvicorn.Server(uvicorn.Config(Starlette(routes=routes), log_level="error", lifespan="off"))
        self._thread = threading.Thread(target=self._server.run, kwargs={"sockets": [listener]}, daemon=True)
        self._thread.start()
        soon(lambda: self._server.started)  # one that is told to end before it has begun keeps its port

    def close(self):
        for gate in self.gates.values():
            gate.set()
        self._server.force_exit = self._server.should_exit = True
        self._thread.join()

    async def chat(self, request):
        body = json.loads(await request.body())
        self.asked += 1
        self.seen.append(SimpleNamespace(body=body, headers=request.headers))
        if self.refusals:
            return JSONResponse({"error": {"code": "busy"}}, self.refusals.pop(0))
        parts = [part.get("text", "") for part in body["messages"][-1]["content"]]
        return StreamingResponse(
            self.events(re.findall(r"number (\d+)", " ".join(parts))[-1]), media_type="text/event-stream"
        )

    async def events(self, number):
        self.now += 1
        self.most = max(self.most, self.now)
        ended = False
        try:
            for word in ("It", " is", f" {number}", "."):
                yield self.event(word)
                if self.breaks:
                    self.breaks -= 1
                    raise ConnectionError
                while word == "It" and number in self.gates and not self.gates[number].is_set():
                    await asyncio.sleep(0.01)
                await asyncio.sleep(0.01)
            yield "data: " + json.dumps({"choices": [{"delta": {}, "finish_reason": "stop"}]}) + "\n\n"
            yield "data: [DONE]\n\n"
            ended = True
        finally:
            self.now -= 1
            self.left += not ended

    def event(self, word):
        told = {"content": [{"token": word, "logprob": -0.1}]} if self.logprobs else None
        return "data: " + json.dumps({"choices": [{"delta": {"content": word}, "logprobs": told}]}) + "\n\n"


@pytest.fixture
def foreign():
    made = Foreign()
    yield made
    made.close()


def text_of(made):
    return re.sub(r" \[\d+\]", "", made.choices[0].message.content)


def asked(client, asking, number, **fields):
    return client.chat.completions.create(model="tiny", messages=asking(f"What is number {number}?", number), **fields)


def test_many_are_written_at_once_and_never_more_than_the_setting(foreign, start_server, asking):
    client = start_server(upstream=foreign.address, upstream_requests=5).client()
    gate = threading.Event()
    foreign.gates = {str(number): gate for number in range(20)}
    with ThreadPoolExecutor(20) as pool:
        waiting = [pool.submit(lambda n: text_of(asked(client, asking, n)), number) for number in range(20)]
        soon(lambda: foreign.now == 5)
        gate.set()
        made = [one.result() for one in waiting]
    assert made == [f"It is {n}." for n in range(20)]
    assert foreign.most == 5


def test_a_slow_answer_holds_up_nobody(foreign, start_server, asking):
    client = start_server(upstream=foreign.address).client()
    foreign.gates["7"] = threading.Event()
    with ThreadPoolExecutor(1) as pool:
        slow = pool.submit(asked, client, asking, 7)
        soon(lambda: foreign.now == 1)
        assert text_of(asked(client, asking, 8)) == "It is 8."
        assert client.embeddings.create(model="tiny", input="a text").data
        assert not slow.done()
        foreign.gates["7"].set()
        assert text_of(slow.result()) == "It is 7."


def test_pieces_are_passed_on_as_they_come_and_a_client_that_leaves_is_cancelled_there(foreign, start_server, asking):
    client = start_server(upstream=foreign.address).client()
    foreign.gates["7"] = threading.Event()
    with asked(client, asking, 7, stream=True) as stream:
        first = next(chunk for chunk in stream if chunk.choices[0].delta.content)
        assert first.choices[0].delta.content == "It"
        assert foreign.now == 1
    soon(lambda: foreign.left == 1)
    assert text_of(asked(client, asking, 8)) == "It is 8."


def test_a_refusal_that_may_pass_is_tried_again_and_another_is_not(foreign, start_server, asking):
    running = start_server(upstream=foreign.address)
    client = running.client()
    foreign.refusals = [503, 429]
    assert text_of(asked(client, asking, 3)) == "It is 3."
    assert foreign.asked == 3
    foreign.refusals = [400]
    with pytest.raises(openai.APIStatusError, match=r"refused with status 400 \(busy\)") as caught:
        asked(client, asking, 4)
    assert (caught.value.status_code, caught.value.code, foreign.asked) == (502, "upstream_refused", 4)
    foreign.refusals = [503] * 3
    with pytest.raises(openai.InternalServerError, match="status 503") as caught:
        asked(client, asking, 5)
    assert (caught.value.status_code, caught.value.code) == (503, "upstream_busy")
    assert int(caught.value.response.headers["retry-after"]) == 5
    assert "medassist_upstream_tried_again 4.0" in httpx.get(f"{running.url}/metrics", timeout=WAIT_S).text


def test_a_broken_connection_is_tried_again_unless_a_part_was_read(foreign, start_server, asking):
    client = start_server(upstream=foreign.address).client()
    foreign.breaks = 1
    assert text_of(asked(client, asking, 3)) == "It is 3."
    foreign.breaks = 1
    with pytest.raises(openai.APIError, match="does not answer"):
        list(asked(client, asking, 4, stream=True))
    assert foreign.asked == 3


def test_silence_has_its_limit(foreign, start_server, asking):
    client = start_server(upstream=foreign.address, upstream_timeout_s=1).client()
    foreign.gates["7"] = threading.Event()
    with pytest.raises(openai.InternalServerError, match="has been silent for 1 s") as caught:
        asked(client, asking, 7)
    assert (caught.value.status_code, caught.value.code) == (504, "upstream_timeout")
    soon(lambda: foreign.asked)  # a busy machine may be silent before it has read the request
    assert foreign.asked == 1


def test_a_server_that_is_down_is_told_at_once_and_found_when_it_is_back(start_server, asking):
    first = Foreign()
    first.close()
    running = start_server(upstream=first.address)
    client = running.client()
    with pytest.raises(openai.InternalServerError, match="does not answer") as caught:
        asked(client, asking, 3)
    assert (caught.value.status_code, caught.value.code) == (503, "upstream_unavailable")
    assert int(caught.value.response.headers["retry-after"]) >= 1
    assert httpx.get(f"{running.url}/healthz", timeout=WAIT_S).json() == {
        "status": "ok",
        "model": "ready",
        "upstream": "down",
    }
    assert httpx.get(f"{running.url}/readyz", timeout=WAIT_S).status_code == 503
    assert client.embeddings.create(model="tiny", input="a text").data
    again = Foreign(first.port)
    try:
        soon(lambda: httpx.get(f"{running.url}/readyz", timeout=WAIT_S).status_code == 200)
        assert text_of(asked(client, asking, 3)) == "It is 3."
        assert again.seen[0].body["model"] == "theirs"
        assert "medassist_upstream_up 1.0" in httpx.get(f"{running.url}/metrics", timeout=WAIT_S).text
    finally:
        again.close()


def test_the_other_server_is_told_the_request_by_its_id_in_the_audit_log(foreign, start_server, asking):
    running = start_server(upstream=foreign.address)
    made = asked(running.client(), asking, 3)
    assert foreign.seen[0].headers["x-request-id"] == made.id.removeprefix("chatcmpl-")
    assert json.loads(running.audit.read_text().splitlines()[-1])["upstream"] == "theirs"


def test_probabilities_that_are_not_told_are_worked_out_here(foreign, start_server, asking):
    foreign.logprobs = False
    with pytest.raises(openai.InternalServerError, match="tells no token probabilities .* --upstream-score-here"):
        asked(start_server(upstream=foreign.address).client(), asking, 3)
    made = asked(start_server(upstream=foreign.address, upstream_score_here=True).client(), asking, 3)
    assert text_of(made) == "It is 3."
    assert 0 < made.model_extra["medassist"]["confidence"] < 1
    assert "logprobs" not in foreign.seen[-1].body
