"""Number formats of the encoder: the same vectors within the gate, the class token alone where nothing else is read."""

from __future__ import annotations

import copy
import json

import numpy as np
import pytest
import torch
from torch.nn import functional

from assistant.engine.features import PictureEncoder
from assistant.errors import ModelError
from assistant.imaging.identity import state_folder
from assistant.model import gate
from assistant.model.encoding import FILE, choose, verdicts, with_encoding, with_text_encoding
from assistant.model.fast_linear import Int8Linear, can_pack
from assistant.model.gate import Verdict, gate_pictures
from assistant.model.load import load_model
from assistant.model.tower import FastImageTower

pytestmark = pytest.mark.skipif(not can_pack(), reason="this torch has no oneDNN")


@pytest.fixture(scope="module")
def starter():
    return load_model("starter", device="cpu")


@pytest.fixture(autouse=True)
def _own_state(tmp_path, monkeypatch):
    monkeypatch.setenv("MEDASSIST_STATE_DIR", str(tmp_path / "state"))


@pytest.mark.parametrize(("kind", "least"), [("float32", 0.999999), ("bfloat16", 0.999), ("int8", 0.999)])
def test_pictures_and_texts_keep_their_vectors(starter, kind, least):
    fast = with_encoding(starter, kind)
    assert (fast.encoding, fast.text.encoding) == (kind, kind)
    pictures = gate_pictures()
    pairs = zip(PictureEncoder(starter).encode(pictures), PictureEncoder(fast).encode(pictures), strict=True)
    for own, other in pairs:
        assert float(own.joint @ other.joint) >= least
        assert functional.cosine_similarity(own.patches.flatten(), other.patches.flatten(), dim=0) >= least
        assert own.patches.dtype == other.patches.dtype
    texts = ["Effusion?", "No effusion is seen in the left lung, and the heart is of normal size.", "x"]
    assert np.sum(starter.text.embed(texts) * fast.text.embed(texts), axis=1).min() >= least


def test_the_models_own_tower_stays_as_it_is(starter):
    before = copy.deepcopy(starter.llava.model.vision_tower.state_dict())
    with_encoding(starter, "int8")
    after = starter.llava.model.vision_tower.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)


@pytest.mark.parametrize("last_layer", [True, False])
def test_the_states_are_those_of_the_model_and_the_last_is_cut_where_only_its_class_token_is_read(
    tiny_model, last_layer
):
    vit = tiny_model.llava.model.vision_tower
    pixels = torch.randn(3, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        wanted = vit(pixels, output_hidden_states=True)
        states, last = FastImageTower(vit, "float32", last_layer=last_layer)(pixels)
    assert len(states) == len(wanted.hidden_states)
    for found, one in zip(states[:-1], wanted.hidden_states[:-1], strict=True):
        torch.testing.assert_close(found, one, rtol=1e-4, atol=1e-5)
    shown = wanted.hidden_states[-1] if last_layer else wanted.hidden_states[-1][:, :1]
    torch.testing.assert_close(states[-1], shown, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(last, wanted.last_hidden_state[:, 0], rtol=1e-4, atol=1e-5)


def test_in_8_bits_a_token_does_not_depend_on_its_neighbours():
    torch.manual_seed(0)
    linear = Int8Linear(torch.randn(8, 16), torch.randn(8))
    loud, quiet = torch.randn(1, 16) * 100, torch.randn(1, 16)
    assert torch.equal(linear(torch.cat((loud, quiet)))[1], linear(quiet)[0])


def test_a_format_that_fails_its_gate_is_refused_with_the_figure(starter, monkeypatch):
    monkeypatch.setattr(gate, "IMAGE_COSINE", 1.1)
    with pytest.raises(ModelError, match=r"'bfloat16'.*cosine 0\.9999\d, at least 1\.1: not kept.*Use auto"):
        with_encoding(starter, "bfloat16")
    assert with_encoding(starter, "auto").encoding == "exact"


def test_auto_takes_the_quickest_of_those_that_pass():
    found = {
        "float32": Verdict("float32", 1.0, 0.999, 1.3),
        "bfloat16": Verdict("bfloat16", 0.9995, 0.999, 4.0),
        "int8": Verdict("int8", 0.99, 0.999, 9.0),
    }
    assert choose("auto", "a tower", found.__getitem__) == "bfloat16"


def test_auto_stays_with_torch_where_nothing_is_much_quicker():
    assert choose("auto", "another", lambda kind: Verdict(kind, 1.0, 0.999, 1.05)) is None


def test_the_gate_runs_once_on_a_machine(starter):
    asked = []

    def measure(kind):
        asked.append(kind)
        return Verdict(kind, 1.0, 0.99, 2.0)

    for _ in range(2):
        assert choose("bfloat16", "a tower", measure) == "bfloat16"
    assert asked == ["bfloat16"]
    stored = json.loads((state_folder() / FILE).read_text())
    assert [list(one) for one in stored.values()] == [["a tower bfloat16"]]


def test_a_file_of_another_version_is_measured_anew():
    choose("bfloat16", "a tower", lambda kind: Verdict(kind, 1.0, 0.99, 2.0))
    file = state_folder() / FILE
    stored = json.loads(file.read_text())
    for one in stored.values():
        one["a tower bfloat16"] = {"old": 1}
    file.write_text(json.dumps(stored))
    with pytest.raises(ModelError, match="does not bear"):
        choose("bfloat16", "a tower", lambda kind: Verdict(kind, 0.5, 0.99, 2.0))


def test_what_the_gate_found_is_told(starter):
    assert verdicts(starter) == []
    told = verdicts(with_encoding(starter, "bfloat16"))
    assert [line.split()[0] for line in told] == ["pictures", "texts"]
    assert all("kept" in line for line in told)


def test_another_activation_is_refused_and_auto_goes_without(starter, monkeypatch):
    monkeypatch.setattr(starter.llava.model.vision_tower.config, "hidden_act", "relu")
    with pytest.raises(ModelError, match="activation is relu, not gelu"):
        with_encoding(starter, "float32")


def test_an_unknown_format_is_named(starter):
    with pytest.raises(ModelError, match="encoding is 'fp16'; use exact, float32"):
        load_model("starter", encoding="fp16")
    with pytest.raises(ModelError, match="encoding is 'half'"):
        with_text_encoding(starter.text, "half", "0")
