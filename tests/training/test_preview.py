"""What a dry run tells, and what it refuses."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from assistant.errors import DataError, ModelError
from assistant.model.load import load_model
from assistant.model.presets import find_preset
from data_recipes.schema import read_examples
from training.adapter import LoraSettings
from training.align import main as align
from training.assemble import main as assemble
from training.preview import preview
from training.settings import DataPart, LlavaSettings
from training.sft import main

ROOT = Path(__file__).resolve().parents[2]


def settings(model, file, out, **changes):
    values = {"model": str(model), "data": (DataPart(file),), "out": out, "steps": 5, "pictures": 2, "longest": 400}
    return LlavaSettings(**{**values, **changes})


def test_a_dry_run_tells_data_prompt_tokens_weights_memory_and_licences(tiny_folder, phantom_data, tmp_path):
    told = preview(settings(tiny_folder, phantom_data, tmp_path / "run"))
    examples = list(read_examples(phantom_data))
    llava = load_model(tiny_folder).llava
    connector = sum(one.numel() for one in llava.model.multi_modal_projector.parameters())
    language = sum(one.numel() for one in llava.model.language_model.parameters()) + llava.lm_head.weight.numel()
    assert "5 steps of 2 pictures" in told
    assert f"{sum(one.task == 'vqa' for one in examples)} vqa" in told
    assert f"| connector | {connector:,} | {connector:,} |" in told
    assert f"| language model | {language:,} | {language:,} |" in told
    assert f"⟦{examples[0].messages[-1]['content']}</s>⟧" in told
    assert "<image>x" in told
    assert "- phantom: CC0-1.0" in told
    assert not (tmp_path / "run").exists()


def test_lora_counts_its_own_weights_alone(tiny_folder, phantom_data, tmp_path):
    told = preview(settings(tiny_folder, phantom_data, tmp_path, lora=LoraSettings(rank=2), train=("language_model",)))
    line = next(line for line in told.splitlines() if line.startswith("| language model"))
    every, trained = (int(cell.replace(",", "")) for cell in line.strip("| ").split(" | ")[1:])
    assert 0 < trained < every / 4
    assert any(line.startswith("| connector") and line.endswith("| 0 |") for line in told.splitlines())


def test_a_connector_trained_beside_lora_counts_once(tiny_folder, phantom_data, tmp_path):
    told = preview(settings(tiny_folder, phantom_data, tmp_path, lora=LoraSettings(rank=2)))
    connector = sum(one.numel() for one in load_model(tiny_folder).llava.model.multi_modal_projector.parameters())
    assert f"| connector | {connector:,} | {connector:,} |" in told


def test_a_dry_run_refuses_what_a_run_would(tiny_folder, phantom_data, tmp_path, capsys):
    with pytest.raises(DataError, match="also stand in"):
        preview(settings(tiny_folder, phantom_data, tmp_path, held_out=(phantom_data,)))
    with pytest.raises(DataError, match="examples take more than 20 tokens"):
        preview(settings(tiny_folder, phantom_data, tmp_path, longest=20))
    shutil.copy(phantom_data, tmp_path / "train.jsonl")
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(f"model: {tiny_folder}\ndata: [{{path: {tmp_path / 'train.jsonl'}}}]\nout: {tmp_path / 'run'}\n")
    assert main([str(recipe), "--dry-run"]) == 2
    assert "images are missing, first" in capsys.readouterr().err
    assert main([str(recipe), "--dry-run", "--set", f"data=[{{path: {phantom_data}}}]"]) == 0
    assert "| tokens | median |" in capsys.readouterr().out


def test_an_unknown_balance_is_refused(tiny_folder, phantom_data, tmp_path):
    part = DataPart(phantom_data, balance="lung finding")
    with pytest.raises(DataError, match="balance is 'lung finding', which no example's truth has"):
        preview(settings(tiny_folder, phantom_data, tmp_path, data=(part,)))


def test_a_7b_model_is_planned_from_its_preset_with_nothing_downloaded(phantom_data, tmp_path):
    nf4 = LoraSettings(rank=16, quantization="nf4")
    chosen = settings("models/biomedclip-mistral-7b", phantom_data, tmp_path / "run", lora=nf4, checkpoint=True)
    told = preview(chosen)
    assert told.startswith("models/biomedclip-mistral-7b is not there yet: weights and memory are those of the preset")
    assert "python -m training.assemble" in told
    # 7,248,023,552 as published, and rank 16 on the seven linears of 32 layers.
    update = 32 * 16 * (2 * (4096 + 4096) + 2 * (4096 + 1024) + 3 * (4096 + 14336))
    assert f"| language model | {7_248_023_552 + update:,} | {update:,} |" in told
    assert 0 < float(told.split("activations at the longest sequences")[1].split("; ")[1].split(" GiB")[0]) < 24


def test_a_model_that_nothing_is_known_of_is_refused_with_what_would_do(phantom_data, tmp_path):
    with pytest.raises(ModelError, match=r"no model 'runs/a/model'.* --set preset=NAME, one of biomedclip-bio"):
        preview(settings("runs/a/model", phantom_data, tmp_path / "run"))


@pytest.mark.parametrize(
    ("preset", "count"),
    [
        ("biomedclip-mistral-7b", 7_248_023_552),
        ("biomedclip-biomistral-7b", 7_241_732_096),
        ("biomedclip-qwen2.5-7b", 7_615_616_512),
        ("biomedclip-llama3.1-8b", 8_030_261_248),
        ("biomedclip-phi3.5-mini", 3_821_079_552),
    ],
)
def test_assembling_is_planned_with_sizes_and_the_commands_that_fetch(preset, count, tmp_path, capsys):
    recipe = ROOT / "assistant" / "model" / "presets" / f"{preset}.yaml"
    assert assemble([str(recipe), "--dry-run", "--set", f"out={tmp_path / 'm'}"]) == 0
    told = capsys.readouterr().out
    found = find_preset(preset)
    assert f"| language model | {found.llm} | {count:,} weights, {count * 2 / 1e9:.1f} GB in 16 bits |" in told
    assert f"  hf download {found.llm}\n" in told
    assert "  hf download microsoft/BiomedCLIP" in told
    assert not (tmp_path / "m").exists()


@pytest.mark.parametrize("name", ["mistral_align", "mistral_sft", "mistral_continue", "qwen_align", "qwen_sft"])
def test_the_7b_recipes_are_planned_and_fit_24_gb(name, phantom_data, tmp_path, capsys):
    command = align if name.endswith("align") else main
    recipe = ROOT / "training" / "recipes" / f"{name}.yaml"
    changes = ["--set", f"data=[{{path: {phantom_data}}}]", "--set", "held_out=[]", "--set", f"out={tmp_path}"]
    assert command([str(recipe), "--dry-run", *changes]) == 0
    told = capsys.readouterr().out
    assert float(told.rsplit(" GiB in all", 1)[0].rsplit(" ", 1)[1]) < 20


def test_parts_that_are_there_are_said_to_be(tiny_folder, tmp_path, capsys):
    recipe = tmp_path / "a.yaml"
    recipe.write_text(f"encoder: {tiny_folder}\nllm: {tiny_folder}\nout: {tmp_path / 'm'}\n")
    assert assemble([str(recipe), "--dry-run"]) == 0
    told = capsys.readouterr().out
    assert told.count("| a folder here |") == 2
    assert "hf download" not in told


def test_less_is_estimated_for_parts_of_a_step_and_for_checkpointing(tiny_folder, phantom_data, tmp_path):
    def activations(**changes) -> float:
        told = preview(settings(tiny_folder, phantom_data, tmp_path, pictures=64, **changes))
        return float(told.split("activations at the longest sequences ")[1].split(" GiB")[0])

    assert activations(accumulate=8) < activations() / 4
    assert activations(checkpoint=True) < activations()
