from dataclasses import replace

import pytest

from assistant.config import GenerationConfig
from assistant.engine import room
from assistant.engine.generate import Generator
from assistant.engine.prefix import prefill
from assistant.errors import ConfigError
from assistant.model.load import load_model


@pytest.fixture(scope="module")
def model():
    return load_model("starter", device="cpu")


def test_a_token_takes_as_many_bytes_as_its_keys_and_values_have(model):
    made = Generator(model, GenerationConfig())
    prompt = made.encoder.encode([{"role": "user", "content": [{"type": "text", "text": "Is it normal?"}]}], [])
    batch = prefill(made.language, [prompt], made._prefixes, more=0)
    held = sum(one[:, :, 0].nbytes for layer in batch.cache.own for one in layer.view(1))
    assert room.token_bytes(model) == held


def test_three_batches_of_reports_are_written_at_once_where_they_fit(model, monkeypatch):
    settings = GenerationConfig(batch_size=4, report_max_new_tokens=20)
    assert room.reports_together(model, settings) == 12
    each = room.token_bytes(model) * (2 * model.contract.image_tokens + 20)
    monkeypatch.setattr(room, "MOST_BYTES", 7 * each + 1)
    assert room.reports_together(model, settings) == 7
    monkeypatch.setattr(room, "MOST_BYTES", each)
    assert room.reports_together(model, settings) == 4


def test_a_wish_a_gpu_and_a_model_elsewhere_are_left_as_they_are(model):
    assert room.reports_together(model, GenerationConfig(report_batch=5)) == 5
    assert room.reports_together(replace(model, device="cuda"), GenerationConfig(batch_size=6)) == 6
    assert room.reports_together(None, GenerationConfig(batch_size=7)) == 7
    with pytest.raises(ConfigError, match=r"report_batch is 0; use 1 or more"):
        GenerationConfig(report_batch=0)
