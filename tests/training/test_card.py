"""The model card: every number in it comes from the contract and the metrics."""

from __future__ import annotations

import json
import shutil

import pytest

from assistant.errors import DataError
from training.card import main, read_metrics, render_card
from training.evaluate import evaluate, write_results


@pytest.fixture(scope="module")
def measured(tiny_folder, phantom_data, tmp_path_factory):
    """Metrics of the tiny model on four phantoms, as a file."""
    out = tmp_path_factory.mktemp("scores")
    write_results(out, *evaluate(str(tiny_folder), [phantom_data], limit=10))
    return out / "metrics.json"


def test_the_card_quotes_contract_and_scores(tiny_folder, measured, tmp_path, capsys):
    card = tmp_path / "README.md"
    assert main(["--model", str(tiny_folder), "--metrics", str(measured), "--out", str(card)]) == 0
    text = card.read_text()
    metrics = json.loads(measured.read_text())
    assert metrics["model"]["fingerprint"] in text
    assert "not for clinical use" in text
    first = metrics["highlights"][0]
    assert f"| {first['name']} | {first['n']} | {100 * first['value']:.1f} %" in text
    assert metrics["data"]["files"][0]["sha256"] in text
    assert str(tmp_path) not in text


def test_the_card_tells_when_it_abstains_and_what_is_weak(tiny_model, measured):
    metrics = read_metrics(measured)
    metrics["highlights"] = [
        {"name": "Shades", "n": 12, "value": 0.52, "low": 0.4, "high": 0.6, "commonest_answer": 0.5},
        {"name": "Shapes", "n": 120, "value": 0.9, "low": 0.8, "high": 0.95, "commonest_answer": 0.5},
    ]
    contract = tiny_model.contract.replace(calibration={"abstain_below_closed": 0.45, "ood_distance": 1.6})
    text = render_card(contract, tiny_model.fingerprint, [metrics], 1.0)
    assert "abstains on closed answers under 0.45, and on images further than 1.60 from the known kinds" in text
    assert "Shades: hardly better than always giving the commonest answer (52 % against 50 %)" in text
    assert "rough: Shades (12)." in text
    assert "Shapes: hardly" not in text


def test_each_measurement_has_a_table_of_its_own(tiny_folder, measured, tmp_path):
    metrics = read_metrics(measured)
    files = [{"file": "reports.jsonl", "sha256": "0" * 16}]
    settings = {**metrics["settings"], "limit": None}
    other = {**metrics, "data": {**metrics["data"], "files": files}, "settings": settings}
    other["highlights"] = [{**metrics["highlights"][0], "n": 4321}]
    (tmp_path / "metrics.json").write_text(json.dumps(other))
    card = tmp_path / "README.md"
    arguments = ["--model", str(tiny_folder), "--metrics", str(measured), str(tmp_path / "metrics.json")]
    assert main([*arguments, "--out", str(card)]) == 0
    text, one = card.read_text(), metrics["highlights"][0]
    first, second = text.index(f"On {metrics['data']['files'][0]['file']}:"), text.index("On reports.jsonl:")
    assert first < text.index(f"| {one['name']} | {one['n']} |") < second < text.index(f"| {one['name']} | 4321 |")
    assert "--data reports.jsonl --out DIR2\n" in text
    assert "--limit 10 --out DIR1\n" in text
    assert "--metrics DIR1/metrics.json DIR2/metrics.json" in text


def test_scores_of_another_model_are_refused(tiny_folder, measured, tmp_path, capsys):
    other = tmp_path / "model"
    shutil.copytree(tiny_folder, other)
    contract = json.loads((other / "contract.json").read_text())
    (other / "contract.json").write_text(json.dumps({**contract, "created": "2001-01-01"}))
    assert main(["--model", str(other), "--metrics", str(measured), "--out", str(tmp_path / "README.md")]) == 2
    assert "Measure it again" in capsys.readouterr().err
    assert not (tmp_path / "README.md").exists()


def test_a_file_that_is_no_metrics_is_refused(tmp_path):
    (tmp_path / "metrics.json").write_text("{}")
    with pytest.raises(DataError, match=r"metrics\.json has no model, data, overall, highlights"):
        read_metrics(tmp_path / "metrics.json")
    with pytest.raises(DataError, match="cannot be read"):
        read_metrics(tmp_path / "absent.json")
