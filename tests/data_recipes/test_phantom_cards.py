from data_recipes.phantom_cards import FILE, build
from data_recipes.schema import read_examples


def test_questions_that_need_a_card_stand_beside_those_that_need_none(tmp_path):
    counts = build(tmp_path, tmp_path, limit=6, seed=3)
    examples = list(read_examples(tmp_path / FILE))
    assert counts == {FILE: len(examples)}
    assert len({one.images for one in examples}) == 6
    cards = [one for one in examples if one.truth["needs"] == "card"]
    images = [one for one in examples if one.truth["needs"] == "image"]
    assert cards
    assert len(images) == 12
    for one in cards:
        assert one.truth["documents"]
        assert len(one.messages[1]["content"].split()) > 8
        assert all((tmp_path / name).is_file() for name in one.images)


def test_one_seed_gives_one_file(tmp_path):
    for name in "ab":
        (tmp_path / name).mkdir()
        build(tmp_path, tmp_path / name, limit=3, seed=5)
    assert (tmp_path / "a" / FILE).read_bytes() == (tmp_path / "b" / FILE).read_bytes()
