import pytest

from assistant.config import AssistantConfig, GenerationConfig
from assistant.errors import ConfigError


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"max_new_tokens": 0}, "max_new_tokens is 0; use 1 or more"),
        ({"temperature": -0.5}, "temperature is -0.5; use 0 or more"),
        ({"top_p": 0.0}, "top_p is 0.0; use a share above 0"),
        ({"top_p": 1.5}, "top_p is 1.5; use a share above 0 and up to 1"),
        ({"abstain_below": 2.0}, "abstain_below is 2.0; use a probability"),
        ({"batch_size": 0}, "batch_size is 0; use 1 or more"),
        ({"picture_cache": 0}, "picture_cache is 0; use 1 or more"),
    ],
)
def test_a_setting_that_cannot_be_meant_is_refused(values, said):
    with pytest.raises(ConfigError, match=said):
        GenerationConfig(**values)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"port": 70000}, "port is 70000; use 1 to 65535"),
        ({"model": " "}, "model is empty; use starter, a folder or a preset"),
        ({"device": "cpu", "dtype": "float16"}, "float16 on a cpu"),
        ({"host": "0.0.0.0"}, "host is 0.0.0.0, which other machines can reach; set login"),
        ({"quantization": "int4"}, "'int4' is none of 'nf4', 'int8', 'none'"),
    ],
)
def test_a_start_that_cannot_be_meant_is_refused(values, said):
    with pytest.raises(ConfigError, match=said):
        AssistantConfig.from_mapping(values)


def test_a_wider_host_is_allowed_with_a_login():
    assert AssistantConfig(host="0.0.0.0", login="users.txt").host == "0.0.0.0"


def test_yaml_becomes_nested_settings(tmp_path):
    path = tmp_path / "settings.yaml"
    path.write_text("model: models/big\nport: 8000\ngeneration:\n  temperature: 0.2\n  evidence_count: 5\n")
    made = AssistantConfig.from_yaml(path)
    assert (made.model, made.port, made.index) == ("models/big", 8000, "default")
    assert made.generation == GenerationConfig(temperature=0.2, evidence_count=5)


def test_every_mistake_is_named_at_once_with_the_nearest_key(tmp_path):
    path = tmp_path / "settings.yaml"
    path.write_text("models: starter\nport: eighty\ngeneration:\n  max_tokens: 5\n  seed: soon\n")
    with pytest.raises(ConfigError) as caught:
        AssistantConfig.from_yaml(path)
    said = str(caught.value)
    assert str(path) in said
    for part in (
        "models: unknown key; did you mean 'model'",
        "port: 'eighty'",
        "generation.max_tokens",
        "generation.seed",
    ):
        assert part in said


def test_a_missing_file_is_said(tmp_path):
    with pytest.raises(ConfigError, match=r"none\.yaml cannot be read"):
        AssistantConfig.from_yaml(tmp_path / "none.yaml")


@pytest.mark.parametrize(
    ("values", "wanted"),
    [
        ({}, "exact"),
        ({"generation": {"precision": "bfloat16"}}, "auto"),
        ({"generation": {"precision": "int8"}, "encoding": "exact"}, "exact"),
        ({"encoding": "bfloat16"}, "bfloat16"),
    ],
)
def test_who_asks_for_fewer_bits_of_the_language_model_waits_for_no_exact_tower(values, wanted):
    assert AssistantConfig.from_mapping(values).encoder_format == wanted
