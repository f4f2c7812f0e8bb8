import json
import shutil

import numpy as np
import pytest

from retrieval.corpus import read_corpora
from retrieval.encoder import FolderEncoder
from retrieval.evaluate import main
from retrieval.labelled import Labelled
from retrieval.retriever import IndexRetriever
from retrieval.similar_cases import precision_of_cases, shown
from retrieval.write import build_index

KINDS = {"red": ("CT", "head"), "green": ("MRI", "brain"), "blue": ("MRI", "knee")}
COLOURS = {"red": (255, 0, 0), "green": (0, 255, 0), "blue": (0, 0, 255)}


@pytest.fixture
def folder(tmp_path):
    from PIL import Image

    (tmp_path / "data" / "images").mkdir(parents=True)
    lines = []
    for split, count in (("train", 2), ("dev", 1)):
        for colour, (modality, anatomy) in KINDS.items():
            for number in range(count):
                name = f"images/{split}-{colour}-{number}.png"
                pixel = tuple(min(255, value + 4 * number) for value in COLOURS[colour])
                Image.new("RGB", (16, 16), pixel).save(tmp_path / "data" / name)
                lines.append(
                    {"id": name[7:-4], "image": name, "modality": modality, "anatomy": anatomy, "split": split,
                     "source": "Drawn", "licence": "CC0-1.0"}
                )  # fmt: skip
    (tmp_path / "data" / "manifest.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return tmp_path / "data"


def test_precision_counts_cases_of_the_same_kind_and_chance_is_their_share(folder, encoder, tmp_path):
    build_index(read_corpora([folder]), encoder, tmp_path / "index")
    retriever = IndexRetriever.open(tmp_path / "index", encoder)
    vectors = np.stack([retriever.index.image.vectors_of([key])[key] for key in retriever.index.keys.tolist()])
    labels = tuple((one.modality, one.anatomy) for one in map(retriever.index.record, range(6)))
    result = precision_of_cases(retriever, Labelled(vectors, labels), depth=1)
    assert (result["pictures"], result["precision"], result["first"]) == (6, 1.0, 1.0)
    assert result["chance"] == pytest.approx(1 / 3)
    wrong = precision_of_cases(retriever, Labelled(vectors[:1], (("CT", "foot"),)), depth=2)
    assert (wrong["precision"], wrong["chance"]) == (0.0, 0.0)
    assert "CT · foot: 0.0% of 1 pictures" in shown(wrong)
    both = precision_of_cases(retriever, Labelled(vectors, labels), depth=2, alike={"brain": "knee"})
    assert both["precision"] >= precision_of_cases(retriever, Labelled(vectors, labels), depth=2)["precision"]
    assert both["chance"] == pytest.approx((2 * 1 / 3 + 4 * 2 / 3) / 6)


def test_the_command_measures_cases_and_names_what_it_lacks(folder, tiny_folder, cards, tmp_path, capsys):
    encoder = FolderEncoder(tiny_folder)
    build_index(read_corpora([folder]), encoder, tmp_path / "index")
    asked = [str(tmp_path / "index"), "--cases", str(folder), "--model", str(tiny_folder)]
    assert main([*asked, "--json", "--case-source", "Drawn", "--alike", "brain=head"]) == 0
    assert json.loads(capsys.readouterr().out)["pictures"] == 3
    assert main(asked) == 0
    assert "3 pictures; of the first 5 cases" in capsys.readouterr().out
    assert main([*asked, "--case-source", "Found"]) == 2
    assert "no record of source 'Found' in split 'dev'; it has Drawn" in capsys.readouterr().err
    for wrong in ([*asked, "--alike", "brain"], [*asked, "pairs.jsonl"], asked[:1]):
        with pytest.raises(SystemExit):
            main(wrong)
    assert "either PAIRS or --cases" in capsys.readouterr().err
    shutil.rmtree(tmp_path / "index")
    build_index(read_corpora([cards]), encoder, tmp_path / "index")
    assert main(asked) == 2
    assert "holds no case" in capsys.readouterr().err
