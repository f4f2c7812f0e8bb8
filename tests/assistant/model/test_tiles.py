"""Tiles beside the whole picture: what lies where, one encoder for all views, and folders that say what they are."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from torch.nn.functional import avg_pool2d

from assistant.config import GenerationConfig
from assistant.engine.features import PictureEncoder
from assistant.engine.generate import Generator
from assistant.errors import ModelError
from assistant.imaging.picture import Picture
from assistant.model.contract import Contract
from assistant.model.load import load_model
from assistant.model.merge import merge_adapter
from assistant.model.save import save_adapter, save_model
from assistant.model.tiles import cut, join, layers_of, read_layers, see, view_count
from assistant.prompts import user_message
from training.tiles import widen


@pytest.fixture(scope="module")
def tiled_folder(tiny_folder, tmp_path_factory, make_picture):
    loaded = load_model(tiny_folder, device="cpu")
    widen(loaded, [make_picture(seed, 64, 64) for seed in range(12)], 2, strength=1.0)
    return save_model(loaded, tmp_path_factory.mktemp("tiled") / "model", name="tiled")


@pytest.fixture(scope="module")
def tiled(tiled_folder):
    return load_model(tiled_folder, device="cpu")


def _means(pictures):
    """A tower whose patch features are the mean of 4 x 4 pixels, behind a class token with the mean of all."""
    patches = avg_pool2d(pictures, 4).flatten(2).transpose(1, 2)
    return torch.cat([pictures.mean(dim=(2, 3))[:, None], patches], dim=1)


@pytest.mark.parametrize("tiles", [2, 3])
def test_behind_each_patch_stand_the_tile_patches_inside_it(tiles):
    pictures = torch.rand(2, 1, 16 * tiles, 16 * tiles, generator=torch.Generator().manual_seed(0))
    seen = join(_means(avg_pool2d(pictures, tiles)), _means(cut(pictures, tiles).flatten(0, 1)), tiles)
    assert seen.shape == (2, 17, view_count(tiles))
    fine = avg_pool2d(pictures, 4)[:, 0]
    for row in range(4):
        for column in range(4):
            inside = fine[:, row * tiles : (row + 1) * tiles, column * tiles : (column + 1) * tiles].flatten(1)
            torch.testing.assert_close(seen[:, 1 + 4 * row + column, 1:], inside)
            torch.testing.assert_close(seen[:, 1 + 4 * row + column, 0], inside.mean(dim=1))
    torch.testing.assert_close(seen[:, 0, 1:], avg_pool2d(pictures, 16)[:, 0].flatten(1))


def test_without_tiles_the_tower_sees_the_pictures_as_they_are():
    pictures = torch.rand(2, 1, 16, 16)
    assert torch.equal(see(pictures, 1, _means), _means(pictures))


def test_a_configuration_names_a_layer_once_a_view():
    assert [read_layers(layers_of(-2, tiles)) for tiles in (1, 2, 3, 4)] == [(-2, 1), (-2, 2), (-2, 3), (-2, 4)]
    assert read_layers([-1, -2, -1, -1, -1]) == ([-1, -2, -1, -1, -1], 1)


def test_tiles_leave_the_joint_embedding_and_the_whole_picture_as_they_were(tiny_model, tiled, make_picture):
    pictures = [make_picture(1), make_picture(2, 90, 70)]
    for plain, seen in zip(
        PictureEncoder(tiny_model).encode(pictures), PictureEncoder(tiled).encode(pictures), strict=True
    ):
        np.testing.assert_array_equal(plain.joint, seen.joint)
        assert torch.equal(plain.patches, seen.whole)
        assert (seen.patches.shape, seen.views) == ((16, 5 * 32), 5)


def test_a_change_in_a_corner_changes_that_tile_only(tiled):
    pixels = np.full((64, 64, 3), 90, np.uint8)
    changed = pixels.copy()
    changed[50:60, 4:10] = 200
    first, second = PictureEncoder(tiled).encode([Picture(pixels), Picture(changed)])
    # (row, column of the patch), (row, column inside it): a tile has 4 x 4 patches, so a patch of the whole has 2 x 2.
    differ = (first.patches - second.patches)[:, 32:].reshape(4, 4, 2, 2, 32).abs().amax(-1) > 1e-6
    fine = differ.permute(0, 2, 1, 3).reshape(8, 8)
    assert fine[4:, :4].all()
    assert not fine[:4].any()
    assert not fine[:, 4:].any()


def test_the_folder_opens_with_stock_classes_and_says_its_tiles(tiled_folder, tiled, tiny_folder):
    from transformers import LlavaForConditionalGeneration

    _, info = LlavaForConditionalGeneration.from_pretrained(tiled_folder, output_loading_info=True)
    assert not info["unexpected_keys"]
    assert not info["mismatched_keys"]
    assert json.loads((tiled_folder / "contract.json").read_text())["tiles"] == 2
    assert (tiled.contract.tiles, tiled.contract.picture_size) == (2, 64)
    assert tiled.contract.image_tokens == Contract.read(tiny_folder).image_tokens == 16
    assert tiled.contract.feature_layer == -1
    assert "tiles" not in json.loads((tiny_folder / "contract.json").read_text())


@pytest.mark.parametrize("written", [1, 3])
def test_a_contract_with_other_tiles_is_refused(tiled_folder, tmp_path, written):
    import shutil

    folder = shutil.copytree(tiled_folder, tmp_path / "copy")
    Contract.read(folder).replace(tiles=written).write(folder)
    with pytest.raises(ModelError, match=rf"tiles is 2 but the contract says {written} .*training.tiles"):
        load_model(folder, device="cpu")


def test_a_contract_takes_whole_numbers_of_tiles_only(tiled_folder):
    told = json.loads((tiled_folder / "contract.json").read_text())
    with pytest.raises(ModelError, match="tiles is '2', not int"):
        Contract.from_json(json.dumps({**told, "tiles": "2"}))


def test_answers_depend_on_what_only_a_tile_shows(tiled):
    # Stripes of one pixel vanish where the whole is halved, and stand out in the tile.
    plain = np.full((64, 64, 3), 128, np.uint8)
    striped = plain.copy()
    striped[:32:2, :32], striped[1:32:2, :32] = 90, 166
    encoder, generator = PictureEncoder(tiled), Generator(tiled, GenerationConfig())
    prompts = [
        generator.encoder.encode([user_message("Is it plain?", 1)], encoder.encode([Picture(one)]))
        for one in (plain, striped)
    ]
    (first,), (second,) = generator.score(prompts, [("Yes",), ("Yes",)])
    assert abs(first - second) > 1e-4


@pytest.mark.parametrize("encoding", ["exact", "bfloat16"])
def test_answers_of_a_batch_are_those_given_one_by_one(tiled_folder, make_picture, encoding):
    from assistant.chat import MedicalAssistant
    from assistant.conversation import Question, ReportRequest

    model = load_model(tiled_folder, device="cpu", encoding=encoding)
    settings = GenerationConfig(max_new_tokens=8, report_max_new_tokens=12)
    pictures = [make_picture(seed, 70, 50) for seed in range(3)]
    questions = [Question(text, (one,)) for one in pictures for text in ("Is it large?", "What is seen here?")]
    questions.append(Question("What has changed?", tuple(pictures[:2])))
    together = MedicalAssistant(model, settings=settings)
    made = [*together.answers(questions), *together.answers(questions)]  # the second time from kept beginnings
    alone = [MedicalAssistant(model, settings=settings).answer(one) for one in questions]
    assert [one.text for one in made] == 2 * [one.text for one in alone]
    assert [one.confidence for one in made] == pytest.approx(2 * [one.confidence for one in alone], abs=1e-4)
    requests = [ReportRequest((one,)) for one in pictures]
    drafts = [MedicalAssistant(model, settings=settings).report(one).sections for one in requests]
    assert [one.sections for one in together.reports(requests)] == drafts


def test_the_heat_over_a_tiled_picture_is_what_each_hidden_part_costs(tiled, make_picture):
    from assistant.chat import MedicalAssistant
    from assistant.conversation import Question
    from assistant.engine.occlusion import _occluded

    picture, answer = make_picture(3, 64, 48), "Mass"
    heat = MedicalAssistant(tiled).heat(Question("What is seen?", (picture,)), answer)
    encoder, generator = PictureEncoder(tiled), Generator(tiled, GenerationConfig())

    def likely(shown):
        prompt = generator.encoder.encode([user_message("What is seen?", 1)], encoder.encode([shown]))
        return generator.score([prompt], [(answer,)])[0][0]

    hidden = _occluded(picture, 8)
    assert heat.whole == pytest.approx(likely(picture) - likely(hidden[0]), abs=1e-3)
    # The four windows over the corner, the first two of the first two rows of nine, each hidden in three ways.
    places = [1 + place + 81 * way for way in range(3) for place in (0, 1, 9, 10)]
    corner = [likely(picture) - likely(hidden[place]) for place in places]
    assert float(heat.nats[0, 0]) == pytest.approx(sum(corner) / 12, abs=1e-3)


def test_an_adapter_on_a_tiled_model_is_saved_and_merged(tiled_folder, tmp_path, make_picture):
    from peft import LoraConfig

    from assistant.model.adapter import wrap

    base = load_model(tiled_folder, device="cpu")
    settings = LoraConfig(r=2, target_modules=r".*language_model.*q_proj", modules_to_save=["multi_modal_projector"])
    adapter = save_adapter(wrap(base.llava, settings), base, tmp_path / "adapter")
    merged = load_model(merge_adapter(adapter, tmp_path / "merged"), device="cpu")
    assert Contract.read(adapter).tiles == merged.contract.tiles == 2
    picture = make_picture(4)
    assert torch.equal(
        PictureEncoder(merged).encode([picture])[0].patches, PictureEncoder(base).encode([picture])[0].patches
    )


def test_features_of_tiles_are_kept_apart_on_disk(tiny_model, tiled, make_picture, tmp_path):
    from assistant.engine.feature_store import FeatureStore

    picture = make_picture(7)
    stores = [FeatureStore.for_model(tmp_path, model, 1.0) for model in (tiny_model, tiled)]
    assert stores[0].folder != stores[1].folder
    made = PictureEncoder(tiled, store=stores[1]).encode([picture])[0]
    again = PictureEncoder(tiled, store=stores[1])
    found = again.encode([picture])[0]
    assert again.passes == 0
    assert torch.equal(found.whole, made.whole)
