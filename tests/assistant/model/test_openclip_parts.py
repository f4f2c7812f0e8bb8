"""A model's encoder becomes an open_clip folder again, and a model takes another encoder."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch

from assistant.errors import ModelError
from assistant.model.biomedclip import read_encoder
from assistant.model.load import load_model
from assistant.model.openclip import make_openclip_folder, open_openclip
from assistant.model.openclip_parts import model_encoder, resized_positions, write_openclip
from assistant.model.other_encoder import replace_encoder
from assistant.model.tensors import tensor_fingerprint

if TYPE_CHECKING:
    from assistant.model.loaded import LoadedModel


def test_a_models_encoder_written_for_open_clip_is_the_one_it_was_made_of(tiny_folder: Path, tmp_path: Path) -> None:
    again = write_openclip(model_encoder(tiny_folder), tmp_path / "again")
    first, second = read_encoder(tiny_folder.parent / "encoder"), read_encoder(again)
    for one, other in (
        (first.vision_state, second.vision_state),
        (first.text_state, second.text_state),
        (first.projection, second.projection),
    ):
        assert tensor_fingerprint(one) == tensor_fingerprint(other)
    assert (second.mean, second.std, second.context_length) == (first.mean, first.std, first.context_length)
    assert second.vision_config.num_attention_heads == first.vision_config.num_attention_heads


def test_open_clip_opens_it_and_embeds_as_the_model_does(tiny_model: LoadedModel, tmp_path: Path) -> None:
    clip = open_openclip(write_openclip(model_encoder(tiny_model.folder), tmp_path / "again"))
    pixels = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        hidden = tiny_model.llava.model.vision_tower(pixels).last_hidden_state[:, 0]
        ours = torch.nn.functional.normalize(hidden @ tiny_model.projection.T, dim=-1)
        assert torch.allclose(ours, clip.encode_image(pixels, normalize=True), atol=1e-5)


def test_a_linear_text_head_is_written_too(tiny_folder: Path, tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    folder = make_openclip_folder(
        tmp_path / "linear",
        timm_name="vit_tiny_patch16_224",
        image_size=32,
        embed_dim=16,
        trunk_args={"embed_dim": 32, "depth": 2, "num_heads": 4},
        text_config={"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 64},
        tokenizer=AutoTokenizer.from_pretrained(tiny_folder.parent / "bert"),
        text_head="linear",
    )
    again = read_encoder(write_openclip(read_encoder(folder), tmp_path / "again"))
    assert tensor_fingerprint(again.projection) == tensor_fingerprint(read_encoder(folder).projection)


def test_positions_are_interpolated_for_larger_pictures(tiny_folder: Path, tmp_path: Path) -> None:
    parts = model_encoder(tiny_folder)
    larger = read_encoder(write_openclip(parts, tmp_path / "larger", image_size=48))
    assert larger.image_size == 48
    before, after = (one.vision_state["embeddings.position_embeddings"] for one in (parts, larger))
    assert after.shape == (1, 1 + 6 * 6, 32)
    assert torch.equal(after[:, 0], before[:, 0])
    # A ramp stays a ramp.
    ramp = torch.cat([torch.zeros(1, 1, 1), torch.arange(4.0).repeat(4).view(1, 16, 1)], dim=1)
    row = resized_positions(ramp, 8)[0, 1:9, 0]
    assert (row.diff() > 0).all()
    assert row[3:5].mean() == pytest.approx(1.5, abs=0.01)


@pytest.mark.parametrize("size", [33, 4])
def test_a_size_that_patches_do_not_fill_is_refused(tiny_folder: Path, tmp_path: Path, size: int) -> None:
    with pytest.raises(ModelError, match=f"image_size is {size}; it must be a multiple of the encoder's patch of 8"):
        write_openclip(model_encoder(tiny_folder), tmp_path / "no", image_size=size)
    assert not (tmp_path / "no").exists()


def test_a_model_takes_an_encoder_of_larger_pictures(tiny_model: LoadedModel, tmp_path: Path) -> None:
    encoder = write_openclip(model_encoder(tiny_model.folder), tmp_path / "larger", image_size=48)
    made = load_model(
        replace_encoder(tiny_model.folder, encoder, tmp_path / "new", training_data=["scans, CC0-1.0"]), device="cpu"
    )
    old, new = tiny_model.contract, made.contract
    assert (new.image_size, new.image_tokens, new.name) == (48, 36, "tiny+new")
    assert new.encoder != old.encoder
    assert new.training_data == (*old.training_data, "scans, CC0-1.0")
    assert (new.connector_fingerprint, new.capabilities) == (old.connector_fingerprint, old.capabilities)
    one, other = (item.llava.model.language_model.state_dict() for item in (tiny_model, made))
    assert tensor_fingerprint(one) == tensor_fingerprint(other)
    with torch.inference_mode():
        seen = made.llava.get_image_features(torch.zeros(1, 3, 48, 48)).pooler_output[0]
    assert seen.shape == (36, 48)


def test_the_same_encoder_gives_the_same_model(tiny_model: LoadedModel, tmp_path: Path) -> None:
    made = load_model(
        replace_encoder(tiny_model.folder, tiny_model.folder.parent / "encoder", tmp_path / "new"), device="cpu"
    )
    one, other = (tensor_fingerprint(dict(item.llava.state_dict())) for item in (tiny_model, made))
    assert one == other


def test_an_encoder_of_another_width_is_refused(tiny_folder: Path, tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    wide = make_openclip_folder(
        tmp_path / "wide",
        timm_name="vit_tiny_patch16_224",
        image_size=32,
        embed_dim=16,
        trunk_args={"embed_dim": 64, "depth": 1, "num_heads": 2},
        text_config={"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 64},
        tokenizer=AutoTokenizer.from_pretrained(tiny_folder.parent / "bert"),
    )
    with pytest.raises(ModelError, match=r"is 64 wide, and the connector of .* takes 32.*set `llm`"):
        replace_encoder(tiny_folder, wide, tmp_path / "new")
    assert not (tmp_path / "new").exists()
