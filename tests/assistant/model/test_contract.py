"""The contract is read strictly: every key there, none unknown, each of its type."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from assistant.errors import ModelError
from assistant.model.contract import Contract


@pytest.fixture
def contract(tiny_model: Any) -> Contract:
    """The tiny model's."""
    result: Contract = tiny_model.contract
    return result


def test_json_and_back_is_equal(contract: Contract) -> None:
    full = contract.replace(calibration={"temperature": 1.5, "abstain_below": 0}, training_data=("a, CC0",), base="ab")
    assert Contract.from_json(full.to_json()) == full


def test_write_and_read_is_equal(contract: Contract, tmp_path: Path) -> None:
    contract.write(tmp_path)
    assert Contract.read(tmp_path) == contract
    assert [path.name for path in tmp_path.iterdir()] == ["contract.json"]


def test_folder_without_one_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"has no contract\.json.*training\.assemble"):
        Contract.read(tmp_path)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"colour": 1}, "unknown key 'colour'"),
        ({"encoder": None}, "encoder is None, not str"),
        ({"image_size": "224"}, "image_size is '224', not int"),
        ({"image_size": True}, "image_size is True, not int"),
        ({"connector_shape": [1, 2]}, r"connector_shape is \[1, 2\], not tuple\[int, int, int\]"),
        ({"eos_token_ids": 2}, r"eos_token_ids is 2, not tuple\[int, \.\.\.\]"),
        ({"calibration": {"temperature": "hot"}}, "calibration is {'temperature': 'hot'}"),
        ({"capabilities": {"text_only": 1}}, "capabilities is {'text_only': 1}"),
        ({"quantization": 4}, r"quantization is 4, not str \| None"),
        ({"version": 2}, "is of form 2; this program reads form 1"),
    ],
)
def test_wrong_values_are_named(contract: Contract, changes: dict[str, Any], reason: str) -> None:
    data = {**json.loads(contract.to_json()), **changes}
    with pytest.raises(ModelError, match=reason):
        Contract.from_json(json.dumps(data))


def test_every_mistake_is_named_at_once(contract: Contract) -> None:
    data = json.loads(contract.to_json())
    del data["encoder"], data["template"]
    data["surplus"] = 0
    with pytest.raises(ModelError, match=r"unknown key 'surplus'; missing key 'encoder'; missing key 'template'"):
        Contract.from_json(json.dumps(data))


@pytest.mark.parametrize(("text", "reason"), [("[1]", "holds a list, not an object"), ("{", "is no JSON")])
def test_text_that_is_no_object_is_refused(text: str, reason: str) -> None:
    with pytest.raises(ModelError, match=reason):
        Contract.from_json(text)


def test_check_names_both_values_and_the_mend(contract: Contract) -> None:
    contract.check({"encoder": contract.encoder, "image_size": 32}, where="here")
    with pytest.raises(ModelError, match=r"here does not keep .* image_size is 64 but the contract says 32 \(restore"):
        contract.check({"image_size": 64}, where="here")
