"""What dry runs of dpo, kto and grpo tell, and what they refuse."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from assistant.errors import ConfigError, DataError, ModelError
from data_recipes.judged import Judged, write_judged
from data_recipes.schema import read_examples, read_preferences, write_examples, write_preferences
from training import dpo, grpo, kto
from training.adapter import LoraSettings
from training.grpo_settings import GrpoSettings
from training.kto_settings import KtoSettings
from training.preference_settings import DpoSettings
from training.preview_tuning import preview_dpo, preview_grpo, preview_kto
from training.settings import DataPart


@pytest.fixture(scope="module")
def files(make_data, tmp_path_factory, small_examples):
    root = tmp_path_factory.mktemp("tuning")
    make_data("phantom", None, root / "phantoms", limit=8, seed=4)
    make_data("preferences", root / "phantoms" / "train.jsonl", root / "pairs", seed=1)
    kept = [one for one in read_preferences(root / "pairs" / "preferences.jsonl") if one.reason == "wrong answer"][:6]
    write_preferences(root / "pairs" / "few.jsonl", kept)
    examples = small_examples(root / "small")
    write_examples(root / "small" / "asked.jsonl", examples)
    write_judged(root / "small" / "thumbs.jsonl", [Judged(one, n % 3 == 0) for n, one in enumerate(examples)])
    return {
        "dpo": root / "pairs" / "few.jsonl",
        "kto": root / "small" / "thumbs.jsonl",
        "grpo": root / "small" / "asked.jsonl",
    }


PREVIEWS = {
    "dpo": (DpoSettings, preview_dpo, dpo),
    "kto": (KtoSettings, preview_kto, kto),
    "grpo": (GrpoSettings, preview_grpo, grpo),
}


def told(stage: str, model, file: Path, out: Path, **changes) -> str:
    kind, preview, _ = PREVIEWS[stage]
    return preview(kind(str(model), (DataPart(file),), out, **changes))


def test_dpo_tells_pairs_both_answers_tokens_weights_and_licences(wide_folder, files, tmp_path):
    text = told("dpo", wide_folder, files["dpo"], tmp_path / "run", lora=LoraSettings(rank=2))
    first = next(iter(read_preferences(files["dpo"])))
    assert "| few.jsonl | 6 phantom | 6 | 6 wrong answer |" in text
    assert f"  chosen: ⟦{first.chosen}</s>⟧\n  rejected (wrong answer): ⟦{first.rejected}</s>⟧" in text
    assert f"<image>x16{first.messages[0]['content']}" in text
    assert "| tokens | median | 95 % | most |" in text
    assert "Memory, about: weights" in text
    assert "- phantom: CC0-1.0" in text
    assert not (tmp_path / "run").exists()


def test_dpo_shows_what_of_a_pair_counts_in_full(wide_folder, files, tmp_path):
    one = replace(next(iter(read_preferences(files["dpo"]))), chosen="Yes. Left.", rejected="Yes. Right.")
    file = files["dpo"].with_name("sides.jsonl")
    write_preferences(file, [one])
    text = told("dpo", wide_folder, file, tmp_path / "run", shared_weight=0.25)
    assert "Tokens that both answers of a pair have count 0.25 (`shared_weight`), what differs 1: in the medi" in text
    shown = text.partition("In the example:\n")[2].splitlines()[:2]
    assert [line.replace("⟦", "").replace("⟧", "") for line in shown] == [
        f"  {name}: {answer}</s>" for name, answer in (("chosen", one.chosen), ("rejected", one.rejected))
    ]
    assert all(line.startswith(("  chosen: Yes.", "  rejected: Yes.")) and line.endswith("⟧.</s>") for line in shown)
    assert "shared_weight" not in told("dpo", wide_folder, file, tmp_path / "run")


def test_kto_tells_how_many_are_wanted(wide_folder, files, tmp_path):
    text = told("kto", wide_folder, files["kto"], tmp_path / "run")
    assert "| thumbs.jsonl | 18 noise | 18 | 12 unwanted, 6 wanted | 6 |" in text
    assert "  wanted: ⟦MRI</s>⟧\n  of another question, to compare: ⟦" in text


def test_grpo_tells_the_truth_that_rewards_read(wide_folder, files, tmp_path):
    rewards = {"answer_match": 1.0, "brevity": 0.5}
    text = told("grpo", wide_folder, files["grpo"], tmp_path / "run", rewards=rewards, samples=4, accumulate=2)
    assert "| asked.jsonl | 18 noise | 18 | 6 open, 6 closed, 6 choice | 6 |" in text
    assert "4 answers are drawn to it:\n" in text
    assert "What imaging modality is shown?" in text
    assert "The rewards compare them with: MRI; truth {'modality': 'MRI'" in text
    assert "That answer itself would get: answer_match 1 x 1, brevity 1 x 0.5" in text
    assert "⟦" not in text


@pytest.mark.parametrize("stage", list(PREVIEWS))
def test_each_command_shows_it_and_writes_nothing(stage, wide_folder, files, tmp_path, capsys):
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(f"model: {wide_folder}\ndata: [{{path: {files[stage]}}}]\nout: {tmp_path / 'run'}\n")
    assert PREVIEWS[stage][2].main([str(recipe), "--dry-run"]) == 0
    assert "| weights of | all | trained |" in capsys.readouterr().out
    assert not (tmp_path / "run").exists()
    assert PREVIEWS[stage][2].main([str(recipe), "--dry-run", "--set", "model=nowhere"]) == 2
    assert "There is no model 'nowhere'" in capsys.readouterr().err


@pytest.mark.parametrize("stage", list(PREVIEWS))
def test_missing_images_are_counted_and_the_first_five_named(stage, wide_folder, files, tmp_path):
    shutil.copy(files[stage], tmp_path / "data.jsonl")
    with pytest.raises(DataError, match=r"([36]) of \1 images are missing, first (\S+, ){2,4}\S+\. Put them"):
        told(stage, wide_folder, tmp_path / "data.jsonl", tmp_path / "run")


@pytest.mark.parametrize("stage", list(PREVIEWS))
def test_patients_on_both_sides_are_refused(stage, wide_folder, files, tmp_path):
    record = json.loads(files[stage].read_text().splitlines()[0])
    other = next(iter(read_examples(files["grpo"])))
    held = tmp_path / "dev.jsonl"
    write_examples(held, [replace(other, images=(), patient=record["patient"])])
    with pytest.raises(DataError, match=r"1 of 1 patients of .*dev\.jsonl also stand in"):
        told(stage, wide_folder, files[stage], tmp_path / "run", held_out=(held,))


def test_what_does_not_fit_is_refused(wide_folder, files, tmp_path):
    for stage in ("dpo", "kto"):
        with pytest.raises(DataError, match=r"examples take more than 20 tokens"):
            told(stage, wide_folder, files[stage], tmp_path / "run", longest=20)
    with pytest.raises(DataError, match=r"18 of 18 prompts leave no room for 500 tokens of an answer in the 512"):
        told("grpo", wide_folder, files["grpo"], tmp_path / "run", max_new_tokens=500)


@pytest.mark.parametrize("stage", list(PREVIEWS))
def test_a_template_without_an_end_is_refused(stage, wide_folder, files, tmp_path):
    endless = tmp_path / "endless"
    shutil.copytree(wide_folder, endless)
    template = endless / "chat_template.jinja"
    template.write_text(template.read_text().replace("eos_token", "''"))
    with pytest.raises(DataError, match=r"has no end token, so the model would not learn to stop"):
        told(stage, endless, files[stage], tmp_path / "run")


def test_a_reward_that_cannot_judge_is_refused(wide_folder, files, tmp_path):
    with pytest.raises(DataError, match=r"18 of 18 examples of .* cannot be judged by finding_f1, first p0-0#0"):
        told("grpo", wide_folder, files["grpo"], tmp_path / "run", rewards={"finding_f1": 1.0})


def test_answers_of_one_kind_are_refused(wide_folder, files, tmp_path):
    lines = [one for line in files["kto"].read_text().splitlines() if (one := json.loads(line))["good"]]
    path = files["kto"].with_name("good.jsonl")
    path.write_text("".join(json.dumps(one) + "\n" for one in lines))
    with pytest.raises(DataError, match=r"all \d+ answers are wanted; KTO needs both"):
        told("kto", wide_folder, path, tmp_path / "run")


@pytest.mark.parametrize("stage", list(PREVIEWS))
def test_an_empty_file_is_refused(stage, wide_folder, tmp_path):
    empty = tmp_path / "empty.jsonl"
    empty.write_text("")
    with pytest.raises(DataError, match=r"empty\.jsonl holds no (preferences|answers|examples); build it again"):
        told(stage, wide_folder, empty, tmp_path / "run")


def test_a_method_that_cannot_run_on_4_bits_is_refused_with_those_that_can():
    with pytest.raises(
        ConfigError, match=r"lora\.method loha cannot run on weights held in nf4; choose from lora, dora"
    ):
        LoraSettings(method="loha", quantization="nf4")


@pytest.mark.parametrize("stage", list(PREVIEWS))
def test_a_model_that_is_not_there_is_planned_by_its_preset(stage, files, tmp_path):
    lora = LoraSettings(rank=16, quantization="nf4")
    text = told(stage, "runs/no/model", files[stage], tmp_path, preset="biomedclip-qwen2.5-7b", lora=lora)
    assert text.startswith(
        "runs/no/model is not there yet: weights and memory are those of the preset biomedclip-qwen2.5"
    )
    assert "| language model | 7,655,986,688 | 40,370,176 |" in text
    assert "⟦" not in text
    with pytest.raises(ModelError, match=r"name what it is made from: --set preset=NAME, one of biomedclip-bio"):
        told(stage, "runs/no/model", files[stage], tmp_path)
