"""What a dry run tells, and what it refuses."""

from __future__ import annotations

import shutil

import pytest

from assistant.errors import DataError
from assistant.model.load import load_model
from data_recipes.schema import read_examples
from training.adapter import LoraSettings
from training.preview import preview
from training.settings import DataPart, LlavaSettings
from training.sft import main


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
