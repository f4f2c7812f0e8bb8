"""Every public set has a card, a module, a row in the documentation and a truthful docstring."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest

from data_recipes.build import main
from data_recipes.datasets.catalogue import CARDS, REPORTS, TEXT, UNVERIFIED, VQA, module_of

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize("name", sorted(CARDS))
def test_each_set_has_a_module_that_says_what_was_seen_of_its_layout(name):
    module = importlib.import_module(module_of(name))
    assert callable(module.build)
    assert name == module.NAME
    assert CARDS[name].kind in (VQA, REPORTS, TEXT)
    assert CARDS[name].home.startswith("https://")
    if CARDS[name].verified == UNVERIFIED:
        assert UNVERIFIED in " ".join((module.__doc__ or "").split())


def test_modules_and_cards_are_as_many():
    shared = {
        "__init__",
        "catalogue",
        "convert",
        "fetch",
        "files",
        "hub",
        "json_stream",
        "parts",
        "pictures",
        "row",
        "rows",
        "words",
    }
    modules = {path.stem for path in (ROOT / "data_recipes" / "datasets").glob("*.py")} - shared
    assert modules == {name.replace("-", "_") for name in CARDS}


def test_only_sets_with_links_take_fetch_and_the_credentialed_never_reach_out(capsys):
    able = {"llava-med-alignment", "llava-med-instruct", "mediconfusion", "roco"}
    assert {name for name, card in CARDS.items() if card.fetches} == able
    for name in CARDS:
        with pytest.raises(SystemExit):
            main([name, "--help"])
        assert ("--fetch-rate" in capsys.readouterr().out) == (name in able), name
    for name in ("mimic-cxr", "mimic-cxr-vqa"):
        assert CARDS[name].hub is None


def test_the_documentation_has_a_row_for_each_set():
    page = (ROOT / "docs" / "data.md").read_text("utf-8")
    rows = {line.split("|")[1].strip(" `"): line for line in page.splitlines() if line.startswith("| `")}
    for name, card in CARDS.items():
        assert card.licence in rows[name], name
        assert card.layout.replace("|", "\\|") in rows[name], name
        assert card.splits in rows[name], name
        assert ("yes" if card.verified == "yes" else card.verified) in rows[name], name


def test_the_list_gives_licence_home_and_layout(capsys):
    assert main(["--list"]) == 0
    told = capsys.readouterr().out
    for card in CARDS.values():
        assert f"{card.licence} · {card.home}" in told
    assert told.index("Questions about pictures:") < told.index("Captions and reports:") < told.index("Text:")
