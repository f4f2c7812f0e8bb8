"""The models beside the first: named, looked at before any is loaded, every mistake told at once."""

from __future__ import annotations

import json
import shutil

import pytest

from assistant.choice import others_of, settings_of
from assistant.config import AssistantConfig
from assistant.errors import ConfigError
from assistant.serve.settings import ServeConfig


def never(config):
    pytest.fail("loaded")


def test_one_model_alone_has_no_others(tiny_folder):
    assert others_of(AssistantConfig(model=str(tiny_folder)), never) is None


def test_what_is_known_before_loading(tiny_folder, adapter_folder, tiny_model):
    config = AssistantConfig(model=str(tiny_folder), also={"lora": str(adapter_folder)}, max_loaded=3)
    others = others_of(config, never)
    assert (others.main, list(others.loads), others.most) == ("tiny", ["lora"], 3)
    assert [one.adapter for one in others.about.values()] == [False, True]
    assert others.about["lora"].title == "tiny-lora"
    assert others.about["lora"].encoder == tiny_model.contract.encoder


def test_every_model_that_cannot_be_served_is_named_at_once(tiny_folder, adapter_folder, tmp_path):
    broken = shutil.copytree(adapter_folder, tmp_path / "broken")
    contract = broken / "contract.json"
    contract.write_text(json.dumps({**json.loads(contract.read_text()), "base": "0" * 16}))
    config = AssistantConfig(
        model=str(tiny_folder), also={"nowhere": "/no/such", "tiny": str(adapter_folder), "broken": str(broken)}
    )
    with pytest.raises(ConfigError) as told:
        others_of(config, never)
    message = str(told.value)
    assert "nowhere: There is no model '/no/such'" in message
    assert "tiny is the first model's own name; give the other one another: --also NAME=" in message
    assert "broken: " in message
    assert "base" in message


def test_each_has_its_own_index_or_the_first_ones(tiny_folder):
    config = AssistantConfig(also={"a": "A", "b": "B"}, also_index={"b": "none"})
    assert (settings_of(config, "a").model, settings_of(config, "a").index) == ("A", "default")
    assert (settings_of(config, "b").index, settings_of(config, "b").also) == ("none", {})


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"also": {"a b": "x"}}, "also names a model 'a b'; use up to 64 letters"),
        ({"also": {"a": " "}}, "also.a is empty"),
        ({"also_index": {"c": "none"}}, r"also_index names 'c', which is no model of also \(none\)"),
        ({"max_loaded": 0}, "max_loaded is 0; use 1 or more"),
    ],
)
def test_settings_that_cannot_be_are_refused(values, message):
    with pytest.raises(ConfigError, match=message):
        AssistantConfig(**values)


def test_a_gateway_has_one_writer(adapter_folder):
    config = AssistantConfig(also={"a": str(adapter_folder)}, serve=ServeConfig(upstream="http://127.0.0.1:9/v1"))
    with pytest.raises(ConfigError, match=r"also and serve\.upstream are both set"):
        others_of(config, never)
