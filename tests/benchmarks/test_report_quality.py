import json

from benchmarks.report_quality import auroc, main


def test_templates_marks_and_comparisons_are_held_against_the_truth(capsys):
    assert main(["--count", "8"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["phantoms"] == sum(result["templates"].values()) == 8
    assert result["findings_f1"] > 0.5
    assert result["findings_f1_same_without_checks"]
    assert result["comparisons"]["pairs"] == 2
    assert set(result["templates"]) <= {"chest-xray", "ct-head", "brain-mri", "generic"}


def test_a_score_that_tells_nothing_is_a_half():
    assert auroc([0.9, 0.8], [0.1]) == 1.0
    assert auroc([0.5], [0.5]) == 0.5
    assert auroc([], [0.5]) is None
