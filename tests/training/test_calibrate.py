"""Calibration: the fit against known answers, the thresholds, and the folder that is written."""

from __future__ import annotations

import json

import numpy as np
import pytest

from assistant.augment import ALTERATIONS, CAPABILITY
from assistant.chat import MedicalAssistant
from assistant.confidence import calibrate as apply
from assistant.known import KnownPictures, Sight
from assistant.model.load import load_model
from data_recipes.schema import write_examples
from training.calibrate import CalibrationSettings, fit_confidence, main
from training.calibration_fit import LEAST_SLOPE, abstention_threshold, cross_fitted, fit_kind, fit_platt
from training.calibration_guard import balanced_sample, fit_kinds, greatest_distance, rejection_report
from training.calibration_views import NAMES
from training.evaluate import read_data
from training.evaluation.answers import Reply
from training.evaluation.items import make_item
from training.evaluation.summary import Prediction
from training.uncertainty import expected_calibration_error


def drawn(count, slope, offset, seed=0):
    """Raw confidences, and outcomes with the probability that a known scaling gives them."""
    rng = np.random.default_rng(seed)
    raw = rng.uniform(0.5, 0.999, count)
    true = 1 / (1 + np.exp(-(slope * np.log(raw / (1 - raw)) + offset)))
    return raw, (rng.random(count) < true).astype(float)


def test_the_fit_finds_a_known_scaling():
    found = fit_platt(*drawn(20000, 0.5, -0.7))
    assert (found.slope, found.offset) == (pytest.approx(0.5, abs=0.03), pytest.approx(-0.7, abs=0.06))


def test_the_assistant_applies_what_was_fitted():
    found = fit_platt(*drawn(200, 0.5, -0.7))
    assert apply(0.8, "open", {"open_a": found.slope, "open_b": found.offset}) == pytest.approx(found([0.8])[0])


def test_the_priors_keep_the_fit_finite():
    all_right = fit_platt([0.9] * 30, [1] * 30)
    assert 0.9 < all_right([0.9])[0] < 1
    assert fit_platt([], []) == fit_platt([0.5], [0.5])


def test_a_surer_answer_never_becomes_less_sure():
    raw, right = drawn(500, 1.0, 0.0)
    assert fit_platt(raw, 1 - right).slope == LEAST_SLOPE


def test_cross_fitting_does_not_use_a_patients_own_answers():
    raw, right = drawn(40, 1.0, 0.0)
    groups = [number // 4 for number in range(40)]
    before = cross_fitted(raw, right, groups)
    changed = right.copy()
    changed[:4] = 1 - changed[:4]
    assert cross_fitted(raw, changed, groups)[:4] == pytest.approx(before[:4])


def test_calibration_lowers_the_error_of_overconfident_answers():
    raw, right = drawn(600, 0.4, -0.5)
    numbers, report = fit_kind(raw, right, list(range(600)), wanted=0.5, most=0.1)
    assert report["cross_fitted"]["ece"] < 0.5 * expected_calibration_error(raw, right)
    assert 0 < report["right_withheld"] <= 0.12 < report["withheld"]
    assert report["accuracy_of_withheld"] < report["accuracy_of_given"]
    assert set(numbers) == {"a", "b", "abstain_below"}


def test_the_threshold_is_what_an_answer_must_be_worth_but_silences_no_more_right_ones_than_allowed():
    sure = np.linspace(0.01, 1.0, 100)
    right = np.ones(100)
    assert abstention_threshold(sure, right, wanted=0.05, most=0.1) == 0.05
    assert abstention_threshold(sure, right, wanted=0.5, most=0.1) == pytest.approx(0.11, abs=1e-3)
    right[:30] = 0
    least = abstention_threshold(sure, right, wanted=0.5, most=0.1)
    assert least == pytest.approx(0.38, abs=1e-3)
    assert right[sure < least].sum() <= 0.1 * right.sum()


def test_what_is_never_right_is_withheld_up_to_what_an_answer_must_be_worth():
    assert abstention_threshold([0.1, 0.3, 0.7], [0, 0, 0], wanted=0.2, most=0.02) == 0.2


def test_too_few_answers_are_not_fitted(small_data):
    items = [make_item(example, root) for root, example in read_data([small_data])]
    rows = [Prediction(item, Reply("Yes", 0.9, "closed", None, 0.0), True) for item in items]
    assert fit_confidence(rows[:5], CalibrationSettings()) == (
        {},
        {"closed": {"answers": 5, "fitted": False}, "open": {"answers": 0, "fitted": False},
         "report": {"answers": 0, "fitted": False}},
    )  # fmt: skip


def test_the_sample_holds_small_sources_whole(tmp_path):
    many = [(tmp_path / f"a{number}", "MRI", "big") for number in range(50)]
    few = [(tmp_path / f"b{number}", "CT", "small") for number in range(3)]
    sample = balanced_sample([*many, *few], 10)
    assert len(sample) == 10
    assert {shown for shown in sample if shown[2] == "small"} == set(few)


def test_hardly_any_development_picture_is_rejected():
    sights = [Sight(value, "MRI", 1.0) for value in np.linspace(0.5, 0.99, 50)]
    threshold = greatest_distance(sights, 0.02)
    assert sum(sight.distance > threshold for sight in sights) == 1
    pictures = [(None, "MRI", "s")] * 49 + [(None, "CT", "s")]
    report = rejection_report(sights, pictures, threshold, ["MRI"])
    assert report["rejected"] == 0.02
    assert report["by_modality"]["CT"] == {"pictures": 1, "rejected": 1, "known": False}


def test_each_kind_reaches_as_far_as_nine_in_ten_of_its_own():
    rng = np.random.default_rng(0)
    wide = rng.normal(size=(200, 6)) * np.array([9, 3, 1, 1, 1, 1])
    narrow = 40 + 0.1 * rng.normal(size=(100, 6))
    kinds = fit_kinds(np.concatenate([wide, narrow]), ["wide"] * 200 + ["narrow"] * 100)
    for part in (wide, narrow):
        assert np.mean(kinds.distance(part) <= 1) == pytest.approx(0.9, abs=0.011)
    # Far along the wide kind's own directions is less strange than as far across them.
    along, across = kinds.distance(np.array([[12.0, 0, 0, 0, 0, 0], [0, 0, 0, 0, 0, 12.0]]))
    assert along < 2 < across


def test_a_kind_of_one_picture_has_some_width():
    kinds = fit_kinds(np.array([[0.0, 0], [1, 2], [2, 1], [1, 1], [2, 2], [9, 9]]), ["CT"] * 5 + ["MRI"])
    assert kinds.misfit() is None
    assert kinds.distance(np.array([[9.0, 9.0]]))[0] == pytest.approx(0, abs=1e-3)


@pytest.fixture(scope="module")
def calibrated(tiny_folder, small_data, small_examples, tmp_path_factory):
    """A calibrated copy of the tiny model, made by the command, and the command's own report."""
    import contextlib
    import io

    root = tmp_path_factory.mktemp("calibrated")
    write_examples(root / "train.jsonl", small_examples(root, count=8, seed=1))
    write_examples(root / "more.jsonl", small_examples(root, count=24, seed=2))
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        code = main(
            ["--model", str(tiny_folder), "--data", str(root / "more.jsonl"), "--known", str(root / "train.jsonl"),
             "--unlike", str(small_data), "--out", str(root / "model"), "--most-rejected", "0.1"]
        )  # fmt: skip
    assert code == 0
    return root / "model", json.loads(out.getvalue())


def test_the_folder_loads_and_carries_the_numbers(calibrated, tiny_folder):
    folder, report = calibrated
    model = load_model(folder, device="cpu")
    assert model.contract.calibration == report["calibration"]
    assert {"closed_a", "closed_b", "abstain_below_closed", "ood_distance"} <= set(model.contract.calibration)
    assert (folder / "model.safetensors").read_bytes() == (tiny_folder / "model.safetensors").read_bytes()


def test_the_guard_knows_the_training_pictures(calibrated, small_data):
    folder, report = calibrated
    known = KnownPictures.open(folder)
    assert known.names == ("MRI", "X-ray")
    assert report["guard"]["modalities"] == {"MRI": 4, "X-ray": 4}
    assert report["guard"]["dev"]["rejected"] <= 0.1
    assert report["guard"]["unlike"]["pictures"] == 6
    assert MedicalAssistant(load_model(folder, device="cpu"))._known is not None


def test_a_folder_in_the_way_is_refused(tiny_folder, small_data, capsys):
    assert main(["--model", str(tiny_folder), "--data", str(small_data), "--out", str(tiny_folder)]) == 2
    assert "exists already" in capsys.readouterr().err


def test_shares_beyond_one_are_refused():
    with pytest.raises(Exception, match=r"most_withheld is 1\.5; use a share"):
        CalibrationSettings(most_withheld=1.5)


def test_views_are_chosen_by_what_is_right_and_kept_in_the_contract(tiny_folder, small_data, tmp_path, capsys):
    words = ["--model", str(tiny_folder), "--data", str(small_data)]
    assert main([*words, "--views", "auto", "--out", str(tmp_path / "auto")]) == 0
    report = json.loads(capsys.readouterr().out)
    right = report["views"]["right"]
    assert set(right) == {"none", "flip", "zoom", "flip zoom"}
    assert right[report["views"]["taken"]] == max(right.values())
    assert main([*words, "--views", "zoom", "flip", "--out", str(tmp_path / "both")]) == 0
    assert load_model(tmp_path / "both").contract.capabilities[CAPABILITY] == "flip zoom"
    again = ["--model", str(tmp_path / "both"), "--data", str(small_data)]
    assert main([*again, "--out", str(tmp_path / "kept")]) == 0
    assert load_model(tmp_path / "kept").contract.capabilities[CAPABILITY] == "flip zoom"
    assert main([*again, "--views", "none", "--out", str(tmp_path / "none")]) == 0
    assert load_model(tmp_path / "none").contract.capabilities == load_model(tiny_folder).contract.capabilities


def test_views_that_cannot_be_chosen_are_refused(tiny_folder, small_data, tmp_path, capsys):
    words = ["--model", str(tiny_folder), "--data", str(small_data), "--out", str(tmp_path / "out")]
    assert main([*words, "--views", "auto", "flip"]) == 2
    assert "--views auto flip: auto and none stand alone." in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
    assert set(NAMES) == set(ALTERATIONS)
