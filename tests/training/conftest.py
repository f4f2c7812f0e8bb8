"""Small data to ask the tiny random models about, and what training makes of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from data_recipes.schema import Example, read_preferences, write_examples, write_preferences

SMALL = {
    "vocab_size": 40,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "max_position_embeddings": 256,
    "pad_token_id": 0,
}
"""Sizes of a language model without weights, whatever its kind."""


def _small_examples(root: Path, count: int = 6, seed: int = 0) -> list[Example]:
    """Write `count` noise pictures, half called MRI and half X-ray, and make three questions on each."""
    from PIL import Image

    (root / "images").mkdir(parents=True, exist_ok=True)
    examples = []
    for number in range(count):
        name = f"images/{seed}-{number}.png"
        pixels = np.random.default_rng([seed, number]).integers(0, 255, (24, 30, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(root / name)
        scan = number % 2 == 0
        truth = {"modality": "MRI" if scan else "X-ray", "region": "brain" if scan else "chest"}
        truth["brain finding" if scan else "chest finding"] = "glioma" if scan else "normal"
        asked = [
            ("What imaging modality is shown?", truth["modality"], "open", None),
            ("Is there a tumor?", "Yes" if scan else "No", "closed", None),
            (
                "Which is it: glioma, normal or other?",
                "Glioma" if scan else "Normal",
                "choice",
                ("Glioma", "Normal", "Other"),
            ),
        ]
        examples += [
            Example(
                id=f"p{seed}-{number}#{place}",
                images=(name,),
                messages=[{"role": "user", "content": question}, {"role": "assistant", "content": answer}],
                task="vqa",
                answer_type=answer_type,
                choices=choices,
                truth=truth,
                modality=truth["modality"],
                anatomy=truth["region"],
                patient=f"patient {seed}-{number}",
                source="noise",
                licence="CC0-1.0",
            )
            for place, (question, answer, answer_type, choices) in enumerate(asked)
        ]
    return examples


@pytest.fixture(scope="session")
def small_examples() -> Callable[..., list[Example]]:
    """Return a function that writes noise pictures into a folder and makes three examples on each."""
    return _small_examples


@pytest.fixture(scope="session")
def small_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data file of 18 questions on 6 noise pictures."""
    root = tmp_path_factory.mktemp("small")
    write_examples(root / "dev.jsonl", _small_examples(root))
    return root / "dev.jsonl"


class _Stopped(BaseException):
    """A run that is cut short, which nothing on the way must catch."""


@pytest.fixture
def cut_short_and_resume(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Return a function that starts a run, stops it as if killed once a step's state is saved, and resumes it."""
    from training.run_folder import RunFolder

    def cut_short(run: Callable[..., object], settings: object, *, step: int) -> None:
        save = RunFolder.save_state

        def save_and_stop(folder, tensors, numbers):
            save(folder, tensors, numbers)
            if numbers["step"] == step:
                raise _Stopped

        monkeypatch.setattr(RunFolder, "save_state", save_and_stop)
        with pytest.raises(_Stopped):
            run(settings)
        monkeypatch.setattr(RunFolder, "save_state", save)
        run(settings, resume=True)

    return cut_short


@pytest.fixture(scope="session")
def phantom_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data file on four phantoms: questions, captions, reports."""
    from data_recipes.phantom_recipe import build

    root = tmp_path_factory.mktemp("phantoms")
    build(None, root, limit=40)
    return root / "dev.jsonl"


@pytest.fixture(scope="session")
def encoder_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random open_clip folder: 64-pixel pictures of 16 patches, two layers."""
    from assistant.model.openclip import make_openclip_folder
    from training.tokenizer import train_wordpiece

    return make_openclip_folder(
        tmp_path_factory.mktemp("encoder") / "random",
        timm_name="vit_tiny_patch16_224",
        image_size=64,
        embed_dim=16,
        trunk_args={"patch_size": 16, "embed_dim": 32, "depth": 2, "num_heads": 2},
        text_config={
            "hidden_size": 32,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "intermediate_size": 64,
            "max_position_embeddings": 64,
        },
        tokenizer=train_wordpiece(["A glioma in the brain.", "The lungs are clear."], 60),
        context_length=64,
    )


@pytest.fixture(scope="session")
def adapter(wide_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An adapter as training leaves it: every part of it moved."""
    import torch

    from assistant.model.load import load_model
    from assistant.model.save import save_adapter
    from training.adapter import LoraSettings, add_lora

    base = load_model(wide_folder, device="cpu")
    wrapped = add_lora(base.llava, LoraSettings(rank=4), connector=True)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in wrapped.parameters():
            if parameter.requires_grad:
                parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.1)
    return save_adapter(wrapped, base, tmp_path_factory.mktemp("adapter") / "lora")


@pytest.fixture(scope="session")
def reward_pairs(make_data: Callable[..., None], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two files of preferences on reports, of other phantoms each: train.jsonl (80 pairs) and dev.jsonl (30)."""
    from data_recipes.schema import read_preferences, write_preferences

    root = tmp_path_factory.mktemp("reward")
    make_data("phantom", None, root / "phantoms", limit=180, seed=4)
    make_data("preferences", root / "phantoms" / "train.jsonl", root / "all", seed=1)
    every = list(read_preferences(root / "all" / "preferences.jsonl"))
    patients = sorted({one.patient for one in every if one.patient})
    first = set(patients[: 2 * len(patients) // 3])
    for name, most, wanted in (("train", 80, True), ("dev", 30, False)):
        kept = [one for one in every if one.reason == "mentions a prior" and (one.patient in first) is wanted]
        assert len(kept) >= most
        write_preferences(root / "all" / f"{name}.jsonl", kept[:most])
    return root / "all"


@pytest.fixture(scope="session")
def learned_reward(wide_folder: Path, reward_pairs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A reward model, trained on these pairs by LoRA; its run folder is its parent."""
    from training.adapter import LoraSettings
    from training.recipe import OptimizerSettings
    from training.reward_settings import RewardSettings
    from training.reward_trainer import run_reward
    from training.settings import DataPart

    settings = RewardSettings(
        model=str(wide_folder),
        data=(DataPart(reward_pairs / "train.jsonl"),),
        held_out=(reward_pairs / "dev.jsonl",),
        out=tmp_path_factory.mktemp("learned") / "run",
        steps=60,
        pairs=8,
        longest=1000,
        optimizer=OptimizerSettings(lr=3e-3, warmup_steps=2),
        bf16=False,
        report_every=20,
        lora=LoraSettings(rank=4, dropout=0.1),
    )
    return run_reward(settings)


@pytest.fixture(scope="session")
def few_pairs(make_data, tmp_path_factory):
    """Return a function that writes so many pairs on phantoms for each reason, and gives the file."""

    def make(counts: dict[str, int]) -> Path:
        root = tmp_path_factory.mktemp("pairs")
        make_data("phantom", None, root / "phantoms", limit=12, seed=4)
        make_data("preferences", root / "phantoms" / "train.jsonl", root / "all", seed=1)
        every = list(read_preferences(root / "all" / "preferences.jsonl"))
        kept = [one for why, most in counts.items() for one in [pair for pair in every if pair.reason == why][:most]]
        write_preferences(root / "all" / "few.jsonl", kept)
        return root / "all" / "few.jsonl"

    return make
