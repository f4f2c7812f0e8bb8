"""What a model knows of pictures: the vote on the kind, the distance, and the file."""

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file
from safetensors.torch import load_file

from assistant.engine.features import PictureFeatures
from assistant.errors import ModelError
from assistant.known import GUARD_NAME, Kinds, KnownPictures, pooled, save_known_pictures


def _unit(rows):
    rows = np.asarray(rows, dtype=np.float32)
    return rows / np.linalg.norm(rows, axis=-1, keepdims=True)


def _features(joint, patch=(0.0, 0.0, 0.0)):
    """Features of a picture of four patches around `patch`."""
    spread = torch.tensor([[1.0], [-1.0], [0.5], [-0.5]])
    return PictureFeatures(torch.tensor(patch) + spread, np.asarray(joint, np.float32))


@pytest.fixture
def kinds():
    """Two kinds over three features: round ones about 0, and ones about (10, 0, 0) that are wide in the second."""
    return Kinds(
        centre=np.zeros(3),
        scale=np.ones(3),
        mean=np.array([[0.0, 0, 0], [10.0, 0, 0]]),
        axes=np.array([[[0.0, 0, 0]], [[0.0, 1, 0]]]),
        variance=np.array([[1.0], [9.0]]),
        rest=np.array([1.0, 1.0]),
    )


@pytest.fixture
def known(kinds):
    rng = np.random.default_rng(0)
    centres = np.eye(2, 8)
    near = [centre + 0.05 * rng.normal(size=(20, 8)) for centre in centres]
    return KnownPictures(_unit(np.concatenate(near)), np.repeat([0, 1], 20), ["CT", "Dermoscopy"], kinds)


def test_a_picture_near_known_ones_gets_their_name(known):
    sight = known.look(_features(_unit([0.0, 1.0, 0.02, 0, 0, 0, 0, 0])))
    assert sight.modality == "Dermoscopy"
    assert sight.probability == pytest.approx(1.0)


def test_a_picture_between_two_kinds_is_not_sure(known):
    assert known.look(_features(_unit([1.0, 1.0, 0, 0, 0, 0, 0, 0]))).probability < 0.9


def test_the_distance_is_measured_on_the_mean_patch(known):
    joint = _unit([1.0, 0, 0, 0, 0, 0, 0, 0])
    assert pooled(_features(joint, (1.0, 2.0, 3.0))).tolist() == [1.0, 2.0, 3.0]
    assert known.look(_features(joint, (0.0, 0.0, 6.0))).distance == pytest.approx(6 / 3**0.5)
    assert known.look(_features(joint, (10.0, 0.0, 0.0))).distance == pytest.approx(0.0, abs=1e-6)


def test_the_distance_counts_in_standard_deviations_of_the_nearest_kind(kinds):
    # Six off along the second feature is two of the second kind's deviations; along the third it is six.
    found = kinds.distance(np.array([[10.0, 6.0, 0.0], [10.0, 0.0, 6.0], [0.0, 6.0, 0.0]]))
    assert found * 3**0.5 == pytest.approx([2.0, 6.0, 6.0])


def test_centre_and_scale_come_first(kinds):
    moved = Kinds(np.full(3, 5.0), np.full(3, 2.0), kinds.mean, kinds.axes, kinds.variance, kinds.rest)
    assert moved.distance(np.array([[5.0, 5.0, 11.0]])) * 3**0.5 == pytest.approx([3.0])


def test_what_is_saved_is_read_again(tmp_path, kinds):
    vectors = _unit(np.random.default_rng(1).normal(size=(4, 8)))
    save_known_pictures(tmp_path, vectors, ["MRI", "CT", "MRI", "CT"], kinds)
    known = KnownPictures.open(tmp_path)
    assert known is not None
    assert known.names == ("CT", "MRI")
    sight = known.look(_features(vectors[0], (0.0, 0.0, 6.0)))
    assert sight.modality == "MRI"
    assert sight.distance == pytest.approx(6 / 3**0.5)


def test_a_folder_without_the_file_has_no_guard(tmp_path):
    assert KnownPictures.open(tmp_path) is None
    assert KnownPictures.open(None) is None


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"modality": np.zeros(2, np.int32)}, r"reference \(4, 8\) for modality \(2,\)"),
        ({"modality": np.array([0, 3, 0, 0], np.int32)}, "names 2 modalities, fewer than it uses"),
        ({"kinds.rest": np.ones(3, np.float32)}, r"parts that do not fit each other: rest \(3,\)"),
        ({"kinds.scale": np.array([1, 0, 1], np.float32)}, "a scale or variance of 0 or less"),
        ({"kinds.mean": np.full((2, 3), np.nan, np.float32)}, "values that are not finite"),
        ({"kinds.mean": None}, "cannot be read.*training.calibrate"),
    ],
)
def test_a_guard_file_that_does_not_fit_is_refused(tmp_path, kinds, changed, said):
    path = save_known_pictures(tmp_path, np.ones((4, 8)), ["MRI", "CT", "MRI", "CT"], kinds)
    # In one type: numpy has no bfloat16.
    parts = {n: (v.float() if v.is_floating_point() else v).numpy() for n, v in load_file(path).items()} | changed
    kept = {name: value for name, value in parts.items() if value is not None}
    save_file(kept, path, metadata={"modalities": '["CT", "MRI"]'})
    with pytest.raises(ModelError, match=said):
        KnownPictures.open(tmp_path)


def test_a_broken_guard_file_is_refused(tmp_path):
    (tmp_path / GUARD_NAME).write_bytes(b"nothing")
    with pytest.raises(ModelError, match="cannot be read"):
        KnownPictures.open(tmp_path)


def test_lists_of_different_length_are_refused(tmp_path, kinds):
    with pytest.raises(ValueError, match="2 vectors for 1 modalities"):
        save_known_pictures(tmp_path, np.ones((2, 4)), ["CT"], kinds)
