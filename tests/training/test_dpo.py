"""Preference tuning: the reference, the loss, resuming, stopping, and what is written."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch.nn import functional as F

from assistant.errors import ConfigError, DataError, TrainingError
from assistant.imaging.load import load_picture
from assistant.model.load import load_model
from data_recipes.schema import read_preferences
from training.adapter import LoraSettings
from training.dpo import main
from training.preference import PreferenceTrainer, run_dpo
from training.preference_settings import DpoSettings
from training.recipe import OptimizerSettings, load_recipe
from training.run_folder import RunFolder
from training.settings import DataPart
from training.team import Team

RECIPES = Path(__file__).parents[2] / "training" / "recipes"


@pytest.fixture(scope="module")
def pairs(few_pairs):
    """Eight pairs on phantoms: short answers and reports."""
    return few_pairs({"wrong answer": 5, "wrong side": 3})


def settings(model, file, out, **changes) -> DpoSettings:
    values = {
        "model": str(model),
        "data": (DataPart(file),),
        "out": out,
        "steps": 6,
        "pairs": 4,
        "optimizer": OptimizerSettings(lr=3e-3, warmup_steps=2),
        "bf16": False,
        "report_every": 2,
        "stop_below": 100.0,
    }
    return DpoSettings(**{**values, **changes})


@pytest.fixture
def trainer(wide_folder, pairs, tmp_path):
    chosen = settings(wide_folder, pairs, tmp_path / "run")
    return PreferenceTrainer(chosen, RunFolder(chosen.out, chosen))


def test_an_answers_log_probability_is_the_stock_models(trainer, pairs):
    model = trainer.loaded
    with torch.no_grad():
        sums, lengths = trainer.log_probabilities(*trainer.batch(range(8)))
    for number, one in enumerate(read_preferences(pairs)):
        pixels = model.pixel_values([load_picture(pairs.parent / name) for name in one.images])
        for column, turned in enumerate((trainer.pairs[number].first, trainer.pairs[number].second)):
            ids = torch.tensor([[*turned.prompt, *turned.answer]])
            with torch.no_grad():
                logits = model.llava(input_ids=ids, pixel_values=pixels, attention_mask=torch.ones_like(ids)).logits
            answer = torch.tensor(turned.answer)
            stock = -F.cross_entropy(logits[0, len(turned.prompt) - 1 : -1], answer, reduction="sum")
            # The pictures are kept at the model's size in whole numbers; the rest is rounding.
            assert sums[number, column].item() == pytest.approx(stock.item(), rel=2e-3)
            assert lengths[number, column] == len(turned.answer)


def test_at_the_start_nothing_is_preferred_over_the_reference(trainer):
    loss, told = trainer.loss(range(8), trainer.reference())
    assert loss.item() == pytest.approx(0.6931, abs=1e-4)
    assert told["margin"][0] == pytest.approx(0.0, abs=1e-4)
    assert told["chosen_change"][0] == pytest.approx(0.0, abs=1e-5)


def test_the_reference_is_computed_once_and_kept(trainer, caplog):
    with caplog.at_level(logging.INFO, "training.reference"):
        first = trainer.reference()
        with torch.no_grad():
            for parameter in trainer.loaded.llava.model.multi_modal_projector.parameters():
                parameter.add_(0.1)
        assert torch.equal(trainer.reference(), first)
    assert [one.message.split(":")[0] for one in caplog.records].count("reference") == 1


@pytest.mark.parametrize("lora", [None, LoraSettings(rank=4, dropout=0.0)], ids=["whole", "lora"])
def test_pairs_are_learned_and_the_image_tower_stays(wide_folder, pairs, tmp_path, lora):
    chosen = settings(wide_folder, pairs, tmp_path / "run", steps=40, pairs=8, lora=lora, sft_weight=0.1)
    out = run_dpo(chosen)
    lines = [json.loads(line) for line in (chosen.out / "metrics.jsonl").read_text().splitlines()]
    assert lines[-1]["accuracy"] == 1.0
    assert lines[-1]["margin"] > 5 > lines[0]["margin"]
    base, tuned = load_model(wide_folder), load_model(out)
    before = base.llava.model.vision_tower.state_dict()
    after = tuned.llava.model.vision_tower.state_dict()
    assert all(torch.equal(one, after[name]) for name, one in before.items())
    assert (out / "adapter_config.json").exists() is (lora is not None)


def test_losses_add_up_by_their_weights(trainer):
    reference = trainer.reference()
    reference[:, 0] -= 2.0

    def loss(**changes):
        for name, value in {"loss": "sigmoid", "add_losses": {}, **changes}.items():
            object.__setattr__(trainer.settings, name, value)
        return trainer.loss(range(8), reference)[0].item()

    parts = [loss(loss=name) for name in ("sigmoid", "bco_pair", "sft")]
    mixed = loss(add_losses={"bco_pair": 0.25, "sft": 1.25})
    assert mixed == pytest.approx(parts[0] + 0.25 * parts[1] + 1.25 * parts[2], rel=1e-5)


def test_what_the_longer_answer_has_more_counts_less(trainer):
    batch = trainer.batch(range(8))
    with torch.no_grad():
        sums, lengths = trainer.log_probabilities(*batch)
        whole = sums[:, 2:]
        assert torch.equal(sums[:, :2], whole)
        tokens = torch.arange(7)
        assert trainer.token_weights(torch.tensor([0, 0, 0, 1]), torch.tensor([3, 1]), tokens[:4]) is None
        object.__setattr__(trainer.settings, "ld_alpha", 0.25)
        weights = trainer.token_weights(torch.tensor([0, 0, 0, 1, 2, 3, 3]), torch.tensor([3, 1, 1, 2]), tokens)
        assert weights.tolist() == [1.0, 0.25, 0.25, 1.0, 1.0, 1.0, 0.25]
        sums, _ = trainer.log_probabilities(*batch)
        parts = sums[:, :2]
        assert torch.equal(sums[:, 2:], whole)
    longer = lengths > lengths.flip(1)
    assert longer.any()
    assert (parts[longer] > whole[longer]).all()
    assert torch.equal(parts[~longer], whole[~longer])


def test_a_reference_of_an_earlier_version_is_found_anew(trainer):
    whole = trainer.reference()
    save_file({"log_probabilities": whole[:, :2] + 1}, trainer.folder.path / "reference.safetensors")
    assert torch.allclose(trainer.reference(), whole, atol=1e-4)


def test_a_preference_for_length_pays_its_price(trainer):
    reference = trainer.reference()
    _, lengths = trainer.log_probabilities(*trainer.batch(range(8)))
    object.__setattr__(trainer.settings, "length_penalty", 0.02)
    loss, told = trainer.loss(range(8), reference)
    # beta times margin is now what length alone would gain: 0.02 a token.
    gain = 0.02 * (lengths[:, 0] - lengths[:, 1])
    assert loss.item() == pytest.approx(-F.logsigmoid(gain.float()).mean().item(), abs=1e-5)
    assert told["margin"][0] * trainer.settings.beta == pytest.approx(gain.float().sum().item(), abs=1e-3)


def test_a_run_that_was_cut_short_ends_as_if_it_had_not(wide_folder, pairs, tmp_path, cut_short_and_resume):
    whole = settings(wide_folder, pairs, tmp_path / "whole", average=0.9)
    halves = settings(wide_folder, pairs, tmp_path / "halves", average=0.9)
    run_dpo(whole)
    cut_short_and_resume(run_dpo, halves, step=4)
    one, other = ((run.out / "model" / "model.safetensors").read_bytes() for run in (whole, halves))
    assert one == other


def test_unlearning_both_answers_is_warned_of_and_then_stops_the_run(trainer, monkeypatch, caplog):
    object.__setattr__(trainer.settings, "stop_below", 0.5)
    real, falling = trainer.loss, iter((0.0, -0.1, -0.2, -0.4, -0.6, -0.6))

    def loss(numbers, reference, step):
        value, told = real(numbers, reference, step)
        return value, {**told, "chosen_change": (next(falling), 1.0)}

    monkeypatch.setattr(trainer, "loss", loss)
    with caplog.at_level(logging.WARNING, "training.reference"):
        out = trainer.run(resume=False)
    told = [record.message for record in caplog.records]
    assert told[0] == "step 4: better answers have lost 0.30 nats a token against the reference"
    assert told[1].startswith("stopped at step 6: better answers lost 0.60 nats a token, more than `stop_below`")
    assert load_model(out).name == f"{trainer.loaded.name}+run"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"loss": "dpo"}, r"loss is 'dpo'; choose from sigmoid, robust"),
        ({"beta": 0.0}, r"beta is 0\.0; use a number above 0"),
        ({"label_smoothing": 0.5}, r"label_smoothing is 0\.5; it is a share"),
        ({"label_smoothing": 0.1, "loss": "ipo"}, r"label_smoothing is 0\.1, which ipo does not use; set it to 0"),
        ({"loss": "aot", "accumulate": 2}, "aot sorts the pairs of a whole step, which accumulate 2 divides"),
        ({"loss": "exo_pair"}, r"label_smoothing is 0, with which exo_pair has no loss; set it to 0\.001"),
        ({"add_losses": {"rpo": 1.0}}, r"add_losses is 'rpo'; choose from sigmoid"),
        ({"add_losses": {"sft": 0.0}}, r"add_losses has sft: 0\.0; give each a weight above 0"),
        ({"add_losses": {"sigmoid": 1.0}}, r"add_losses has sigmoid: 1\.0; .* none twice"),
        ({"ld_alpha": 1.5}, r"ld_alpha is 1\.5; it is a weight from 0 to 1"),
        ({"length_penalty": -0.1}, r"length_penalty is -0\.1; use 0 or more"),
        (
            {"shared_weight": -0.1},
            r"shared_weight is -0\.1; it is a weight from 0 to 1, and 1 counts every token alike",
        ),
        ({"shared_weight": 0.0, "per_token": True}, "shared_weight and per_token both weigh the tokens of an answer"),
        ({"shared_weight": 0.0, "loss": "sigmoid_norm"}, "shared_weight and sigmoid_norm both weigh"),
        ({"shared_weight": 0.0, "ld_alpha": 0.5}, "shared_weight and ld_alpha both weigh"),
        ({"shared_weight": 0.5, "loss": "sft"}, r"shared_weight is 0\.5, which sft does not use; set it to 1"),
        ({"per_token": True, "ld_alpha": 0.5}, "per_token and ld_alpha are ways to take the influence of length out"),
        ({"loss": "sigmoid_norm", "length_penalty": 0.1}, "sigmoid_norm and length_penalty are ways to take"),
        ({"per_token": True, "add_losses": {"sft": 1.0}}, "sft is a mean a token already; with per_token use sft_wei"),
        ({"train": ("vision_tower",)}, r"train is \['vision_tower'\]; choose from connector"),
        ({"data": ()}, "data is empty; name at least one JSONL file of preferences"),
    ],
)
def test_settings_that_cannot_be_meant_are_refused(tmp_path, changes, message):
    with pytest.raises(ConfigError, match=message):
        settings("starter", tmp_path / "a.jsonl", tmp_path, **changes)


def test_pairs_that_do_not_fit_are_refused(wide_folder, pairs, tmp_path):
    chosen = settings(wide_folder, pairs, tmp_path / "run", longest=120)
    with pytest.raises(DataError, match=r"take more than (`longest` )?120 tokens"):
        PreferenceTrainer(chosen, RunFolder(chosen.out, chosen))


def test_the_shipped_recipe_is_read_and_told(pairs, capsys):
    assert load_recipe(DpoSettings, RECIPES / "dpo.yaml").lora == LoraSettings(16, 32)
    assert main([str(RECIPES / "dpo.yaml"), "--dry-run", "--set", f"data=[{{path: {pairs}}}]"]) == 0
    assert capsys.readouterr().out.startswith(
        "starter: 300 steps of 16 pairs from few.jsonl x1; loss sigmoid, beta 0.1"
    )
    assert main([str(RECIPES / "dpo.yaml"), "--dry-run", "--set", "data=[{path: no.jsonl}]"]) == 2
    assert "no.jsonl does not exist. Build it with python -m data_recipes.build preferences" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["evidence_dpo", "factual_dpo", "prior_dpo"])
def test_the_other_shipped_recipes_are_read_and_told(pairs, capsys, name):
    assert main([str(RECIPES / f"{name}.yaml"), "--dry-run", "--set", f"data=[{{path: {pairs}}}]"]) == 0
    assert "pairs from few.jsonl x1; loss sigmoid, beta 0.1" in capsys.readouterr().out


def test_pairs_that_are_sorted_over_a_step_are_not_shared_out(wide_folder, pairs, tmp_path):
    chosen = settings(wide_folder, pairs, tmp_path / "run", loss="aot_unpaired")
    with pytest.raises(TrainingError, match="aot_unpaired sorts the pairs of a whole step, which 2 processes"):
        PreferenceTrainer(chosen, RunFolder(chosen.out, chosen), Team(0, 2))
