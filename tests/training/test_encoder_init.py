"""How a new encoder starts."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from assistant.errors import ConfigError
from assistant.model.openclip import open_openclip
from training.contrast_settings import ContrastSettings, EncoderShape
from training.encoder_init import init_transformer, make_encoder, position_grid


def test_positions_tell_rows_from_columns():
    grid = position_grid(4, 16)
    assert grid.shape == (16, 16)
    assert grid[0].tolist() == [*[0.0] * 4, *[1.0] * 4] * 2
    row, column = grid[4], grid[1]  # one step down, one step to the right
    assert torch.equal(row[:8], grid[0][:8])
    assert torch.equal(column[8:], grid[0][8:])
    assert torch.equal(row[8:], column[:8])
    assert len({tuple(one.tolist()) for one in grid}) == 16


def test_attention_starts_at_its_own_place(encoder_folder):
    torch.manual_seed(0)
    trunk = open_openclip(encoder_folder).visual.trunk
    init_transformer(trunk)
    width, attention = trunk.embed_dim, trunk.blocks[0].attn
    query, key, value = attention.qkv.weight.detach().chunk(3)
    head = slice(0, width // attention.num_heads)
    assert (query[head].T @ key[head]).diagonal().mean() > 0.2
    assert (attention.proj.weight @ value).diagonal().mean() < -0.2
    assert torch.allclose(trunk.pos_embed[0, 1:], position_grid(4, width) * 0.5)


def test_a_new_encoder_is_made_once_and_opened_again(tmp_path):
    shape = EncoderShape(64, 16, 32, 1, 2, 16, 32, 1, 2, 60)
    settings = ContrastSettings(data=(), out=tmp_path, shape=shape)
    folder, model, tokenizer, mean, std = make_encoder(settings, [("Glioma", "A glioma is a tumour of the brain.")])
    assert folder == tmp_path / "start"
    assert (len(mean), len(std)) == (3, 3)
    assert tokenizer("glioma")["input_ids"][0] == tokenizer.cls_token_id
    again = make_encoder(settings, [])[1]
    assert torch.equal(again.visual.head.proj.weight, model.visual.head.proj.weight)


def test_an_encoder_can_be_taken_as_it_is(encoder_folder, tmp_path):
    settings = ContrastSettings(data=(), out=tmp_path, encoder=encoder_folder)
    folder, model, *_ = make_encoder(settings, [])
    plain = open_openclip(encoder_folder)
    assert folder == encoder_folder
    assert torch.equal(model.visual.trunk.pos_embed, plain.visual.trunk.pos_embed)
    assert not list(tmp_path.iterdir())


def test_a_new_encoder_needs_words(tmp_path):
    with pytest.raises(ConfigError, match="a new encoder needs `passages:` to make its vocabulary from"):
        make_encoder(ContrastSettings(data=(), out=Path(tmp_path)), [])


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ({"image_size": 100}, r"shape\.image_size 100 is no multiple of shape\.patch_size 16"),
        ({"width": 100}, r"shape\.width and shape\.text_width must be multiples"),
    ],
)
def test_shapes_that_do_not_divide_are_refused(shape, message):
    with pytest.raises(ConfigError, match=message):
        EncoderShape(**shape)
