"""Several models behind one API: each request picks one, and is answered by that one alone."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor

import openai
import pytest

from app import _opener
from assistant.choice import others_of
from assistant.config import AssistantConfig
from tests.assistant.serve.conftest import SETTINGS


@pytest.fixture(scope="module")
def several(start_server, tiny_folder, adapter_folder):
    """The tiny model, an adapter on it, and the same adapter with an index that another encoder made."""
    also = {"lora": str(adapter_folder), "unfit": str(adapter_folder)}
    config = AssistantConfig(
        model=str(tiny_folder), index="none", also=also, also_index={"unfit": "default"}, generation=SETTINGS
    )
    return start_server(others=others_of(config, _opener(config)))


def asked(client, model, asking, seed=0):
    return client.chat.completions.create(model=model, messages=asking(seed=seed))


def test_all_are_listed_and_none_is_loaded_for_that(several):
    client = several.client()
    cards = {one.id: one.model_dump() for one in client.models.list()}
    assert list(cards) == ["tiny", "lora", "unfit"]
    assert [one["title"] for one in cards.values()] == ["tiny", "tiny-lora", "tiny-lora"], "as answers carry them"
    assert [one["adapter"] for one in cards.values()] == [False, True, True]
    assert cards["tiny"]["loaded"]
    assert cards["tiny"]["memory_mb"] > 0
    assert several.service.shelf.state("unfit") == "unloaded"
    assert client.models.retrieve("unfit").model_dump()["fingerprint"] is None


def test_the_model_that_a_request_names_answers_and_is_noted(several, asking):
    client = several.client()
    made = {name: asked(client, name, asking).model_dump() for name in ("tiny", "lora")}
    used = {name: one["medassist"]["model"] for name, one in made.items()}
    assert used["tiny"]["name"] == "tiny"
    assert used["lora"]["name"] == "tiny-lora"
    assert made["lora"]["model"] == "lora"
    assert made["lora"]["system_fingerprint"] == used["lora"]["fingerprint"]
    lines = [json.loads(line) for line in several.audit.read_text().splitlines()]
    noted = {one["name"]: one["model"] for one in lines if one["what"] == "ended" and "name" in one}
    assert noted["lora"] == used["lora"]["fingerprint"]
    assert noted["tiny"] == used["tiny"]["fingerprint"]


def test_an_unknown_model_is_the_error_that_clients_expect(several, asking):
    with pytest.raises(openai.NotFoundError, match="It serves tiny, lora, unfit") as told:
        asked(several.client(), "gpt-4", asking)
    assert (told.value.code, told.value.param) == ("model_not_found", "model")


def test_requests_for_two_models_at_once_are_never_mixed(several, asking):
    client = several.client()
    wanted = [("tiny" if number % 2 else "lora", number) for number in range(12)]
    alone = {(name, seed): asked(client, name, asking, seed).choices[0].message.content for name, seed in wanted}
    with ThreadPoolExecutor(12) as pool:
        together = list(pool.map(lambda one: asked(client, one[0], asking, one[1]).choices[0].message.content, wanted))
    assert together == [alone[one] for one in wanted]
    models = {name: several.service.get(model="" if name == "tiny" else name).model_fingerprint for name, _ in wanted}
    assert len(set(models.values())) == 2


def test_an_index_of_another_encoder_is_refused_with_its_mend_and_the_others_go_on(several, asking):
    client = several.client()
    with pytest.raises(openai.InternalServerError, match="encoder") as told:
        asked(client, "unfit", asking)
    assert (told.value.status_code, told.value.code) == (503, "model_not_available")
    assert "retrieval.build" in str(told.value)
    assert asked(client, "lora", asking).model == "lora"


def test_embeddings_are_of_the_model_that_is_named(several):
    made = several.client().embeddings.create(model="lora", input="a pneumothorax")
    assert made.model == "lora"
    assert len(made.data[0].embedding) == several.service.get().assistant.model.text.dimension
