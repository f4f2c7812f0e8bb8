"""Packs end to end in one row: the same states and gradients as padded packs, in every kind of language model."""

from __future__ import annotations

import pytest
import torch
from transformers import AutoConfig, AutoModel

from assistant.model.load import load_model
from tests.training.conftest import SMALL
from training.dataset import Turned, collate, make_pack
from training.joined import NAME, Row, attend, lay_out, seen, use_rows
from training.packed import PackedModel


def packs(image_id=None, image_tokens=0):
    """Three packs of one, two and three branches."""
    prefix = (image_id,) * image_tokens

    def asked(start, length):
        return Turned((*prefix, *range(start, start + length)), tuple(range(start + 1, start + 4)))

    groups = [[asked(9, 5)], [asked(8, 3), asked(11, 6)], [asked(9, 2), asked(12, 4), asked(10, 9)]]
    return collate([make_pack(group, image_id or 39, 500) for group in groups], 0)


@pytest.mark.parametrize("kind", ["llama", "mistral", "qwen2", "qwen3", "phi3", "gemma", "gemma3_text", "gpt_neox"])
def test_a_row_gives_the_states_of_padded_packs(kind):
    torch.manual_seed(0)
    model = AutoModel.from_config(AutoConfig.for_model(kind, **SMALL), attn_implementation="sdpa").eval()
    batch = packs()
    embeds = model.get_input_embeddings()(batch.ids)
    barred = torch.zeros(batch.mask.shape).masked_fill(~batch.mask, torch.finfo(torch.float32).min)
    padded = model(inputs_embeds=embeds, attention_mask=barred, position_ids=batch.positions, use_cache=False)
    real = batch.branch >= 0
    use_rows(model.config)
    row = model(
        inputs_embeds=embeds[real][None],
        attention_mask=lay_out(batch.branch, "cpu"),
        position_ids=batch.positions[real][None],
        use_cache=False,
    )
    assert torch.allclose(row.last_hidden_state[0], padded.last_hidden_state[real], atol=1e-5)


def test_all_other_masks_go_to_torchs_own_routine():
    torch.manual_seed(0)
    model = AutoModel.from_config(AutoConfig.for_model("llama", **SMALL), attn_implementation="sdpa").eval()
    ids, mask = torch.randint(1, 40, (2, 7)), torch.tensor([[1] * 7, [0, 0] + [1] * 5])
    before = model(ids, attention_mask=mask).last_hidden_state
    use_rows(model.config)
    assert model.config._attn_implementation == NAME
    assert torch.equal(model(ids, attention_mask=mask).last_hidden_state[mask > 0], before[mask > 0])


def test_models_that_attend_in_another_way_are_left_alone():
    config = AutoConfig.for_model("llama", **SMALL)
    config._attn_implementation = "eager"
    use_rows(config)
    assert config._attn_implementation == "eager"


def test_a_branch_sees_the_prefix_and_itself_alone():
    see = seen(torch.tensor([[0, 0, 1, 2, 2, -1]]))[0]
    assert see.int().tolist() == [
        [1, 0, 0, 0, 0, 0],
        [1, 1, 0, 0, 0, 0],
        [1, 1, 1, 0, 0, 0],
        [1, 1, 0, 1, 0, 0],
        [1, 1, 0, 1, 1, 0],
        [1, 1, 0, 0, 0, 1],
    ]
    row = lay_out(torch.tensor([[0, 0, 1, 2, 2, -1], [0, 1, 1, -1, -1, -1]]), "cpu")
    assert isinstance(row, Row)
    assert row.shape == (1, 1, 1, 8)
    assert row.packs.lengths == (5, 3)
    assert torch.equal(row.packs.masks[0], see[:5, :5])
    assert row.packs.masks[1] is None


def test_plain_products_in_bfloat16_have_the_gradients_of_torchs_own_routine():
    torch.manual_seed(0)
    branch = torch.tensor([[0, 0, 1, 1, 2, 2, 2], [0, 1, 1, 1, -1, -1, -1]])
    row, given = lay_out(branch, "cpu"), [torch.randn(1, heads, 11, 8) for heads in (4, 2, 2)]
    toward = torch.randn(1, 11, 4, 8)

    def gradients(dtype):
        leaves = [one.to(dtype).requires_grad_() for one in given]
        result, _ = attend(torch.nn.Identity(), *leaves, row, scaling=0.3)
        result.backward(toward.to(dtype))
        return [result.detach().float(), *(one.grad.float() for one in leaves)]

    for near, exact in zip(gradients(torch.bfloat16), gradients(torch.float32), strict=True):
        assert (near - exact).norm() < 0.02 * exact.norm()


def test_logits_and_gradients_of_a_whole_model_are_those_of_padded_packs(wide_folder):
    found = []
    for rows in (False, True):
        loaded = load_model(wide_folder)
        image_id = loaded.tokenizer.convert_tokens_to_ids("<image>")
        batch = packs(image_id, loaded.contract.image_tokens)
        loaded.llava.model.multi_modal_projector.requires_grad_(True)
        packed = PackedModel(loaded, image_id, bf16=False, rows=rows)
        size = loaded.contract.image_size
        images = torch.rand(3, 3, size, size, generator=torch.Generator().manual_seed(0))
        logits = packed.answer_logits(batch, images)
        logits.logsumexp(-1).sum().backward()
        found.append((logits.detach(), loaded.llava.model.multi_modal_projector.linear_1.weight.grad))
    for padded, joined in zip(*found, strict=True):
        assert torch.allclose(joined, padded, atol=1e-5)
