"""Training connector and language model: the loss, what moves, and what is written."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path

import pytest
import torch
from torch.nn import functional as F

from assistant.errors import ConfigError, DataError, TrainingError
from assistant.model.load import load_model
from data_recipes.schema import read_examples, write_examples
from training.adapter import LoraSettings
from training.augment_settings import AugmentSettings
from training.dataset import IGNORED, collate, make_pack
from training.llava import LlavaTrainer, answer_weights, run_stage
from training.loop import Loop
from training.packed import answer_numbers
from training.recipe import OptimizerSettings
from training.run_folder import RunFolder
from training.settings import DataPart, LlavaSettings

NO_AUGMENT = AugmentSettings(0, 0, 0, 0, 0, 0, 0, 0, 0, 0)


@pytest.fixture(scope="module")
def eight(phantom_data, tmp_path_factory):
    """Eight questions on phantoms, two of each of four."""
    folder = tmp_path_factory.mktemp("eight")
    shutil.copytree(phantom_data.parent / "images", folder / "images")
    short = [one for one in read_examples(phantom_data) if one.task == "vqa" and len(one.images) == 1]
    chosen = [one for patient in sorted({one.patient for one in short}) for one in short if one.patient == patient]
    by_patient: dict[str | None, int] = {}
    kept = []
    for one in chosen:
        by_patient[one.patient] = by_patient.get(one.patient, 0) + 1
        kept += [one] if by_patient[one.patient] <= 2 else []
    assert len(kept) == 8
    write_examples(folder / "train.jsonl", kept)
    return folder / "train.jsonl"


def settings(model: Path, file: Path, out: Path, **changes) -> LlavaSettings:
    values = {
        "model": str(model),
        "data": (DataPart(file),),
        "out": out,
        "steps": 6,
        "pictures": 4,
        "questions": 2,
        "augment": NO_AUGMENT,
        "optimizer": OptimizerSettings(lr=3e-3, warmup_steps=2),
        "bf16": False,
        "store_side": 32,
        "report_every": 2,
    }
    return LlavaSettings(**{**values, **changes})


@pytest.fixture
def trainer(tiny_folder, eight, tmp_path):
    chosen = settings(tiny_folder, eight, tmp_path / "run")
    return LlavaTrainer(chosen, RunFolder(chosen.out, chosen))


@pytest.mark.parametrize("power", [0.0, 0.5, 1.0])
def test_a_pack_costs_what_its_examples_cost_one_by_one_in_the_stock_model(trainer, power):
    object.__setattr__(trainer.settings, "length_power", power)
    llava, image_id = trainer.loaded.llava, trainer.tokens.image_id
    groups = trainer.material.groups[:3]
    images = torch.rand(3, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    pixels = (images - trainer.packed.mean) / trainer.packed.std
    total, weights = 0.0, 0.0
    with torch.no_grad():
        for group, image in zip(groups, pixels, strict=True):
            for one in group.questions:
                ids = torch.tensor([[*one.prompt, *one.answer]])
                logits = llava(input_ids=ids, pixel_values=image[None], attention_mask=torch.ones_like(ids)).logits
                answer = torch.tensor(one.answer)
                loss = F.cross_entropy(logits[0, len(one.prompt) - 1 : -1], answer)
                total += loss.item() * len(answer) ** power
                weights += len(answer) ** power
        batch = collate([make_pack(group.questions, image_id, 400) for group in groups], pad_id=0)
        packed = trainer.loss(batch, images).item()
    assert packed == pytest.approx(total / weights, rel=1e-5)


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="compiling needs g++")
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf")
def test_compiled_layers_give_the_same_loss_and_gradient(tiny_folder, eight, tmp_path):
    found = []
    for compiled in (False, True):
        chosen = settings(tiny_folder, eight, tmp_path / f"run{compiled}", compile=compiled)
        trainer = LlavaTrainer(chosen, RunFolder(chosen.out, chosen))
        loss = trainer.loss(*trainer.material.draw(32, torch.Generator().manual_seed(0))[0])
        loss.backward()
        found.append((loss.item(), trainer.loaded.llava.model.multi_modal_projector.linear_1.weight.grad))
    assert found[0][0] == pytest.approx(found[1][0], rel=1e-4)
    assert torch.allclose(found[0][1], found[1][1], rtol=1e-3, atol=1e-6)


def test_a_question_does_not_see_its_neighbours(trainer):
    pack = make_pack(trainer.material.groups[0].questions, trainer.tokens.image_id, 400)
    batch = collate([pack], pad_id=0)
    images = torch.rand(1, 3, 32, 32)

    def loss(changed: int) -> float:
        """Return the loss of the watched branch's answer after all words of another were made the same."""
        batch.ids[0] = torch.where(pack.branch == changed, 21, pack.ids)
        with torch.no_grad():
            return trainer.loss(batch, images).item()

    for watched, other in ((1, 2), (2, 1)):
        batch.labels[0] = torch.where(pack.branch == watched, pack.labels, IGNORED)
        assert loss(changed=other) == pytest.approx(loss(changed=-1), abs=1e-6)
        before = loss(changed=-1)
        assert abs(loss(changed=watched) - before) > 1e-3


def test_the_picture_decides(trainer):
    ((batch, images),) = trainer.material.draw(32, torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert abs(trainer.loss(batch, images) - trainer.loss(batch, images.flip(0))) > 1e-4


@pytest.mark.parametrize("parts", [2, 3, 4])
def test_a_step_in_parts_is_the_whole_step(tiny_folder, eight, tmp_path, parts):
    found = []
    for accumulate in (1, parts):
        chosen = settings(tiny_folder, eight, tmp_path / f"run{accumulate}", accumulate=accumulate, dropout=0.0)
        trainer = LlavaTrainer(chosen, RunFolder(chosen.out, chosen))
        drawn = trainer.material.draw(32, torch.Generator().manual_seed(0))
        assert len(drawn) == accumulate
        gradients = {}
        loop = Loop(trainer.network, chosen.optimizer, steps=6, seed=0)
        loop.optimizers["optimizer"].register_step_pre_hook(
            lambda *_, network=trainer.network, kept=gradients: kept.update(
                {name: one.grad.clone() for name, one in network.named_parameters() if one.grad is not None}
            )
        )
        found.append((trainer.step(loop, drawn), gradients))
    assert found[0][0] == pytest.approx(found[1][0], rel=1e-5)
    assert found[0][1]
    for name, one in found[0][1].items():
        assert torch.allclose(one, found[1][1][name], rtol=1e-4, atol=1e-6), name


def test_more_parts_than_pictures_are_refused(tiny_folder, eight, tmp_path):
    with pytest.raises(ConfigError, match="accumulate is 5; use 1 to 4, the pictures of a step"):
        settings(tiny_folder, eight, tmp_path, accumulate=5)


def test_an_answer_weighs_its_length_to_the_power():
    numbers = torch.tensor([0, 0, 1, 2, 2, 2, 2])
    halves = [2**-0.5] * 2 + [1.0] + [4**-0.5] * 4
    assert answer_weights(numbers, 0.5).tolist() == pytest.approx(halves)
    assert answer_weights(numbers, 0.0).tolist() == pytest.approx([0.5, 0.5, 1, *[0.25] * 4])


def test_tokens_are_numbered_by_their_answer(trainer):
    groups = trainer.material.groups[:2]
    batch = collate([make_pack(group.questions, trainer.tokens.image_id, 400) for group in groups], pad_id=0)
    answers = [one.answer for group in groups for one in group.questions]
    assert answer_numbers(batch).tolist() == [number for number, one in enumerate(answers) for _ in one]
    assert trainer.packed.targets(batch).tolist() == [token for one in answers for token in one]


def test_eight_questions_are_learned_by_heart_and_the_image_tower_stays(tiny_folder, eight, tmp_path):
    chosen = settings(
        tiny_folder, eight, tmp_path / "run", steps=60, optimizer=OptimizerSettings(lr=3e-3, warmup_steps=5)
    )
    trainer = LlavaTrainer(chosen, RunFolder(chosen.out, chosen))
    whole = collate([make_pack(g.questions, trainer.tokens.image_id, 400) for g in trainer.material.groups], pad_id=0)
    rows = [trainer.material.row[group.images[0]] for group in trainer.material.groups]
    images = torch.from_numpy(trainer.material.store[rows]).float() / 255
    before = {name: one.clone() for name, one in trainer.loaded.llava.state_dict().items()}
    with torch.no_grad():
        start = trainer.loss(whole, images).item()
    trainer.run(resume=False)
    with torch.no_grad():
        end = trainer.loss(whole, images).item()
    assert end < 0.2 * start
    moved = {name for name, one in trainer.loaded.llava.state_dict().items() if not torch.equal(one, before[name])}
    assert not [name for name in moved if "vision_tower" in name]
    assert [name for name in moved if "multi_modal_projector" in name]
    assert [name for name in moved if "language_model" in name]
    opened = load_model(chosen.out / "model", device="cpu")
    assert torch.equal(opened.llava.lm_head.weight, trainer.loaded.llava.lm_head.weight)


def test_only_what_is_named_is_trained(tiny_folder, eight, tmp_path):
    chosen = settings(tiny_folder, eight, tmp_path / "run", train=("connector",))
    trainer = LlavaTrainer(chosen, RunFolder(chosen.out, chosen))
    names = [name for name, one in trainer.network.named_parameters() if one.requires_grad]
    assert names
    assert all("multi_modal_projector" in name for name in names)


class Stopped(BaseException):
    """Stands for a process that ends at once."""


class StopAt(logging.Handler):
    """Ends a run in the middle of the report of a step, before its state is saved."""

    def __init__(self, step: int) -> None:
        super().__init__()
        self.step = step

    def emit(self, record: logging.LogRecord) -> None:
        """Raise at the step."""
        if record.msg == "step %d %s" and record.args[0] == self.step:
            raise Stopped


def losses(folder: Path) -> dict[int, float]:
    import json

    lines = (json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines())
    return {line["step"]: line["loss"] for line in lines}


@pytest.mark.parametrize("lora", [None, LoraSettings(rank=2, dropout=0.2)], ids=["whole", "lora"])
def test_a_run_that_was_cut_short_ends_as_if_it_had_not(tiny_folder, eight, tmp_path, caplog, lora):
    changes = {"augment": AugmentSettings(), "dropout": 0.2, "average": 0.9, "lora": lora}
    whole = settings(tiny_folder, eight, tmp_path / "whole", **changes)
    halves = settings(tiny_folder, eight, tmp_path / "halves", **changes)
    run_stage(whole)
    logger, handler = logging.getLogger("training.run_folder"), StopAt(4)
    logger.addHandler(handler)
    with caplog.at_level(logging.INFO, logger.name), pytest.raises(Stopped):
        run_stage(halves)
    logger.removeHandler(handler)
    assert not (halves.out / "model").exists()
    run_stage(halves, resume=True)
    assert losses(whole.out) == losses(halves.out)
    weights = "adapter_model.safetensors" if lora else "model.safetensors"
    assert (whole.out / "model" / weights).read_bytes() == (halves.out / "model" / weights).read_bytes()
    with pytest.raises(TrainingError, match="cannot be resumed: its recipe changed"):
        run_stage(settings(tiny_folder, eight, halves.out, **{**changes, "dropout": 0.0}), resume=True)


def test_lora_leaves_the_base_alone_and_loads_on_it(tiny_folder, eight, tmp_path):
    chosen = settings(tiny_folder, eight, tmp_path / "run", lora=LoraSettings(rank=4), steps=3)
    trainer = LlavaTrainer(chosen, RunFolder(chosen.out, chosen))
    before = {name: one.clone() for name, one in trainer.network.state_dict().items()}
    trained = {name for name, one in trainer.network.named_parameters() if one.requires_grad}
    out = trainer.run(resume=False)
    moved = {name for name, one in trainer.network.state_dict().items() if not torch.equal(one, before[name])}
    assert moved == trained
    assert all("lora_" in name or "modules_to_save" in name for name in trained)
    assert not [name for name in trained if "vision_tower" in name]
    opened = load_model(out, device="cpu")
    assert opened.contract.base is not None
    ((batch, images),) = trainer.material.draw(32, torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected = trainer.loss(batch, images)
        trainer.loaded = trainer.packed.loaded = opened
        assert trainer.loss(batch, images) == pytest.approx(expected.item(), abs=1e-5)


def test_files_share_the_draws_by_weight(tiny_folder, eight, small_data, tmp_path):
    parts = (DataPart(eight, 3.0), DataPart(small_data, 1.0))
    chosen = settings(tiny_folder, eight, tmp_path / "run", data=parts)
    material = LlavaTrainer(chosen, RunFolder(chosen.out, chosen)).material
    assert len(material.groups) == 4 + 6
    assert material.weights[:4].sum().item() == pytest.approx(3.0)
    assert material.weights[4:].sum().item() == pytest.approx(1.0)


def test_a_file_without_examples_is_refused(tiny_folder, eight, tmp_path):
    empty = tmp_path / "empty.jsonl"
    empty.write_text("")
    with pytest.raises(DataError, match=r"empty\.jsonl holds no examples; build it again"):
        run_stage(settings(tiny_folder, eight, tmp_path / "run", data=(DataPart(empty),)))
