"""Mappings become frozen dataclasses, and every mistake is named at once."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pytest

from assistant.errors import ConfigError
from assistant.strict import build, override, read_yaml


@dataclass(frozen=True)
class Inner:
    """A part."""

    rate: float = 0.1
    kind: Literal["a", "b"] = "a"

    def __post_init__(self) -> None:
        if self.rate < 0:
            raise ConfigError(f"rate is {self.rate}; use 0 or more.")


@dataclass(frozen=True)
class Outer:
    """A whole."""

    out: Path
    steps: int = 1
    name: str | None = None
    flag: bool = False
    inner: Inner = field(default_factory=Inner)
    maybe: Inner | None = None
    parts: tuple[Inner, ...] = ()
    weights: dict[str, float] = field(default_factory=dict)
    anything: Any = None


def test_every_kind_of_field_is_made():
    values = {
        "out": "runs/a",
        "steps": 3,
        "name": "n",
        "flag": True,
        "inner": {"rate": 1, "kind": "b"},
        "maybe": None,
        "parts": [{"rate": 0.5}, {}],
        "weights": {"x": 2, 3: 0.5},
        "anything": [1, "two"],
    }
    assert build(Outer, values, where="a test") == Outer(
        Path("runs/a"), 3, "n", True, Inner(1.0, "b"), None, (Inner(0.5), Inner()), {"x": 2.0, "3": 0.5}, [1, "two"]
    )


def test_what_is_left_out_keeps_its_default():
    assert build(Outer, {"out": "a"}, where="a test") == Outer(Path("a"))
    assert build(Outer, {"out": "a", "maybe": {"rate": 2}}, where="a test").maybe == Inner(2.0)


def test_numbers_that_yaml_reads_as_text_are_numbers(tmp_path):
    path = tmp_path / "a.yaml"
    path.write_text("rate: 1e-3\n")
    assert build(Inner, read_yaml(path), where=str(path)).rate == 1e-3


def test_every_mistake_is_named_at_once():
    values = {
        "step": 2,
        "flag": 1,
        "steps": True,
        "inner": {"rate": "fast", "kind": "c", "colour": "red"},
        "maybe": 3,
        "parts": [{"rate": -1.0}, 7],
        "weights": {"x": "heavy"},
    }
    with pytest.raises(ConfigError) as caught:
        build(Outer, values, where="my.yaml")
    assert str(caught.value).splitlines() == [
        "my.yaml has 11 mistake(s):",
        "  - step: unknown key; did you mean 'steps'?",
        "  - out: missing; it has no default.",
        "  - steps: True is a bool; it takes int.",
        "  - flag: 1 is a int; it takes bool.",
        "  - inner.colour: unknown key; known keys: rate, kind.",
        "  - inner.rate: 'fast' is a str; it takes float.",
        "  - inner.kind: 'c' is none of 'a', 'b'.",
        "  - maybe: 3 is no mapping; write `maybe:` with keys below it.",
        "  - parts[0]: rate is -1.0; use 0 or more.",
        "  - parts[1]: 7 is no mapping; write `parts[1]:` with keys below it.",
        "  - weights.x: 'heavy' is a str; it takes float.",
    ]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"parts": "a"}, r"parts: 'a' is no list; write \[a, b\]"),
        ({"weights": [1]}, r"weights: \[1\] is no mapping"),
        ({"steps": None}, "steps: None is a NoneType; it takes int"),
        ({"steps": 1.5}, r"steps: 1\.5 is a float; it takes int"),
        ({"out": 3}, "out: 3 is a int; it takes Path"),
    ],
)
def test_a_wrong_kind_is_refused(values, message):
    with pytest.raises(ConfigError, match=message):
        build(Outer, {"out": "a", **values}, where="a test")


def test_assignments_go_into_a_copy():
    before = {"a": {"b": 1}, "c": 2}
    after = override(before, ["a.b=1e2", "a.new.deep=[x, y]", "c=null"])
    assert after == {"a": {"b": "1e2", "new": {"deep": ["x", "y"]}}, "c": None}
    assert before == {"a": {"b": 1}, "c": 2}


@pytest.mark.parametrize("assignment", ["steps", "=3"])
def test_an_assignment_without_key_or_value_is_refused(assignment):
    with pytest.raises(
        ConfigError, match=rf"--set '{assignment}' has no key or no '='; write --set optimizer\.lr=1e-3"
    ):
        override({}, [assignment])


def test_an_assignment_through_a_plain_value_is_refused():
    with pytest.raises(ConfigError, match=r"--set 'c\.d=3': 'c' is 2, which has no parts to set"):
        override({"c": 2}, ["c.d=3"])


def test_yaml_files_that_hold_no_mapping_are_refused(tmp_path):
    path = tmp_path / "a.yaml"
    with pytest.raises(ConfigError, match=r"a\.yaml cannot be read \(No such file or directory\)"):
        read_yaml(path)
    path.write_text("- a\n")
    with pytest.raises(ConfigError, match=r"a\.yaml holds a list at the top"):
        read_yaml(path)
    path.write_text("a: [\n")
    with pytest.raises(ConfigError, match=r"a\.yaml is not valid YAML"):
        read_yaml(path)
    path.write_text("")
    assert read_yaml(path) == {}


@dataclass(frozen=True)
class Strict:
    """Settings that check each other, one after the other."""

    data: tuple[Inner, ...]
    kind: str = "a"
    share: float = 0.0
    inner: Inner = field(default_factory=Inner)

    def __post_init__(self) -> None:
        if not self.data:
            raise ConfigError("data is empty; name one.")
        if self.kind not in ("a", "b"):
            raise ConfigError(f"kind is {self.kind!r}; choose from a, b.")
        if self.kind == "a" and self.share > 0.5:
            raise ConfigError(f"share is {self.share}, which kind a does not take; choose b.")
        if not 0 <= self.share <= 1:
            raise ConfigError(f"share is {self.share}; use 0 to 1.")


def test_what_a_class_refuses_is_told_all_at_once_and_so_is_what_its_parts_refuse():
    with pytest.raises(ConfigError) as caught:
        build(Strict, {"data": [], "kind": "c", "share": -1, "inner": {"rate": -2}}, where="a test")
    assert str(caught.value).splitlines() == [
        "a test has 4 mistake(s):",
        "  - inner: rate is -2.0; use 0 or more.",
        "  - value: data is empty; name one.",
        "  - value: kind is 'c'; choose from a, b.",
        "  - value: share is -1.0; use 0 to 1.",
    ]


def test_nothing_is_said_of_what_only_a_stand_in_would_make_a_mistake():
    # Share 0.7 is right with kind b, which was meant; the stand-in for the misspelt value is a.
    with pytest.raises(ConfigError) as caught:
        build(Strict, {"data": [{}], "kind": "bb", "share": 0.7}, where="a test")
    assert str(caught.value).splitlines()[1:] == ["  - value: kind is 'bb'; choose from a, b."]


def test_what_is_missing_or_of_the_wrong_type_does_not_hide_what_is_refused():
    with pytest.raises(ConfigError) as caught:
        build(Strict, {"share": 2, "inner": 3, "kind": "b"}, where="a test")
    told = str(caught.value).splitlines()[1:]
    assert told[0] == "  - data: missing; it has no default."
    assert told[1].startswith("  - inner: 3 is no mapping")
    assert told[2:] == ["  - value: share is 2.0; use 0 to 1."]
