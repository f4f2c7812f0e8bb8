"""Files are mixed by weight, with their images, and without what is held out."""

from __future__ import annotations

import io
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from assistant.errors import DataError
from data_recipes.build import build_data, main
from data_recipes.mixture import read_parts, shares
from data_recipes.schema import Example, read_examples, write_examples


def picture(seed: int) -> Image.Image:
    rng = np.random.default_rng(seed)
    return Image.fromarray(np.kron(rng.integers(20, 235, (7, 7)).astype(np.uint8), np.ones((20, 20), np.uint8)))


def part(folder: Path, name: str, count: int, first: int = 0, **changes) -> Path:
    examples = []
    for number in range(first, first + count):
        image = folder / name / "images" / f"{number}.png"
        image.parent.mkdir(parents=True, exist_ok=True)
        picture(number + 1000 * len(name)).save(image)
        values = {
            "id": f"e{number}",
            "images": (f"images/{number}.png",),
            "messages": [{"role": "user", "content": "Q?"}, {"role": "assistant", "content": "A"}],
            "task": "vqa",
            "answer_type": "open",
            "source": name,
            "licence": "CC0-1.0",
            "patient": f"p{number}",
        }
        examples.append(Example(**(values | changes)))
    write_examples(folder / name / "train.jsonl", examples)
    return folder / name / "train.jsonl"


def mix(out: Path, *parts: str, **options) -> list[Example]:
    build_data("mixture", None, out, part=list(parts), **options)
    return list(read_examples(out / "train.jsonl"))


def test_weights_are_shares_small_parts_repeat_and_large_ones_are_sampled(tmp_path):
    small, large = part(tmp_path, "a", 3), part(tmp_path, "bb", 20)
    rows = mix(tmp_path / "out", f"{small}=1", f"{large}=1", limit=16)
    assert Counter(row.source for row in rows) == {"a": 8, "bb": 8}
    assert len({row.id for row in rows}) == 16
    assert set(Counter(row.patient for row in rows if row.source == "a").values()) == {2, 3}
    assert set(Counter(row.patient for row in rows if row.source == "bb").values()) == {1}
    assert [row.source for row in rows] != sorted(row.source for row in rows)


def test_equal_image_names_of_two_parts_stay_apart(tmp_path):
    rows = mix(tmp_path / "out", str(part(tmp_path, "a", 2)), str(part(tmp_path, "bb", 2)))
    for row in rows:
        name = f"images/{row.source}-train/{row.id.split('/e')[1][0]}.png"
        assert row.images == (name,)
        want = tmp_path / row.source / "images" / Path(name).name
        assert (tmp_path / "out" / name).read_bytes() == want.read_bytes()
        assert not (tmp_path / "out" / name).is_symlink()


def test_links_lead_to_the_files_themselves(tmp_path):
    (row,) = mix(tmp_path / "out", str(part(tmp_path, "a", 1)), link=True)
    path = row.image_paths(tmp_path / "out")[0]
    assert path.is_symlink()
    assert path.resolve() == tmp_path / "a" / "images" / "0.png"


def test_what_is_held_out_is_left_out_by_id_patient_picture_and_copy(tmp_path):
    train, held = part(tmp_path, "a", 8), part(tmp_path, "hh", 3, first=90)
    write_examples(
        held,
        [
            one if number else Example(**{**one.__dict__, "id": "e0", "source": "a", "patient": "p1"})
            for number, one in enumerate(read_examples(held))
        ],
    )
    (tmp_path / "hh" / "images" / "91.png").write_bytes((tmp_path / "a" / "images" / "2.png").read_bytes())
    buffer = io.BytesIO()
    with Image.open(tmp_path / "a" / "images" / "3.png") as shown:
        shown.resize((100, 100)).save(buffer, "JPEG", quality=60)
    (tmp_path / "hh" / "images" / "92.png").write_bytes(buffer.getvalue())
    rows = mix(tmp_path / "out", str(train), keep_apart=[held])
    assert sorted(row.patient for row in rows) == ["p4", "p5", "p6", "p7"]


def test_shares_sum_to_the_total_and_no_part_gets_nothing():
    assert shares([1, 1, 1], 10) == [4, 3, 3]
    assert shares([2, 1], 9) == [6, 3]
    assert shares([1000, 1], 10) == [10, 1]


def test_all_wrong_parts_are_told_at_once(tmp_path):
    good = part(tmp_path, "a", 1)
    with pytest.raises(DataError) as caught:
        read_parts([f"{good}=0", f"{good}=much", f"{tmp_path / 'none.jsonl'}=1"])
    told = str(caught.value)
    assert "weight is '0'; give a number above 0" in told
    assert "weight is 'much'; give a number above 0" in told
    assert "none.jsonl is no file" in told
    with pytest.raises(DataError, match="name the files to mix, with --part FILE=WEIGHT"):
        read_parts([])


def test_an_empty_part_a_broken_line_and_a_missing_image_are_refused(tmp_path):
    good = part(tmp_path, "a", 1)
    (tmp_path / "empty.jsonl").write_text("", "utf-8")
    with pytest.raises(DataError, match=r"empty\.jsonl gives no example to the mixture"):
        mix(tmp_path / "out", str(good), str(tmp_path / "empty.jsonl"))
    (tmp_path / "a" / "images" / "0.png").unlink()
    with pytest.raises(DataError, match=r"0\.png\" is missing; add it, or build the part again"):
        mix(tmp_path / "out", str(good))
    good.write_text('{"id": 3}\n', "utf-8")
    with pytest.raises(DataError, match=r"train\.jsonl line 1: field 'images' is missing"):
        mix(tmp_path / "out", str(good))
    assert not (tmp_path / "out").exists()


def test_the_command_line_mixes(tmp_path, capsys):
    one, two = part(tmp_path, "a", 4), part(tmp_path, "bb", 4)
    assert (
        main(["mixture", "--part", f"{one}=3", "--part", str(two), "--limit", "8", "--out", str(tmp_path / "o")]) == 0
    )
    assert f"{one}: 6 rows, 1.50 passes" in capsys.readouterr().err
