import pytest
import torch
from torch import nn
from transformers import GemmaConfig, GemmaModel, LlamaConfig, LlamaModel, MistralConfig, MistralModel

from assistant.config import GenerationConfig
from assistant.engine import language
from assistant.engine.last_layer import LastLayer, with_last_layer
from assistant.model.load import load_model

SIZES = {
    "hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 4, "num_key_value_heads": 2,
    "intermediate_size": 48, "vocab_size": 60, "head_dim": 8, "pad_token_id": 0,
}  # fmt: skip


@pytest.fixture(scope="module")
def model():
    return load_model("starter", device="cpu")


def read(model, embeds, mask):
    """Read a prompt in two stretches and one token more; the logits of each."""
    language._ready.pop(model.llava.model.language_model, None)
    made = language.Language(model, GenerationConfig(linears="torch"))
    with torch.inference_mode():
        batch = made.begin([[]] * len(embeds), 40)
        found = [made.extend(batch, embeds[:, :9], mask[:, :9]), made.extend(batch, embeds[:, 9:], mask[:, 9:])]
        return [*found, made.advance(batch, torch.arange(3, 3 + len(embeds)))[:, None]]


@pytest.mark.parametrize("padded", [False, True])
def test_a_prompt_read_in_stretches_has_the_logits_of_the_whole_layer(model, monkeypatch, padded):
    width = model.llava.config.text_config.hidden_size
    embeds = torch.randn((3, 14, width), generator=torch.Generator().manual_seed(1))
    mask = torch.ones((3, 14), dtype=torch.bool)
    if padded:
        mask[1, :4], mask[2, :8] = False, False
    own = read(model, embeds, mask)
    monkeypatch.setattr(language, "with_last_layer", lambda decoder: decoder)
    for one, wanted in zip(own, read(model, embeds, mask), strict=True):
        assert torch.allclose(one, wanted, atol=1e-4)


@pytest.mark.parametrize(("kind", "config"), [(LlamaModel, LlamaConfig), (MistralModel, MistralConfig)])
def test_queries_and_feed_forward_of_the_last_layer_see_one_token(kind, config):
    decoder = kind(config(**SIZES)).eval()
    changed = with_last_layer(decoder)
    seen = {}
    last = decoder.layers[-1]
    for name, module in (("queries", last.self_attn.q_proj), ("keys", last.self_attn.k_proj), ("mlp", last.mlp)):
        module.register_forward_pre_hook(
            lambda _, given, name=name: seen.setdefault(name, []).append(given[0].shape[1])
        )
    cache = language.KeyValues(3, rows=2, expected=8, device=torch.device("cpu"))
    embeds = torch.randn(2, 6, 32)
    with torch.inference_mode():
        cache.extend(torch.ones((2, 6), dtype=torch.bool))
        cache.last = 1
        alone = changed(inputs_embeds=embeds, past_key_values=cache, use_cache=True).last_hidden_state
        assert seen == {"queries": [1], "keys": [5, 1], "mlp": [1]}
        whole = decoder(inputs_embeds=embeds).last_hidden_state
    assert alone.shape == (2, 1, 32)
    assert torch.allclose(alone[:, 0], whole[:, -1], atol=1e-5)


def test_more_than_the_last_token_is_worked_out_where_it_is_read():
    decoder = LlamaModel(LlamaConfig(**SIZES)).eval()
    embeds = torch.randn(2, 6, 32)
    with torch.inference_mode():
        for last in (None, 3):
            cache = language.KeyValues(3, rows=2, expected=8, device=torch.device("cpu"))
            cache.extend(torch.ones((2, 6), dtype=torch.bool))
            cache.last = last
            made = with_last_layer(decoder)(inputs_embeds=embeds, past_key_values=cache, use_cache=True)
            assert made.last_hidden_state.shape == (2, 6, 32)


def test_the_model_itself_and_layers_of_another_kind_stay_as_they_are():
    decoder = LlamaModel(LlamaConfig(**SIZES))
    changed = with_last_layer(decoder)
    assert isinstance(changed.layers[-1], LastLayer)
    assert not isinstance(decoder.layers[-1], LastLayer)
    assert list(map(id, changed.parameters())) == list(map(id, decoder.parameters()))
    other = GemmaModel(GemmaConfig(**SIZES))
    assert with_last_layer(other) is other
    plain = nn.Linear(2, 2)
    assert with_last_layer(plain) is plain
