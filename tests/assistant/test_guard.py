import numpy as np
import pytest
from safetensors.numpy import save_file

from assistant.errors import ConfigError, ModelError
from assistant.guard import (
    KnownPictures,
    Sight,
    Stop,
    check_familiar,
    check_header,
    check_premise,
    check_prior,
    check_text,
    modality_of,
    premised_modalities,
    save_known_pictures,
)


def _unit(rows):
    rows = np.asarray(rows, dtype=np.float32)
    return rows / np.linalg.norm(rows, axis=-1, keepdims=True)


@pytest.fixture
def known():
    rng = np.random.default_rng(0)
    centres = np.eye(2, 8)
    near = [centre + 0.05 * rng.normal(size=(20, 8)) for centre in centres]
    return KnownPictures(_unit(np.concatenate(near)), np.repeat([0, 1], 20), ["CT", "Dermoscopy"])


def test_a_picture_near_known_ones_is_familiar_and_gets_their_name(known):
    sight = known.look(_unit([0.0, 1.0, 0.02, 0, 0, 0, 0, 0]))
    assert sight.modality == "Dermoscopy"
    assert sight.familiarity > 0.95
    assert sight.probability == pytest.approx(1.0)


def test_a_picture_far_from_all_is_not_familiar(known):
    assert known.look(_unit([0, 0, 0, 0, 0, 0, 0, 1.0])).familiarity < 0.3


def test_a_picture_between_two_kinds_is_not_sure(known):
    assert known.look(_unit([1.0, 1.0, 0, 0, 0, 0, 0, 0])).probability < 0.9


def test_familiarity_is_the_mean_cosine_to_the_five_nearest():
    reference = _unit([[1.0, value] for value in (0, 0.1, 0.2, 0.3, 0.4, 5, 6)])
    sight = KnownPictures(reference, np.zeros(7, int), ["CT"]).look(np.array([1.0, 0.0]))
    assert sight.familiarity == pytest.approx(float(reference[:5, 0].mean()), abs=1e-6)


def test_what_is_saved_is_read_again(tmp_path):
    vectors = _unit(np.random.default_rng(1).normal(size=(4, 8)))
    save_known_pictures(tmp_path, vectors, ["MRI", "CT", "MRI", "CT"])
    known = KnownPictures.open(tmp_path)
    assert known is not None
    assert known.names == ("CT", "MRI")
    assert known.look(vectors[0]).modality == "MRI"


def test_a_folder_without_the_file_has_no_guard(tmp_path):
    assert KnownPictures.open(tmp_path) is None
    assert KnownPictures.open(None) is None


def test_a_broken_guard_file_is_refused(tmp_path):
    path = tmp_path / "guard.safetensors"
    path.write_bytes(b"nothing")
    with pytest.raises(ModelError, match="cannot be read"):
        KnownPictures.open(tmp_path)
    save_file({"reference": np.ones((3, 4), np.float32), "modality": np.zeros(2, np.int32)}, path)
    with pytest.raises(ModelError, match=r"reference \(3, 4\) for modality \(2,\)"):
        KnownPictures.open(tmp_path)
    save_file(
        {"reference": np.ones((2, 4), np.float32), "modality": np.array([0, 3], np.int32)},
        path,
        metadata={"modalities": '["CT"]'},
    )
    with pytest.raises(ModelError, match="names 1 modalities"):
        KnownPictures.open(tmp_path)
    with pytest.raises(ValueError, match="2 vectors for 1 modalities"):
        save_known_pictures(tmp_path, np.ones((2, 4)), ["CT"])


def test_an_unfamiliar_picture_stops_and_says_what_is_known_and_what_helps():
    stop = check_familiar([Sight(0.4, "CT", 1.0)], ["CT", "MRI"], {"ood_threshold": 0.6}, ["biomedclip-mistral"])
    assert stop is not None
    for part in ("unlike anything this model has seen", "0.40, needed 0.60", "CT, MRI", "biomedclip-mistral"):
        assert part in stop.text
    assert check_familiar([Sight(0.7, "CT", 1.0)], ["CT"], {"ood_threshold": 0.6}, []) is None
    assert check_familiar([Sight(0.1, "CT", 1.0)], ["CT"], {}, []) is None


def test_one_strange_picture_among_several_stops():
    sights = [Sight(0.9, "CT", 1.0), Sight(0.1, "CT", 1.0)]
    stop = check_familiar(sights, ["CT"], {"ood_threshold": 0.6}, [])
    assert stop is not None
    assert "At least one of the images" in stop.text


def test_the_header_goes_before_the_looks(make_picture):
    sight = Sight(0.9, "Dermoscopy", 0.99)
    assert modality_of([make_picture(modality="CT")], [sight]) == "CT"
    assert modality_of([make_picture()], [sight]) == "Dermoscopy"
    assert modality_of([make_picture()], [Sight(0.9, "CT", 0.6)]) is None
    assert modality_of([make_picture(modality="CT"), make_picture(modality="MRI")], []) is None
    assert modality_of([], []) is None
    caution = check_header(make_picture(modality="CT"), sight)
    assert caution is not None
    assert "header says CT, but the image looks like Dermoscopy" in caution
    assert check_header(make_picture(), sight) is None
    assert check_header(make_picture(modality="Dermoscopy"), sight) is None


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("Is there a mass in this chest CT?", {"CT"}),
        ("Does this X-ray show a fracture?", {"X-ray"}),
        ("What does the breast ultrasound show?", {"Ultrasound"}),
        ("Is this a CT or an MRI?", set()),
        ("Is this image an MRI?", set()),
        ("What kind of image is this?", set()),
        ("What does pneumonia look like on CT?", set()),
    ],
)
def test_only_what_a_question_takes_for_granted_counts(text, named):
    assert premised_modalities(text) == named


def test_a_premise_worlds_apart_stops_and_a_near_one_is_a_caution():
    assert isinstance(check_premise("Is there a mass in this chest CT?", "Dermoscopy"), Stop)
    assert isinstance(check_premise("Is there a mass in this brain CT?", "MRI"), str)
    assert check_premise("Is there a mass in this brain CT?", "CT") is None
    assert check_premise("Is there a mass in this brain CT?", None) is None


def test_talk_of_a_prior_without_one_is_a_caution():
    for text in (
        "Has the nodule grown?",
        "Any change since the last scan?",
        "Compared to the prior image, is it worse?",
    ):
        assert check_prior(text, 1) is not None
        assert check_prior(text, 2) is None
    assert check_prior("Is the heart enlarged?", 1) is None


def test_an_empty_or_endless_question_is_refused():
    with pytest.raises(ConfigError, match="The question is empty"):
        check_text("  \n")
    with pytest.raises(ConfigError, match="has 5000 characters; at most 4000"):
        check_text("x" * 5000)
