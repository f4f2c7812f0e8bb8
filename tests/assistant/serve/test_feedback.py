"""`/v1/feedback`, through a real server."""

import json

import httpx
import pytest

from assistant.serve.keys import add_key
from tests.assistant.serve.conftest import WAIT_S


@pytest.fixture(scope="module")
def keyed(start_server, tmp_path_factory):
    path = tmp_path_factory.mktemp("keys") / "keys"
    keys = {name: add_key(path, name) for name in ("ann", "bob")}
    return start_server(keys=str(path)), keys


@pytest.fixture(scope="module")
def judge(keyed):
    server, keys = keyed

    def post(client, /, **body):
        headers = {"Authorization": f"Bearer {keys[client]}"}
        return httpx.post(f"{server.url}/v1/feedback", json=body, headers=headers, timeout=WAIT_S)

    return post


@pytest.fixture(scope="module")
def answer(keyed, asking):
    server, keys = keyed

    def ask(seed=0, stream=False, text="Is Mr Miller ill?"):
        model = server.service.get().model_name
        client = server.client(keys["ann"])
        made = client.chat.completions.create(model=model, messages=asking(text, seed), stream=stream)
        return [piece for piece in made][-1] if stream else made

    return ask


@pytest.fixture(scope="module")
def kept(keyed):
    return lambda: {one.id: one for one in keyed[0].service.feedback.store.all(pictures=True)}


@pytest.mark.parametrize("stream", [False, True])
def test_an_answer_is_corrected_by_whom_it_was_given_to(answer, judge, kept, keyed, stream):
    name = answer(1, stream).id
    told = judge("ann", id=name, verdict="down", reason="missed", correction="A cyst, says Dr Smith.")
    assert (told.status_code, told.json()["kind"], told.json()["pictures_kept"]) == (201, "answer", 0)
    one = kept()[name]
    assert (one.verdict, one.reason, one.correction) == ("down", "missed", "A cyst, says [name].")
    assert "Miller" not in one.question
    assert len(one.pictures) == 1
    notes = [json.loads(line) for line in keyed[0].audit.read_text().splitlines()]
    (noted,) = [one for one in notes if one["what"] == "feedback" and one["id"] == name]
    assert set(noted) == {"n", "time", "what", "who", "id", "kind", "prev", "hash"}
    assert noted["who"] == "ann"


def test_pixels_are_kept_when_agreed_to(answer, judge, kept):
    name = answer(2).id
    assert judge("ann", id=name, verdict="up", keep_pictures=True).json()["pictures_kept"] == 1
    assert kept()[name].pictures[0].png.startswith(b"\x89PNG")


def test_another_keys_answer_is_as_unknown_as_none_at_all(answer, judge, kept):
    name = answer(3).id
    foreign, missing = judge("bob", id=name, verdict="up"), judge("bob", id="chatcmpl-none", verdict="up")
    assert foreign.status_code == missing.status_code == 404
    assert foreign.json() == missing.json()
    assert foreign.json()["error"]["code"] == "answer_not_found"
    assert name not in kept()


def test_a_report_is_corrected_by_its_sections_and_accepted(keyed, judge, kept, image_url):
    server, keys = keyed
    body = {"model": server.service.get().model_name, "images": [{"url": image_url(4)}]}
    headers = {"Authorization": f"Bearer {keys['ann']}"}
    report = httpx.post(f"{server.url}/v1/reports", json=body, headers=headers, timeout=WAIT_S).json()
    sections = {"findings": "A cyst.\nNo more.", "impression": "Cyst."}
    assert judge("ann", id=report["id"], verdict="down", sections=sections, accepted=True).status_code == 201
    one = kept()[report["id"]]
    assert (one.kind, one.accepted) == ("report", True)
    assert one.correction == "Findings: A cyst. No more.\nImpression: Cyst."
    wrong = judge("ann", id=report["id"], verdict="down", correction="A cyst.")
    assert (wrong.status_code, wrong.json()["error"]["param"]) == (400, "correction")


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"verdict": "maybe"}, "verdict"),
        ({"verdict": "up", "reason": "because"}, "reason"),
        ({"verdict": "up", "correction": "x" * 8001}, "correction"),
        ({"verdict": "up", "sections": {"findings": "x"}}, "sections"),
        ({"verdict": "up", "accepted": True}, "accepted"),
        ({"verdict": "up", "who": "me"}, "who"),
        ({}, "verdict"),
    ],
)
def test_what_cannot_be_meant_names_its_field(answer, judge, body, param):
    told = judge("ann", id=answer(5).id, **body)
    assert (told.status_code, told.json()["error"]["param"]) == (400, param)


def test_a_server_without_feedback_remembers_nothing_and_says_so(start_server, asking):
    server = start_server(feedback=False)
    made = server.client().chat.completions.create(model=server.service.get().model_name, messages=asking())
    told = httpx.post(f"{server.url}/v1/feedback", json={"id": made.id, "verdict": "up"}, timeout=WAIT_S)
    assert (told.status_code, told.json()["error"]["code"]) == (404, "feedback_off")
