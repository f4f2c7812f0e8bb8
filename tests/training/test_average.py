"""Averaged weights: the mean, what must agree, and the command."""

from __future__ import annotations

import pytest
import torch

from assistant.errors import ConfigError, ModelError
from assistant.model.load import load_model
from assistant.model.save import save_model
from training.average import average_models, main


@pytest.fixture
def moved(wide_folder, tmp_path):
    """The same model with every weight one higher."""
    model = load_model(wide_folder)
    with torch.no_grad():
        for one in model.llava.model.multi_modal_projector.parameters():
            one.add_(1.0)
    return save_model(model, tmp_path / "moved")


def connector(folder):
    return torch.cat([one.flatten() for one in load_model(folder).llava.model.multi_modal_projector.parameters()])


@pytest.mark.parametrize(("weights", "share"), [(None, 0.5), ([3.0, 1.0], 0.25), ([0.0, 2.0], 1.0)])
def test_the_mean_is_written(wide_folder, moved, tmp_path, weights, share):
    out = average_models([wide_folder, moved], tmp_path / "out", weights)
    assert torch.allclose(connector(out), connector(wide_folder) + share, atol=1e-6)
    first, mean = (load_model(folder).llava.model.language_model for folder in (wide_folder, out))
    assert all(torch.equal(one, other) for one, other in zip(first.parameters(), mean.parameters(), strict=True))


def test_models_that_differ_in_more_than_weights_are_refused(wide_folder, tiny_folder, tmp_path):
    with pytest.raises(ModelError, match="cannot be averaged: they differ in"):
        average_models([wide_folder, tiny_folder], tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("weights", [[1.0], [1.0, -1.0], [0.0, 0.0]])
def test_weights_must_fit(wide_folder, tmp_path, weights):
    with pytest.raises(ConfigError, match="give two models or more, and one weight of 0 or more for each"):
        average_models([wide_folder, wide_folder], tmp_path / "out", weights)


def test_the_command(wide_folder, moved, tmp_path, capsys):
    assert main([str(wide_folder), str(moved), "--weights", "1", "3", "--out", str(tmp_path / "out")]) == 0
    assert capsys.readouterr().out == f"{tmp_path / 'out'}\n"
    assert torch.allclose(connector(tmp_path / "out"), connector(wide_folder) + 0.75, atol=1e-6)
    assert main([str(wide_folder), "--out", str(tmp_path / "one")]) == 2
    assert "give two models or more" in capsys.readouterr().err
