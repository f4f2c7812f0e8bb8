import pytest
import torch

from assistant.engine.attention import NAME, decode_attention, matmul_attention


@pytest.mark.parametrize(("heads", "shared"), [(4, 4), (8, 2), (6, 1)])
@pytest.mark.parametrize("padded", [False, True])
@pytest.mark.parametrize(("dtype", "most"), [(torch.float32, 1e-5), (torch.bfloat16, 1e-2)])
def test_two_products_give_what_torchs_attention_gives(heads, shared, padded, dtype, most):
    made = torch.Generator().manual_seed(0)
    query = torch.randn(3, heads, 1, 16, generator=made).to(dtype)
    # A larger room, of which the rows and columns are a view, as in the cache.
    keys, values = torch.randn(2, 4, shared, 50, 16, generator=made).to(dtype)[:, :3, :, :40]
    mask = torch.rand(3, 1, 1, 40, generator=made) > 0.3 if padded else None
    group = heads // shared
    wanted = torch.nn.functional.scaled_dot_product_attention(
        query.float(),
        keys.repeat_interleave(group, 1).float(),
        values.repeat_interleave(group, 1).float(),
        attn_mask=mask,
    )
    found = decode_attention(query, keys, values, mask, 0.25)
    assert float((found.float() - wanted).abs().max()) < most


def test_stock_models_use_it_for_one_token_and_torch_for_the_prompt(tiny_model, monkeypatch):
    import assistant.engine.attention as module

    seen = []
    own = module.decode_attention
    monkeypatch.setattr(module, "decode_attention", lambda *given: seen.append(1) or own(*given))
    language = tiny_model.llava.model.language_model
    ids = torch.arange(10, 30).view(2, 10)
    with torch.inference_mode():
        whole = language(input_ids=ids).last_hidden_state
        with matmul_attention(language.config, True):
            assert language.config._attn_implementation == NAME
            first = language(input_ids=ids[:, :9], use_cache=True)
            assert not seen
            last = language(input_ids=ids[:, 9:], past_key_values=first.past_key_values, use_cache=True)
    assert len(seen) == language.config.num_hidden_layers
    assert language.config._attn_implementation == "sdpa"
    assert torch.allclose(last.last_hidden_state[:, 0], whole[:, -1], atol=1e-5)


def test_another_attention_is_left_as_it_is(tiny_model):
    config = tiny_model.llava.model.language_model.config
    for wanted, found in ((False, "sdpa"), (True, NAME)):
        with matmul_attention(config, wanted):
            assert config._attn_implementation == found
    config._attn_implementation = "eager"
    try:
        with matmul_attention(config, True):
            assert config._attn_implementation == "eager"
    finally:
        config._attn_implementation = "sdpa"
    assert NAME not in config.to_json_string()
