"""What foreign servers send, in the forms they send it."""

import json

import pytest

from assistant.serve.upstream_events import BadEventError, Collected, Event, data_of, read_event


async def parts(*chunks):
    for chunk in chunks:
        yield chunk


async def read(*chunks):
    return [data async for data in data_of(parts(*chunks))]


def run(coroutine):
    import asyncio

    return asyncio.run(coroutine)


def test_events_are_cut_at_line_feeds_alone_wherever_the_bytes_are_cut():
    text = 'data: {"a":"one\u2028two\x85é"}\r\n\r\n: ping\n\nevent: x\ndata:{"b":1}\n\ndata: [DONE]'.encode()
    expected = ['{"a":"one\u2028two\x85é"}', '{"b":1}', "[DONE]"]
    assert run(read(text)) == expected
    assert run(read(*(text[n : n + 1] for n in range(len(text))))) == expected


def test_the_lines_of_one_event_belong_together():
    assert run(read(b"data: {\ndata: }\n\n")) == ["{\n}"]


def test_an_event_without_end_is_refused(monkeypatch):
    monkeypatch.setattr("assistant.serve.upstream_events.MAX_EVENT", 10)
    with pytest.raises(BadEventError, match="an event of more than 10 bytes"):
        run(read(b"data: 0123", b"4567890"))


def chunk(**choice):
    return json.dumps({"choices": [choice]})


@pytest.mark.parametrize(
    ("data", "event"),
    [
        (chunk(delta={"content": "Yes"}, logprobs={"content": [{"logprob": -0.5}]}), Event("Yes", (-0.5,))),
        (chunk(delta={"content": None, "role": "assistant"}, logprobs=None), Event()),
        (chunk(message={"content": "No."}, finish_reason="stop"), Event("No.", (), "stop")),
        (chunk(delta={"content": "a"}, logprobs={"tokens": ["a"], "token_logprobs": [-1]}), Event("a", (-1.0,))),
        (chunk(delta={}, logprobs={"content": [{"logprob": None}]}), Event("", (-1000.0,))),
        (chunk(delta={}, logprobs={"content": [{"logprob": -9999.0}, {"logprob": 1e-7}]}), Event("", (-1000.0, 0.0))),
        ('{"choices": [{"delta": {}, "logprobs": {"content": [{"logprob": NaN}]}}]}', Event("", (-1000.0,))),
        ('{"choices": [], "usage": {"total_tokens": 3}}', Event()),
    ],
)
def test_each_form_of_a_chunk_is_read(data, event):
    assert read_event(data) == event


@pytest.mark.parametrize("data", ['{"error": {"message": "x"}}', '{"error": "x"}', '{"object": "error"}', "[1]"])
def test_an_error_within_a_stream_is_one(data):
    with pytest.raises(BadEventError, match="failed while it wrote"):
        read_event(data)


def test_what_is_no_json_is_told():
    with pytest.raises(BadEventError, match="no JSON. Is it OpenAI-style"):
        read_event("<html>")


def test_a_stop_word_ends_the_text_though_the_server_sends_it():
    told = []
    made = Collected(("\nQ:",), told.append)
    for text in (" Yes", " it", " is.\n", "Q", ": next"):
        made.take(Event(text))
    assert made.over
    assert made.text() == "Yes it is." == "".join(told)
    assert made.told


def test_nothing_of_a_try_that_failed_is_left_for_the_next():
    made = Collected()
    made.take(Event("Half", (-1.0,), "stop"))
    made.begin_again()
    made.take(Event("Whole", (-2.0,)))
    assert (made.text(), made.log_probs, made.reason, made.told) == ("Whole", [-2.0], None, False)
