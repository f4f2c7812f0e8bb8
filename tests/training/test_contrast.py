"""The encoder's stage, from data to an open_clip folder."""

from __future__ import annotations

import dataclasses
import json
import logging

import pytest
import torch

from assistant.errors import ConfigError, TrainingError
from assistant.model.biomedclip import read_encoder
from assistant.model.openclip import open_openclip
from training.contrast import run
from training.contrast_settings import ContrastSettings, EncoderShape, PhantomSettings, TeacherSettings, describe
from training.recipe import OptimizerSettings
from training.teacher import Teacher

PASSAGES = [
    ("Glioma", "A glioma is a tumour of the brain. On MRI it is bright. It may have a rim."),
    ("Chest X-ray", "The lungs are dark. The heart is bright. A normal chest has clear lungs."),
]


@pytest.fixture(scope="module")
def recipe(small_data, tmp_path_factory):
    """Return a function that makes settings of a run of a few seconds."""
    passages = tmp_path_factory.mktemp("text") / "passages.jsonl"
    passages.write_text("".join(json.dumps({"title": title, "text": text}) + "\n" for title, text in PASSAGES))

    def make(out, **changes) -> ContrastSettings:
        quick = OptimizerSettings(lr=1e-3, warmup_steps=2)
        values = {
            "data": (small_data,),
            "dev": small_data,
            "passages": (passages,),
            "shape": EncoderShape(64, 16, 32, 2, 2, 16, 32, 2, 2, 80),
            "phantoms": PhantomSettings(count=6, share=0.25),
            "teacher": TeacherSettings("test_resnet", steps=2, optimizer=quick),
            "optimizer": quick,
            "steps": 6,
            "batch_size": 8,
            "store_side": 64,
            "average": 0.9,
            "bf16": False,
            "report_every": 2,
        }
        return ContrastSettings(out=out, **{**values, **changes})

    return make


@pytest.fixture(scope="module")
def finished(recipe, tmp_path_factory):
    settings = recipe(tmp_path_factory.mktemp("contrast") / "run")
    run(settings)
    return settings


def metrics(folder):
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return {line.pop("step"): {key: value for key, value in line.items() if key != "time"} for line in lines}


def test_every_loss_and_accuracy_is_reported(finished):
    last = metrics(finished.out)[6]
    assert {"lr", "category", "teacher", "places", "dense", "caption", "text"} <= set(last)
    assert {"dev/modality", "dev/region"} <= set(last)
    assert all(value == value for value in last.values())
    assert set(metrics(finished.out / "teacher")[2]) >= {"loss", "modality"}


def test_the_folder_is_open_clips_own_and_converts_to_equal_embeddings(finished):
    from transformers import AutoTokenizer, BertConfig, BertModel, ViTModel

    clip = open_openclip(finished.out / "encoder")
    start = open_openclip(finished.out / "start")
    assert not torch.equal(clip.visual.trunk.blocks[0].attn.qkv.weight, start.visual.trunk.blocks[0].attn.qkv.weight)
    parts = read_encoder(finished.out / "encoder")
    vision = ViTModel(parts.vision_config, add_pooling_layer=False).eval()
    vision.load_state_dict(parts.vision_state)
    assert isinstance(parts.text_config, BertConfig)
    text = BertModel(parts.text_config, add_pooling_layer=False).eval()
    text.load_state_dict(parts.text_state, strict=False)
    images = torch.randn(2, 3, 64, 64)
    ids = AutoTokenizer.from_pretrained(finished.out / "encoder")(["a glioma"], return_tensors="pt")["input_ids"]
    with torch.inference_mode():
        joint = vision(images).last_hidden_state[:, 0] @ parts.projection["visual.weight"].T
        assert torch.allclose(joint, clip.encode_image(images), atol=1e-5)
        hidden = text(ids).last_hidden_state[:, 0] @ parts.projection["text.0.weight"].T
        hidden = torch.nn.functional.gelu(hidden) @ parts.projection["text.1.weight"].T
        assert torch.allclose(hidden, clip.encode_text(ids), atol=1e-5)


class Stopped(BaseException):
    """Stands for a process that ends at once."""


class StopAt(logging.Handler):
    """Ends a run in the middle of the report of a step, before its state is saved; the teacher's reports pass."""

    def emit(self, record: logging.LogRecord) -> None:
        """Raise at step 4."""
        if record.msg == "step %d %s" and record.args[0] == 4:
            raise Stopped


def test_a_run_that_was_cut_short_ends_as_if_it_had_not(recipe, finished, tmp_path, caplog):
    halves = recipe(tmp_path / "halves")
    logger, handler = logging.getLogger("training.run_folder"), StopAt()
    logger.addHandler(handler)
    with caplog.at_level(logging.INFO, logger.name), pytest.raises(Stopped):
        run(halves)
    logger.removeHandler(handler)
    assert not (halves.out / "encoder").exists()
    with pytest.raises(TrainingError, match="already holds a run"):
        run(halves)
    run(halves, resume=True)
    assert metrics(halves.out) == metrics(finished.out)
    name = "encoder/open_clip_model.safetensors"
    assert (halves.out / name).read_bytes() == (finished.out / name).read_bytes()


def test_a_changed_recipe_is_not_resumed(recipe, finished):
    with pytest.raises(TrainingError, match="cannot be resumed: its recipe changed"):
        run(recipe(finished.out, mixing=0.1), resume=True)


def test_it_goes_on_from_an_encoder_without_teacher_phantoms_or_dev(recipe, finished, tmp_path):
    settings = recipe(
        tmp_path / "more",
        encoder=finished.out / "encoder",
        teacher=None,
        dev=None,
        phantoms=PhantomSettings(count=0),
        steps=2,
        bf16=True,
        average=0.0,
    )
    run(settings)
    (last,) = metrics(settings.out).values()
    assert set(last) == {"lr", "category", "caption", "text"}
    before, after = (open_openclip(one.out / "encoder").visual.trunk for one in (finished, settings))
    assert torch.allclose(before.blocks[0].attn.qkv.weight, after.blocks[0].attn.qkv.weight, atol=0.01)


def test_it_goes_on_from_a_models_encoder_at_another_size(recipe, tiny_folder, tmp_path):
    settings = recipe(tmp_path / "more", encoder=tiny_folder, image_size=64, teacher=None, steps=1)
    run(settings)
    parts = read_encoder(settings.out / "encoder")
    assert (parts.image_size, parts.vision_config.hidden_size) == (64, 32)
    run(dataclasses.replace(settings, out=tmp_path / "again", encoder=settings.out / "encoder", image_size=72))
    assert read_encoder(tmp_path / "again" / "encoder").image_size == 72


def test_a_teacher_begins_with_weights_and_sees_larger_pictures(recipe, tmp_path):
    import timm
    from safetensors.torch import save_file

    trunk = timm.create_model("test_resnet", pretrained=False)
    save_file({name: one.contiguous() for name, one in trunk.state_dict().items()}, tmp_path / "w.safetensors")
    quick = OptimizerSettings(lr=1e-3, warmup_steps=2)
    teacher = TeacherSettings("test_resnet", tmp_path / "w.safetensors", 96, 4, steps=2, optimizer=quick)
    settings = recipe(tmp_path / "run", teacher=teacher, store_side=96, steps=2)
    run(settings)
    assert {"teacher", "places"} <= set(metrics(settings.out)[2])
    begun = Teacher("test_resnet", [2], tmp_path / "w.safetensors").trunk.state_dict()
    assert all(torch.equal(one, trunk.state_dict()[name]) for name, one in begun.items())
    fresh = Teacher("test_resnet", [2]).trunk.state_dict()
    assert any(not torch.equal(one, begun[name]) for name, one in fresh.items())


def test_weights_of_another_network_are_refused(tmp_path):
    from safetensors.torch import save_file

    save_file({"stem.conv.weight": torch.zeros(2, 2)}, tmp_path / "w.safetensors")
    with pytest.raises(TrainingError, match=r"does not fit teacher.arch test_resnet: \d+ tensors differ, the first is"):
        Teacher("test_resnet", [2], tmp_path / "w.safetensors")


def unchanged(first, second):
    """Return the names of the weights that two encoders share."""
    one, other = (open_openclip(run.out / "encoder").state_dict() for run in (first, second))
    return {name for name, weight in one.items() if torch.equal(weight, other[name])}


@pytest.mark.parametrize("frozen", [{"freeze": ("image",)}, {"freeze": ("text",)}, {"freeze_layers": 1}], ids=str)
def test_frozen_parts_stay_as_they_are(recipe, finished, tmp_path, frozen):
    settings = recipe(
        tmp_path / "more", encoder=finished.out / "encoder", teacher=None, steps=2, matching="sigmoid", **frozen
    )
    run(settings)
    same = unchanged(finished, settings)
    image = {name for name in open_openclip(finished.out / "encoder").state_dict() if "visual.trunk" in name}
    text = {
        name for name in open_openclip(finished.out / "encoder").state_dict() if name.startswith("text.transformer")
    }
    first = {name for name in image if ".blocks.1." not in name and ".norm." not in name}
    learned = {"visual.head.proj.weight", *image, *text}
    kept = image if frozen.get("freeze") == ("image",) else text if "freeze" in frozen else first
    assert kept
    assert kept <= same
    assert not (learned - kept) & {name for name in same if name.endswith("qkv.weight") or "proj.weight" in name}


def test_more_layers_than_there_are_cannot_be_frozen(recipe, finished, tmp_path):
    settings = recipe(tmp_path / "more", encoder=finished.out / "encoder", teacher=None, steps=2, freeze_layers=9)
    with pytest.raises(TrainingError, match="freeze_layers is 9, but the image tower has 2 layers"):
        run(settings)


def test_a_dry_run_says_what_would_run(recipe, tmp_path):
    assert describe(recipe(tmp_path / "run")) == (
        "encoder: 6 steps of 8 pictures from 1 file(s) and 6 phantoms, teacher: test_resnet, "
        f"to {tmp_path / 'run' / 'encoder'}"
    )


def test_a_new_encoder_has_its_size_from_its_shape(recipe, tmp_path):
    with pytest.raises(ConfigError, match=r"image_size changes the size of `encoder`; for a new one, set shape.image"):
        recipe(tmp_path / "run", image_size=128)


@pytest.mark.parametrize("changes", [{"steps": 0}, {"batch_size": 1}])
def test_settings_that_cannot_train_are_refused(recipe, tmp_path, changes):
    with pytest.raises(ConfigError, match=r"steps is \d, batch_size \d; use at least 1 and 2"):
        recipe(tmp_path, **changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"matching": "clip"}, "matching is 'clip'; use softmax or sigmoid"),
        ({"freeze": ("vision",)}, r"freeze is \['vision'\]; choose from image, text"),
        ({"freeze_layers": -1}, "freeze_layers is -1; use 0 or more"),
        ({"freeze": ("text",)}, "a new one has learned nothing; set encoder"),
    ],
)
def test_what_cannot_be_matched_or_frozen_is_refused(recipe, tmp_path, changes, message):
    with pytest.raises(ConfigError, match=message):
        recipe(tmp_path, **changes)
