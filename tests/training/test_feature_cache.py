"""Features on disk: the same results with and without, shared between runs, and never trusted blindly."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from assistant.errors import ConfigError
from training.augment_settings import AugmentSettings
from training.feature_cache import FeatureCache, picture_key
from training.feature_settings import FeatureCacheSettings
from training.grpo_settings import GrpoSettings
from training.judged_answers import run_kto
from training.kto_settings import KtoSettings
from training.llava import LlavaTrainer, run_stage
from training.policy import run_grpo
from training.preference import run_dpo
from training.preference_settings import DpoSettings
from training.recipe import OptimizerSettings, load_recipe
from training.run_folder import RunFolder
from training.settings import DataPart, LlavaSettings

IDENTITY = {"encoder": "0123456789abcdef", "layer": "-1"}
SMALL = OptimizerSettings(lr=1e-3, warmup_steps=1)


@pytest.fixture(scope="module")
def preferences(make_data, tmp_path_factory):
    root = tmp_path_factory.mktemp("cached")
    make_data("phantom", None, root / "phantoms", limit=6, seed=4)
    make_data("preferences", root / "phantoms" / "train.jsonl", root / "pairs", seed=1)
    return root / "pairs" / "preferences.jsonl"


def cache(folder: Path, limit_gb: float = 1.0, **changes: str) -> FeatureCache:
    return FeatureCache(FeatureCacheSettings(folder, limit_gb), {**IDENTITY, **changes})


def entries(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.safetensors"))


def metrics(folder: Path) -> list[dict[str, float]]:
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [{name: value for name, value in line.items() if name != "time"} for line in lines]


def sft(model, data, out, **changes):
    values = {"steps": 3, "pictures": 4, "questions": 2, "bf16": False, "report_every": 1, "augment": None}
    values |= {"longest": 400, "store_side": 32, "optimizer": SMALL}
    return LlavaSettings(str(model), (DataPart(data),), out, **{**values, **changes})


def grpo(model, data, out, **changes):
    values = {"steps": 3, "prompts": 3, "samples": 3, "max_new_tokens": 5, "bf16": False, "report_every": 1}
    return GrpoSettings(
        str(model), (DataPart(data),), out, rewards={"brevity": 1.0}, optimizer=SMALL, **values, **changes
    )


def against(kind):
    def make(model, data, out, **changes):
        values = {"steps": 3, "pairs": 4, "bf16": False, "report_every": 1, "stop_below": 100.0, "longest": 512}
        return kind(str(model), (DataPart(data),), out, optimizer=SMALL, **values, **changes)

    return make


@pytest.mark.parametrize(
    ("make", "run", "judged"),
    [(sft, run_stage, False), (grpo, run_grpo, False), (against(DpoSettings), run_dpo, True)]
    + [(against(KtoSettings), run_kto, True)],
    ids=["sft", "grpo", "dpo", "kto"],
)
def test_a_run_is_the_same_without_with_an_empty_and_with_a_full_cache(
    wide_folder, small_data, preferences, tmp_path, caplog, make, run, judged
):
    data, told = preferences if judged else small_data, []
    for place, kept in enumerate(
        (None, FeatureCacheSettings(tmp_path / "kept"), FeatureCacheSettings(tmp_path / "kept"))
    ):
        settings = make(wide_folder, data, tmp_path / str(place), feature_cache=kept)
        with caplog.at_level(logging.INFO, "training.feature_cache"):
            run(settings)
        told.append(metrics(settings.out))
    assert entries(tmp_path / "kept")
    reports = [one.message for one in caplog.records if one.message.startswith("feature cache: ")]
    assert len(reports) == 2
    assert " 0 added" not in reports[0]
    assert " 0 added" in reports[1]
    for other in told[1:]:
        for line, same in zip(told[0], other, strict=True):
            assert same == pytest.approx(line, rel=1e-4, abs=1e-6)


def test_entries_are_named_by_encoder_settings_and_content(tmp_path):
    picture = torch.arange(48, dtype=torch.uint8).view(3, 4, 4)
    key = picture_key(picture)
    assert key == picture_key(picture.clone())
    assert key != picture_key(picture.view(3, 2, 8))
    assert key != picture_key(picture + 1)
    first = cache(tmp_path)
    first.write(key, torch.ones(2, 3))
    assert first.path(key).relative_to(tmp_path).parts[0].startswith("0123456789abcdef-")
    assert torch.equal(cache(tmp_path).read(key), torch.ones(2, 3))
    assert cache(tmp_path, layer="-2").read(key) is None
    assert cache(tmp_path, encoder="f" * 16).read(key) is None


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-4])


def _foreign(path: Path) -> None:
    save_file({"patches": torch.zeros(2, 3)}, path, metadata={"identity": "another", "key": path.stem})


def _not_finite(path: Path) -> None:
    told = {"identity": json.dumps(IDENTITY, sort_keys=True), "key": path.stem}
    save_file({"patches": torch.full((2, 3), torch.nan)}, path, metadata=told)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (_cut, r"cannot be used \(.+\); it is computed again"),
        (_foreign, "it is of another encoder or picture"),
        (_not_finite, "it holds no finite matrix"),
    ],
)
def test_an_entry_that_is_broken_or_foreign_is_warned_of_and_made_again(tmp_path, caplog, spoil, message):
    kept = cache(tmp_path)
    kept.write("ab" * 16, torch.ones(2, 3))
    spoil(kept.path("ab" * 16))
    assert kept.read("ab" * 16) is None
    (record,) = caplog.records
    assert record.levelname == "WARNING"
    import re

    assert re.search(message, record.message)
    kept.write("ab" * 16, torch.ones(2, 3))
    assert torch.equal(kept.read("ab" * 16), torch.ones(2, 3))


def test_a_full_cache_is_told_once_and_read_on(tmp_path, caplog):
    kept = cache(tmp_path, limit_gb=5e-7)
    for number in range(10):
        kept.write(f"{number:032x}", torch.ones(5, 6))
    assert 0 < len(entries(tmp_path)) < 10
    assert sum(path.stat().st_size for path in entries(tmp_path)) <= 1500
    assert [one.message.split(";")[0] for one in caplog.records] == [
        "feature cache: 0.00 GB are kept, the most that `feature_cache.limit_gb` or the disk allows"
    ]
    assert kept.read(f"{0:032x}") is not None
    assert cache(tmp_path, limit_gb=5e-7, encoder="f" * 16).bytes >= kept.bytes


def test_two_processes_may_write_at_once(tmp_path):
    code = (
        "import sys, torch\n"
        "from pathlib import Path\n"
        "from training.feature_cache import FeatureCache\n"
        "from training.feature_settings import FeatureCacheSettings\n"
        f"kept = FeatureCache(FeatureCacheSettings(Path(sys.argv[1])), {IDENTITY!r})\n"
        "for turn in range(40):\n"
        "    for number in range(5):\n"
        "        kept.write(f'{number:032x}', torch.full((50, 60), float(number)))\n"
        "        assert (kept.read(f'{number:032x}') == number).all()\n"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    running = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    for one in running:
        _, err = one.communicate()
        assert one.returncode == 0, err
        assert "cannot be used" not in err
    assert len(entries(tmp_path)) == 5
    assert not list(tmp_path.rglob("*.partial"))


def test_augmented_pictures_are_not_kept(tmp_path):
    kept = FeatureCacheSettings(tmp_path)
    with pytest.raises(ConfigError, match=r"but `augment` changes them; set augment: null"):
        sft("starter", tmp_path / "a.jsonl", tmp_path, feature_cache=kept, augment=AugmentSettings())
    still = AugmentSettings(0, 0, 0, 0, 0, 0, 0, 0, 0, 0)
    assert not sft("starter", tmp_path / "a.jsonl", tmp_path, feature_cache=kept, augment=still).augmented
    with pytest.raises(ConfigError, match=r"limit_gb is 0; use a number above 0"):
        FeatureCacheSettings(tmp_path, 0)


def test_a_recipe_names_the_folder(tmp_path):
    recipe = tmp_path / "a.yaml"
    recipe.write_text(
        "model: m\ndata: [{path: a.jsonl}]\nout: o\naugment: null\nfeature_cache: {folder: f, limit_gb: 2}\n"
    )
    assert load_recipe(LlavaSettings, recipe).feature_cache == FeatureCacheSettings(Path("f"), 2.0)


def test_kept_features_are_the_towers(wide_folder, small_data, tmp_path):
    settings = sft(wide_folder, small_data, tmp_path / "run", feature_cache=FeatureCacheSettings(tmp_path / "kept"))
    trainer = LlavaTrainer(settings, RunFolder(settings.out, settings))
    pixels = torch.from_numpy(trainer.material.store[[0, 1, 0]])
    first, again = trainer.view(pixels), trainer.view(pixels)
    plain = replace(settings, feature_cache=None, out=tmp_path / "plain")
    tower = LlavaTrainer(plain, RunFolder(plain.out, plain))
    assert torch.allclose(first, tower.packed.features(tower.view(pixels)), atol=1e-6)
    assert torch.equal(first, again)
    assert len(entries(tmp_path / "kept")) == 2
