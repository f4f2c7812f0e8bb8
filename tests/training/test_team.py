"""Two processes take the same steps as one, and only one of them writes."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from assistant.errors import TrainingError
from assistant.model.load import load_model
from data_recipes.build import build_data
from data_recipes.schema import read_preferences, write_examples, write_preferences
from training.team import Team, begin, join
from training.zero import ZeroLayers

ROOT = Path(__file__).resolve().parents[2]
CONFIGS = ROOT / "training" / "recipes" / "accelerate"
STAGES = ("sft", "lora", "dora", "dpo", "kto", "reward", "adalora", "grpo")


def launch(command: list[str], arguments: list[str]) -> None:
    """Start `team_runs` by some launcher, on CPUs only."""
    found = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": "", "PYTHONPATH": found, "OMP_NUM_THREADS": "1"}
    script = str(Path(__file__).with_name("team_runs.py"))
    done = subprocess.run(
        [sys.executable, "-m", *command, script, *arguments],
        cwd=ROOT, env=environment, capture_output=True, text=True, timeout=900, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-4000:]


def accelerate(config: str, processes: int) -> list[str]:
    """Return the command that launches as the shipped configuration says, but on fewer processes."""
    options = ["--config_file", str(CONFIGS / config), "--num_processes", str(processes), "--main_process_port", "0"]
    return ["accelerate.commands.launch", *options]


@pytest.fixture(scope="module")
def data(small_examples, tmp_path_factory):
    root = tmp_path_factory.mktemp("team")
    write_examples(root / "small" / "dev.jsonl", small_examples(root / "small"))
    build_data("phantom", None, root / "phantoms", limit=8, seed=4)
    build_data("preferences", root / "phantoms" / "train.jsonl", root / "pairs", seed=1)
    kept = [one for one in read_preferences(root / "pairs" / "preferences.jsonl") if one.reason == "wrong answer"][:6]
    write_preferences(root / "pairs" / "few.jsonl", kept)
    return root


@pytest.fixture(scope="module")
def runs():
    """What is started in every process, to be called in this one."""
    spec = importlib.util.spec_from_file_location("team_runs", Path(__file__).with_name("team_runs.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def alone(data, runs, wide_folder, tmp_path_factory):
    """The runs of one process."""
    out = tmp_path_factory.mktemp("alone")
    runs.main("plain", str(wide_folder), data, out)
    return out


@pytest.fixture(scope="module")
def two(data, wide_folder, tmp_path_factory):
    """The runs of two processes, each with the whole model."""
    out = tmp_path_factory.mktemp("two")
    launch(accelerate("gpus.yaml", 2), ["plain", str(wide_folder), str(data), str(out)])
    return out


@pytest.fixture(scope="module")
def spread(data, runs, wide_folder, tmp_path_factory):
    """The runs of two processes under DeepSpeed, and one that a single process began."""
    pytest.importorskip("deepspeed")
    out = tmp_path_factory.mktemp("spread")
    runs.cut_short(runs.half_settings(str(wide_folder), data, out / "moved"), go_on=False)
    launch(accelerate("zero3.yaml", 2), ["spread", str(wide_folder), str(data), str(out)])
    return out


@pytest.fixture(scope="module")
def sharded(data, runs, wide_folder, tmp_path_factory):
    """The runs of two processes that share the layers out, and one that a single process began."""
    out = tmp_path_factory.mktemp("sharded")
    runs.cut_short(runs.half_settings(str(wide_folder), data, out / "moved"), go_on=False)
    launch(accelerate("fsdp.yaml", 2), ["sharded", str(wide_folder), str(data), str(out)])
    return out


def told(folder: Path) -> list[dict[str, float]]:
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [{name: value for name, value in line.items() if name != "time"} for line in lines]


def weights(folder: Path) -> dict[str, torch.Tensor]:
    found = folder / "model" / "adapter_model.safetensors"
    return load_file(found if found.exists() else folder / "model" / "model.safetensors")


def assert_same(one: Path, other: Path) -> None:
    """Compare two runs, line by line and weight by weight; one line a step says that one process wrote."""
    assert [line["step"] for line in told(other)] == [1, 2, 3, 4]
    for line, same in zip(told(one), told(other), strict=True):
        assert same == pytest.approx(line, rel=1e-3, abs=1e-5)
    first, second = weights(one), weights(other)
    assert first.keys() == second.keys()
    for name, tensor in first.items():
        assert torch.allclose(tensor, second[name], atol=2e-4), name


@pytest.mark.parametrize("stage", STAGES)
def test_two_processes_take_the_steps_of_one(alone, two, stage):
    assert_same(alone / stage, two / stage)
    load_model(two / stage / "model", device="cpu")


@pytest.mark.parametrize("stage", ["sft", "lora", "dora", "dpo", "kto"])
def test_sharded_weights_take_the_same_steps(alone, sharded, stage):
    assert_same(alone / stage, sharded / stage)
    load_model(sharded / stage / "model", device="cpu")


@pytest.mark.slow
@pytest.mark.parametrize("stage", ["sft", "lora", "dora", "dpo", "kto"])
def test_weights_under_zero_3_take_the_same_steps(alone, spread, stage):
    assert_same(alone / stage, spread / stage)
    load_model(spread / stage / "model", device="cpu")


@pytest.mark.slow
def test_a_run_under_zero_3_is_resumed_from_safetensors_as_if_it_had_never_stopped(alone, spread):
    assert_same(alone / "halves", spread / "halves")
    assert_same(alone / "halves", spread / "moved")
    kinds = {path.suffix for path in (spread / "halves").rglob("*") if path.is_file()}
    assert kinds <= {".safetensors", ".json", ".jsonl", ".npy", ".md", ".jinja"}


def test_a_resumed_run_of_two_goes_on_as_if_it_had_never_stopped(alone, two, sharded):
    assert_same(alone / "halves", two / "halves")
    assert_same(alone / "halves", sharded / "halves")


def test_a_run_goes_on_with_weights_spread_that_one_process_began(alone, sharded):
    assert_same(alone / "halves", sharded / "moved")


def assert_refused(out: Path, name: str) -> None:
    """Look at what either process was told of what cannot be sharded."""
    for file in out.glob("refused-*.txt"):
        nf4, muon, grpo = file.read_text().splitlines()
        assert nf4.startswith(f"lora.quantization nf4 and {name} do not go together")
        assert muon == f"optimizer.name muon needs whole matrices, which {name} spreads out; use adamw."
        assert grpo.startswith("grpo draws answers, which end at different times in different processes")
    assert list(out.glob("refused-*.txt"))


def test_what_sharding_cannot_do_is_refused(sharded):
    assert_refused(sharded, "FSDP")


@pytest.mark.slow
def test_what_zero_3_cannot_do_is_refused(spread):
    assert_refused(spread, "ZeRO-3")


def test_a_step_is_shared_out_by_length():
    lengths = [9, 1, 8, 2, 7, 3]
    shares = [Team(rank, 2).share(lengths, 1) for rank in range(2)]
    assert shares == [[[1, 3, 5]], [[4, 2, 0]]]
    parts = [Team(rank, 2).share([*lengths, 4, 6], 2) for rank in range(2)]
    assert parts == [[[1, 3], [7, 4]], [[5, 6], [2, 0]]]
    assert Team().share(lengths, 1) == [[0, 1, 2, 3, 4, 5]]
    assert sorted(sum(Team().share(lengths, 4), [])) == [0, 1, 2, 3, 4, 5]
    with pytest.raises(TrainingError, match=r"a step of 6 cannot be shared among 4 processes with accumulate 2; lower"):
        Team(0, 4).share(lengths, 2)


def test_sequences_of_a_part_are_of_one_length_so_that_little_is_padded():
    lengths = [10, 100] * 8
    padded = sum(len(part) * max(lengths[place] for place in part) for part in Team().share(lengths, 4))
    assert padded == sum(lengths)


def test_one_process_is_alone():
    assert begin(0, 3, 4, 4) == Team()
    assert Team().device == "auto"
    assert Team().total(2.5) == 2.5
    assert Team().mean({"a": 1.0, "b": float("nan")}) == {"a": 1.0}


def test_a_launch_with_deepspeed_that_is_not_supported_is_refused_with_all_its_mistakes(monkeypatch):
    monkeypatch.setenv("ACCELERATE_USE_DEEPSPEED", "true")
    monkeypatch.setenv("ACCELERATE_DEEPSPEED_ZERO_STAGE", "2")
    monkeypatch.setenv("ACCELERATE_DEEPSPEED_OFFLOAD_PARAM_DEVICE", "cpu")
    monkeypatch.setenv("ACCELERATE_DEEPSPEED_CONFIG_FILE", "own.json")
    told = (
        r"has 3 mistake\(s\): zero_stage is 2; only 3 .*; offload_param_device is cpu; only none .*; "
        r"deepspeed_config_file is own\.json; .*recipes/accelerate/zero3\.yaml"
    )
    with pytest.raises(TrainingError, match=told):
        join()


def test_deepspeed_that_is_not_installed_is_named_with_the_way_round(monkeypatch):
    monkeypatch.setitem(sys.modules, "deepspeed", None)
    monkeypatch.setenv("DS_ACCELERATOR", "cpu")
    with pytest.raises(TrainingError, match=r"not installed: pip install 'medassist\[zero\]'.*fsdp\.yaml"):
        ZeroLayers(torch.nn.Linear(1, 1), [], betas=(0.9, 0.98), average=False)


def test_norms_and_gradients_of_one_process():
    layer = torch.nn.Linear(2, 1, bias=False)
    layer(torch.tensor([[3.0, 4.0]])).backward()
    Team().sum_gradients(layer.parameters())
    assert Team().norm([layer.weight.grad]).item() == pytest.approx(5.0)
