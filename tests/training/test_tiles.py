"""A model gets tiles: it says nearly what it said, trains on what tiles show, and says the same in every form."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import numpy as np
import pytest
import torch

from assistant.engine.features import PictureEncoder
from assistant.errors import ConfigError, ModelError
from assistant.imaging.load import load_picture
from assistant.model.contract import Contract
from assistant.model.load import load_model
from data_recipes.judged import Judged, write_judged
from data_recipes.schema import Preference, read_examples, write_examples, write_preferences
from training.adapter import LoraSettings
from training.assemble import AssembleSettings, describe
from training.average import average_models
from training.feature_cache import PictureView
from training.feature_settings import FeatureCacheSettings
from training.grpo_settings import GrpoSettings
from training.judged_answers import run_kto
from training.kto_settings import KtoSettings
from training.llava import LlavaTrainer, run_stage
from training.packed import PackedModel
from training.parity import EXACT, run_parity
from training.pictures import build_store, plain
from training.policy import run_grpo
from training.preference import run_dpo
from training.preference_settings import DpoSettings
from training.preview import preview
from training.preview_blocks import memory_block, plan
from training.recipe import OptimizerSettings
from training.reward_settings import RewardSettings
from training.reward_trainer import run_reward
from training.run_folder import RunFolder
from training.settings import DataPart, LlavaSettings
from training.tiles import add_tiles, main

QUICK = OptimizerSettings(lr=3e-3, warmup_steps=1)


@pytest.fixture(scope="module")
def tiled_folder(tiny_folder, phantom_data, tmp_path_factory):
    out = tmp_path_factory.mktemp("tiled") / "model"
    assert main([str(tiny_folder), "--data", str(phantom_data), "--pictures", "8", "--out", str(out)]) == 0
    return out


@pytest.fixture(scope="module")
def tiled(tiled_folder):
    return load_model(tiled_folder, device="cpu")


@pytest.fixture
def settings(tiled_folder, phantom_data, tmp_path):
    return LlavaSettings(
        model=str(tiled_folder), data=(DataPart(phantom_data),), out=tmp_path / "run", steps=2, pictures=2, questions=2,
        augment=None, bf16=False, store_side=32, report_every=1,
    )  # fmt: skip


def _paths(file):
    return sorted({path for one in read_examples(file) for path in one.image_paths(file.parent)})


def test_what_is_said_of_the_whole_picture_stays(tiny_model, tiled):
    before, after = (one.llava.model.multi_modal_projector for one in (tiny_model, tiled))
    assert after.linear_1.in_features == 5 * before.linear_1.in_features
    assert torch.equal(after.linear_1.weight[:, : before.linear_1.in_features], before.linear_1.weight)
    assert torch.equal(after.linear_2.weight, before.linear_2.weight)
    assert after.linear_1.weight[:, before.linear_1.in_features :].abs().max() > 0


def test_training_and_answering_see_the_same_tiles(tiled, phantom_data, tmp_path):
    paths = _paths(phantom_data)[:3]
    packed = PackedModel(tiled, 0, bf16=False)
    pixels = torch.from_numpy(np.array(build_store(paths, tiled.contract.picture_size, tmp_path)))
    trained = packed.features(plain(pixels, tiled.contract.picture_size))
    answered = torch.stack(
        [one.patches for one in PictureEncoder(tiled).encode([load_picture(path) for path in paths])]
    )
    # Both resize by bicubic interpolation, torch and Pillow with other roundings.
    assert torch.nn.functional.cosine_similarity(trained, answered, dim=-1).min() > 0.99
    torch.testing.assert_close(trained[..., 32:], answered[..., 32:], atol=1e-4, rtol=0)


def test_pictures_are_kept_as_large_as_all_tiles(settings):
    trainer = LlavaTrainer(settings, RunFolder(settings.out, settings))
    assert trainer.material.store.shape[-1] == trainer.view.size == 64
    ((_, images),) = trainer.material.draw(64, torch.Generator().manual_seed(0))
    assert images.shape[1:] == (16, 5 * 32)


def test_features_with_and_without_tiles_lie_apart(tiny_model, tiled, tmp_path):
    kept = FeatureCacheSettings(tmp_path)
    folders = {PictureView(PackedModel(one, 0, bf16=False), kept).cache.folder for one in (tiny_model, tiled, tiled)}
    assert len(folders) == 2


def test_a_tuned_model_keeps_its_tiles_and_uses_them(settings, tiled):
    tuned = load_model(run_stage(settings), device="cpu")
    assert (tuned.contract.tiles, tuned.contract.encoder) == (2, tiled.contract.encoder)
    before, after = (one.llava.model.multi_modal_projector.linear_1.weight for one in (tiled, tuned))
    assert (after - before)[:, 32:].abs().max() > 0


@pytest.mark.parametrize("lora", [None, pytest.param(LoraSettings(rank=2), marks=pytest.mark.slow)])
def test_every_form_of_a_tiled_model_says_the_same(wide_folder, phantom_data, settings, tmp_path, lora):
    tiled = add_tiles(wide_folder, [phantom_data], tmp_path / "model", pictures=8)
    if lora is not None:
        tiled = run_stage(replace(settings, model=str(tiled), lora=lora))
    rows = {row.form: row for row in run_parity(str(tiled), phantom_data, prompts=3)}
    assert list(rows) == ["batched", *(["merged"] if lora else []), "reloaded", "bfloat16", "int8", "nf4"]
    assert all(rows[form].largest <= EXACT.logit for form in rows if form in ("batched", "merged"))
    assert rows["reloaded"].largest == 0.0 or lora


def test_models_with_and_without_tiles_are_not_averaged(tiny_folder, tiled_folder, tmp_path):
    with pytest.raises(ModelError, match="cannot be averaged: they differ in tiles"):
        average_models([tiny_folder, tiled_folder], tmp_path / "mean")


def test_a_new_model_is_assembled_with_tiles(tmp_path):
    recipe = AssembleSettings(encoder="encoder", out=tmp_path / "out", llm="llm", tiles=3)
    assert "encoder, 3 x 3 tiles beside the whole picture, + mlp2x_gelu" in describe(recipe)
    with pytest.raises(ConfigError, match="tiles is 5; use 1 .* to 4"):
        AssembleSettings(encoder="encoder", out=tmp_path / "out", llm="llm", tiles=5)


@pytest.fixture(scope="module")
def material(phantom_data, tmp_path_factory):
    """Closed questions on phantoms as examples, pairs and judged answers, and a folder for features."""
    chosen = [one for one in read_examples(phantom_data) if one.answer_type == "closed" and len(one.images) == 1][:6]
    pairs = [
        Preference(
            id=one.id, images=one.images, messages=one.messages[:-1], chosen=one.messages[-1]["content"],
            rejected="It is another answer.", reason="wrong answer", source=one.source, licence=one.licence,
        )
        for one in chosen
    ]  # fmt: skip
    files = {kind: phantom_data.parent / f"tiled-{kind}.jsonl" for kind in ("asked", "pairs", "judged", "held_out")}
    write_examples(files["asked"], chosen)
    write_preferences(files["pairs"], pairs[:4])
    write_preferences(files["held_out"], pairs[4:])
    write_judged(files["judged"], [Judged(one, place % 2 == 0) for place, one in enumerate(chosen)])
    return {**files, "features": tmp_path_factory.mktemp("features")}


STAGES = {
    "align": (LlavaSettings, run_stage, "asked", {"pictures": 2, "train": ("connector",), "augment": None}),
    "augmented": (LlavaSettings, run_stage, "asked", {"pictures": 2, "feature_cache": None}),
    "lora": (LlavaSettings, run_stage, "asked", {"pictures": 2, "augment": None, "lora": LoraSettings(rank=2)}),
    "dpo": (DpoSettings, run_dpo, "pairs", {"pairs": 2, "stop_below": 100.0, "shared_weight": 0.5}),
    "kto": (KtoSettings, run_kto, "judged", {"pairs": 4, "stop_below": 100.0}),
    "grpo": (GrpoSettings, run_grpo, "asked", {"rewards": {"brevity": 1.0}}),
    "rloo": (GrpoSettings, run_grpo, "asked", {"rewards": {"brevity": 1.0}, "baseline": "rloo"}),
    "reward": (RewardSettings, run_reward, "pairs", {"pairs": 2}),
}


@pytest.mark.parametrize("stage", STAGES)
def test_every_stage_trains_what_reads_the_tiles(stage, material, tiled_folder, tiled, tmp_path):
    kind, run, data, own = STAGES[stage]
    if kind is GrpoSettings:
        own = {**own, "prompts": 2, "samples": 3, "max_new_tokens": 4}
    if kind is RewardSettings:
        own = {**own, "held_out": (material["held_out"],)}
    made = run(
        kind(
            model=str(tiled_folder), data=(DataPart(material[data]),), out=tmp_path / stage, steps=2, bf16=False,
            optimizer=QUICK, **{"feature_cache": FeatureCacheSettings(material["features"]), **own},
        )
    )  # fmt: skip
    trained = load_model(made, device="cpu")
    assert (trained.contract.tiles, trained.contract.encoder) == (2, tiled.contract.encoder)
    assert trained.name == f"tiny+{stage}"
    weights = dict(trained.llava.model.multi_modal_projector.named_parameters())
    after = next(one for name, one in weights.items() if "original" not in name and name.endswith("linear_1.weight"))
    moved = (after - tiled.llava.model.multi_modal_projector.linear_1.weight).abs()
    assert moved[:, :32].max() > 0
    assert moved[:, 32:].max() > 0
    # All stages keep the same pictures at the same size, so each finds what another kept.
    assert len({one.parent.parent for one in material["features"].rglob("*.safetensors")}) <= 1


def test_a_dry_run_counts_all_views(settings, tiny_folder):
    settings = replace(settings, train=("connector",))
    told = [preview(replace(settings, model=model)) for model in (settings.model, str(tiny_folder))]
    counts = [int(re.search(r"\| connector \| ([\d,]+)", one)[1].replace(",", "")) for one in told]
    assert counts[0] - counts[1] == 4 * 32 * 48
    large = [plan(replace(settings, model=model)) for model in (settings.model, str(tiny_folder))]
    lines = [memory_block(one, settings, 4000, 1, average=False) for one in large]
    held = [float(re.search(r"longest sequences ([\d.]+) GiB", line)[1]) for line in lines]
    assert held[0] == pytest.approx(5 * held[1], rel=0.05)
    assert told[0].count("<image>x16") == told[1].count("<image>x16") == 1


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"tiles": 1}, ConfigError, "tiles is 1 and pictures 8; use 2 or more of each"),
        ({"tiles": 9}, ModelError, "tiles is 9; use 1"),
        ({"name": "tiled"}, ModelError, "looks at 2 tiles a side already"),
        ({"name": "adapter"}, ModelError, "is an adapter. Merge it first"),
    ],
)
def test_what_cannot_get_tiles_is_refused(
    tiny_folder, tiled_folder, adapter, phantom_data, tmp_path, change, error, message
):
    names = {"tiled": tiled_folder, "adapter": adapter}
    name = names.get(change.pop("name", ""), tiny_folder)
    with pytest.raises(error, match=message):
        add_tiles(name, [phantom_data], tmp_path / "out", **{"pictures": 8, **change})
    assert not (tmp_path / "out").exists()


def test_data_that_are_not_there_are_named(tiny_folder, tmp_path, capsys):
    missing = tmp_path / "none.jsonl"
    assert main([str(tiny_folder), "--data", str(missing), "--out", str(tmp_path / "out")]) == 2
    assert f"{missing} does not exist. Build it with" in capsys.readouterr().err


def test_a_contract_without_tiles_is_as_it_was(tiny_folder, tiled_folder):
    assert "tiles" not in json.loads((tiny_folder / "contract.json").read_text())
    plain_, tiles_ = Contract.read(tiny_folder), Contract.read(tiled_folder)
    assert plain_.to_json() == (tiny_folder / "contract.json").read_text()
    assert tiles_.replace(tiles=1).picture_size == plain_.picture_size == plain_.image_size
