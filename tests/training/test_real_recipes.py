"""The recipes for 7B models do what they say, in full, on a model of their shape but tiny: align, tune, tune on."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from assistant.model.load import load_model
from training.align import main as align
from training.recipe import load_recipe
from training.settings import LlavaSettings
from training.sft import main as sft

RECIPES = Path(__file__).parents[2] / "training" / "recipes"


def run(command, name: str, model: Path, data: Path, root: Path) -> Path:
    """Run a shipped recipe for two steps on another model and other data; returns the folder it wrote."""
    values = [f"model={model}", f"data=[{{path: {data}}}]", "held_out=[]", f"out={root / name}", "steps=2"]
    values += ["report_every=1", f"feature_cache.folder={root / 'features'}"]
    changes = [word for value in values for word in ("--set", value)]
    assert command([str(RECIPES / f"{name}.yaml"), *changes]) == 0
    return root / name / "model"


@pytest.mark.parametrize("stage", ["align", "sft"])
def test_the_recipes_for_qwen_are_those_for_mistral(stage):
    one, other = (load_recipe(LlavaSettings, RECIPES / f"{family}_{stage}.yaml") for family in ("mistral", "qwen"))
    assert one.preset == "biomedclip-mistral-7b"
    assert other.preset == "biomedclip-qwen2.5-7b"
    assert replace(other, model=one.model, out=one.out, preset=one.preset) == one


def test_captions_first_then_instructions_then_on(wide_folder, small_data, tmp_path):
    aligned = run(align, "mistral_align", wide_folder, small_data, tmp_path)
    before, after = load_model(wide_folder, device="cpu"), load_model(aligned, device="cpu")
    name = "model.language_model.layers.0.self_attn.q_proj.weight"
    assert torch.equal(before.llava.state_dict()[name], after.llava.state_dict()[name])
    assert before.contract.connector_fingerprint != after.contract.connector_fingerprint
    tuned = run(sft, "mistral_sft", aligned, small_data, tmp_path)
    settings = json.loads((tuned / "adapter_config.json").read_text())
    assert (settings["r"], settings["lora_alpha"]) == (16, 32)
    assert load_model(tuned, device="cpu").contract.base == after.fingerprint
    more = run(sft, "mistral_continue", tuned, small_data, tmp_path)
    # The same adapter on the same base, not one on top of the other.
    assert load_model(more, device="cpu").contract.base == after.fingerprint
    # Six pictures, through the tower once for all stages.
    assert len(list((tmp_path / "features").rglob("*.safetensors"))) == 6


@pytest.mark.gpu
def test_the_same_on_a_gpu_in_bfloat16(wide_folder, small_data, tmp_path):
    aligned = run(align, "mistral_align", wide_folder, small_data, tmp_path)
    tuned = run(sft, "mistral_sft", aligned, small_data, tmp_path)
    loaded = load_model(tuned)
    assert loaded.device.startswith("cuda")
    assert loaded.dtype == torch.bfloat16
