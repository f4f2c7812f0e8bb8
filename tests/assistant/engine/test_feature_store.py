"""Encoded pictures in a folder: found again by another run, of one encoder only, never in the way."""

from __future__ import annotations

import stat
from dataclasses import replace

import numpy as np
import pytest
import torch

from assistant.config import GenerationConfig
from assistant.engine.feature_store import FeatureStore
from assistant.engine.features import PictureEncoder, open_encoder
from assistant.errors import ConfigError


def test_a_second_run_encodes_nothing_and_gets_the_same(tiny_model, make_picture, tmp_path):
    settings = GenerationConfig(feature_folder=str(tmp_path / "kept"))
    pictures = [make_picture(1), make_picture(2), make_picture(1)]
    first, second = open_encoder(tiny_model, settings), open_encoder(tiny_model, settings)
    made, read = first.encode(pictures), second.encode(pictures)
    assert (first.passes, second.passes) == (2, 0)
    for one, other in zip(made, read, strict=True):
        assert torch.equal(one.patches, other.patches)
        np.testing.assert_array_equal(one.joint, other.joint)


def test_nothing_is_written_unless_a_folder_is_named(tiny_model, make_picture, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    open_encoder(tiny_model, GenerationConfig()).encode([make_picture(1)])
    assert list(tmp_path.iterdir()) == []


def test_the_folder_is_for_its_owner_alone(tiny_model, make_picture, tmp_path):
    root = tmp_path / "kept"
    PictureEncoder(tiny_model, store=FeatureStore.for_model(root, tiny_model, 1.0)).encode([make_picture(1)])
    assert {stat.S_IMODE(one.stat().st_mode) for one in (root, *root.rglob("*")) if one.is_dir()} == {0o700}


def test_another_format_has_a_folder_of_its_own(tiny_model, tmp_path):
    own = FeatureStore.for_model(tmp_path, tiny_model, 1.0)
    other = FeatureStore.for_model(tmp_path, replace(tiny_model, encoding="bfloat16"), 1.0)
    assert own.folder != other.folder


def test_a_spoilt_entry_is_warned_of_and_encoded_again(tiny_model, make_picture, tmp_path, caplog):
    picture, store = make_picture(1), FeatureStore.for_model(tmp_path, tiny_model, 1.0)
    PictureEncoder(tiny_model, store=store).encode([picture])
    store.path(picture.content_id).write_bytes(b"no tensors")
    encoder = PictureEncoder(tiny_model, store=store)
    encoder.encode([picture])
    assert encoder.passes == 1
    assert "encoded again" in caplog.text
    assert store.read(picture.content_id) is not None


def test_an_entry_under_another_name_is_not_taken(tiny_model, make_picture, tmp_path):
    first, second = make_picture(1), make_picture(2)
    store = FeatureStore.for_model(tmp_path, tiny_model, 1.0)
    PictureEncoder(tiny_model, store=store).encode([first])
    store.path(second.content_id).parent.mkdir(exist_ok=True)
    store.path(first.content_id).rename(store.path(second.content_id))
    assert store.read(second.content_id) is None


def test_a_full_folder_takes_no_more(tiny_model, make_picture, tmp_path, caplog):
    store = FeatureStore.for_model(tmp_path, tiny_model, 0.0)
    PictureEncoder(tiny_model, store=store).encode([make_picture(1), make_picture(2)])
    assert store.added == 0
    assert caplog.text.count("which is the limit") == 1


def test_a_folder_that_cannot_be_made_is_named(tiny_model, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match=r"feature_folder is .*file/kept, which cannot be made"):
        FeatureStore.for_model(tmp_path / "file" / "kept", tiny_model, 1.0)
