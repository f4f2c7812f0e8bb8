"""What must not get slower unnoticed: counted, not timed, so that a busy machine gives the same result.

Each count stands at what it is today; a loss of a fifth fails. Where only time tells, ways are compared with each
other in CPU time, with a margin that is far wider than what load can do.
"""

from __future__ import annotations

import io
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from pydicom.data import get_testdata_file
from torch.utils._python_dispatch import TorchDispatchMode

import app
from assistant.chat import MedicalAssistant
from assistant.config import GenerationConfig
from assistant.conversation import Question, ReportRequest
from assistant.engine.features import PictureEncoder
from assistant.imaging import load as door
from assistant.imaging.load import load_picture
from assistant.model.fast_linear import can_pack
from assistant.model.gate import gate_pictures
from assistant.model.load import load_model
from assistant.model.tower import FastImageTower, FastTextTower
from benchmarks.loading_rows import dicom_bytes, ours, radiograph, with_pydicom
from benchmarks.suite import side_by_side
from retrieval.encoder import ModelEncoder
from retrieval.vectors import VectorFile

HELP_MODULES = 79
"""Modules that `--help` imports, Python's own included; most are Python's start."""
HEAVY = ("torch", "numpy", "transformers", "gradio", "PIL", "pydicom", "faiss", "yaml", "pydantic", "fastapi")


@pytest.fixture(scope="module")
def starter():
    return load_model("starter", device="cpu")


class Ops(TorchDispatchMode):
    """Counts what torch is asked to do."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: Counter[str] = Counter()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.seen[func.overloadpacket._qualified_op_name] += 1
        return func(*args, **(kwargs or {}))


def test_help_imports_little_and_nothing_heavy():
    told = subprocess.run(
        [sys.executable, "-X", "importtime", app.__file__, "--help"], capture_output=True, text=True, check=True
    )
    names = [line.rsplit("|", 1)[1].strip() for line in told.stderr.splitlines() if line.startswith("import time:")]
    assert not {name.partition(".")[0] for name in names} & set(HEAVY)
    assert len(names) <= 1.2 * HELP_MODULES


def test_a_picture_goes_through_the_tower_once_for_questions_search_and_report(starter):
    picture = gate_pictures()[0]
    asked = ["What kind of image is this?", "Which side?"]
    for views in (1, 3):
        assistant = MedicalAssistant(starter, settings=GenerationConfig(augment=views > 1))
        for text in (*asked, "Is there an effusion?", "Is there a mass?"):
            assistant.answer(Question(text, (picture,)))
        assistant.report(ReportRequest((picture,)))
        ModelEncoder(starter, assistant._encoder).embed_images([picture])
        assert assistant._encoder.passes == views  # mirrored and cut ones once, too


def test_pictures_go_through_the_tower_in_full_batches(starter):
    passes = []
    handle = starter.llava.model.vision_tower.embeddings.register_forward_pre_hook(
        lambda _, seen: passes.append(len(seen[0]))
    )
    try:
        shown = [one for one in gate_pictures() for _ in range(2)]
        PictureEncoder(starter, batch_size=4).encode(shown)
    finally:
        handle.remove()
    assert sum(passes) == len({one.content_id for one in shown})
    assert len(passes) == -(-sum(passes) // 4)


def test_texts_are_padded_to_their_like_and_not_to_the_longest(starter):
    read = []
    handle = starter.text.bert.register_forward_pre_hook(
        lambda _, args, named: read.append(named["input_ids"].numel()), with_kwargs=True
    )
    texts = [" ".join(["effusion"] * (1 + number % 40)) for number in range(256)]
    needed = sum(len(one) for one in starter.text.tokenizer(texts)["input_ids"])
    try:
        starter.text.embed(texts)
    finally:
        handle.remove()
    # Of 256 texts in four batches 1.23 tokens are read for each; padded to the longest it would be 1.93.
    assert sum(read) <= 1.2 * 1.23 * needed


@pytest.mark.skipif(not can_pack(), reason="this torch has no oneDNN")
def test_a_fast_tower_takes_few_steps(starter):
    vit, bert = starter.llava.model.vision_tower, starter.text.bert
    layers = len(vit.layers)
    with torch.inference_mode(), Ops() as counted:
        FastImageTower(vit, "bfloat16")(torch.zeros(1, 3, *[vit.config.image_size] * 2))
    packing = 4 * layers + 2
    assert counted.seen["mkldnn::_reorder_linear_weight"] == packing
    assert counted.seen["mkldnn::_linear_pointwise"] == packing
    assert counted.seen["aten::gelu"] == 0
    tower = FastTextTower(bert, "bfloat16")
    with torch.inference_mode(), Ops() as counted:
        tower(torch.ones(2, 8, dtype=torch.long), torch.ones(2, 8, dtype=torch.long))
    assert counted.seen["mkldnn::_linear_pointwise"] == 4 * len(bert.encoder.layer) + 1
    assert counted.seen["mkldnn::_reorder_linear_weight"] == 0


def test_one_frame_of_many_is_read_and_not_the_file():
    data = Path(get_testdata_file("examples_ybr_color.dcm", download=False)).read_bytes()

    class Counted(io.BytesIO):
        taken = 0

        def read(self, size=-1, /):
            found = super().read(size)
            Counted.taken += len(found)
            return found

    door._read("x", Counted(data), 5, None, 10**8, None, b"")
    assert Counted.taken < 1.2 * 46_193  # of 224,902 bytes; 30 frames


def test_a_large_jpeg_is_decoded_at_a_fraction_of_its_pixels(monkeypatch):
    decoded = []
    whole = Image.Image.load
    monkeypatch.setattr(Image.Image, "load", lambda self: decoded.append(self.width * self.height) or whole(self))
    grey = (radiograph(1600, 1280) >> 4).astype(np.uint8)
    stream = io.BytesIO()
    Image.fromarray(grey).save(stream, "JPEG")
    decoded.clear()
    load_picture(stream.getvalue(), max_side=400)
    assert decoded[0] <= grey.size / 16


def test_a_large_radiograph_is_read_several_times_faster_than_by_float64():
    data = dicom_bytes(radiograph(2560, 2048), rle=False)
    slow, fast = side_by_side(lambda: with_pydicom(data), lambda: ours(data), repeats=3, clock=_cpu)
    assert slow / fast >= 4  # 10 and more on an idle machine


def test_search_is_several_times_faster_than_scoring_and_sorting_all():
    rng = np.random.default_rng(0)
    vectors = rng.standard_normal((20_000, 512), dtype=np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    file = VectorFile.build(vectors, np.arange(len(vectors)))
    slow, fast = side_by_side(
        lambda: np.argsort(-(vectors[:64] @ vectors.T), axis=1)[:, :10],
        lambda: file.search_many(vectors[:64], 10),
        repeats=3, clock=_cpu,
    )  # fmt: skip
    assert file._fast is not None
    assert slow / fast >= 1.5  # 7 and more on an idle machine


def _cpu() -> float:
    import time

    return time.process_time()
