import json
from dataclasses import replace

import numpy as np
import pytest

from assistant.errors import RetrievalError
from assistant.imaging.picture import Picture
from retrieval.corpus import read_corpora
from retrieval.domain import main, measure
from retrieval.manifest import read_manifest, replace_manifest
from retrieval.retriever import IndexRetriever
from retrieval.router import DomainFit, DomainRouter, fit_domain
from retrieval.write import build_index

KINDS = {"red": (255, 0, 0), "green": (0, 255, 0), "blue": (0, 0, 255)}
LABELS = [(name, region) for name in KINDS for region in ("heart", "foot")] * 3


def pictures(labels):
    return [Picture(np.full((8, 8, 3), KINDS[name], dtype=np.uint8)) for name, _ in labels]


@pytest.fixture
def router(encoder):
    return DomainRouter.make(encoder, fit_domain(encoder, encoder.embed_images(pictures(LABELS)), LABELS))


def test_a_fitted_router_is_right_and_sure_of_clear_pictures(router, encoder):
    seen = router.look(encoder.embed_images(pictures([("green", "foot")]))[0])
    assert seen.modality == "green"
    assert seen.probability > 0.9
    assert sum(seen.probabilities.values()) == pytest.approx(1.0)
    assert set(seen.regions) == set(KINDS)
    assert [sum(one.values()) for one in seen.regions.values()] == pytest.approx([1.0] * 3)


def test_probabilities_even_out_between_two_kinds(router, encoder):
    red, blue = encoder.embed_images(pictures([("red", "foot"), ("blue", "foot")]))
    between = (red + blue) / np.linalg.norm(red + blue)
    seen = router.look(between)
    assert seen.probabilities["red"] == pytest.approx(0.5, abs=0.15)
    assert seen.probabilities["green"] < 0.1


def test_a_modality_with_many_regions_is_no_likelier(encoder):
    labels = [("red", "a"), ("red", "b"), ("red", "c"), ("blue", "a")]
    fit = DomainFit(tuple(labels), 10.0, (0.0,) * 4, 1)
    joint = np.zeros(encoder.width, dtype=np.float32)
    assert DomainRouter.make(encoder, fit).look(joint).probabilities == pytest.approx({"red": 0.5, "blue": 0.5})


def test_measuring_counts_by_modality_and_names_confusions(router, encoder):
    shown = encoder.embed_images(pictures([("red", "foot"), ("red", "foot"), ("blue", "foot")]))
    result = measure(router, shown, [("red", "foot"), ("green", "foot"), ("grey", "foot")])
    assert result["accuracy"] == 0.5
    assert result["per_modality"] == {"green": [0, 1], "red": [1, 1]}
    assert result["confusions"] == {"green → red": 1}
    assert result["other_kinds"] == 1
    low, high = result["interval"]
    assert low < 0.5 < high


def test_one_kind_alone_cannot_be_routed(encoder):
    labels = [("red", "foot")]
    with pytest.raises(RetrievalError, match="are all red; a router needs two"):
        fit_domain(encoder, encoder.embed_images(pictures(labels)), labels)


def test_a_fit_survives_its_json_form_and_a_broken_one_is_refused(router):
    assert DomainFit.from_dict(json.loads(json.dumps(router.fit.to_dict()))).pairs == router.fit.pairs
    with pytest.raises(RetrievalError, match="has 1 offsets for 6 pairs"):
        DomainFit.from_dict({**router.fit.to_dict(), "offsets": [0.0]})
    with pytest.raises(RetrievalError, match=r"cannot be read \(KeyError\('scale'\)\)"):
        DomainFit.from_dict({"pairs": []})


def test_the_router_weighs_documents_by_the_probability_of_the_pictures_kind(tmp_path, cards, encoder):
    build_index(read_corpora([cards]), encoder, tmp_path / "index")
    pairs = (("X-ray", "red"), ("CT", "green"))
    manifest = read_manifest(tmp_path / "index")
    fit = DomainFit(pairs, 40.0, (0.0, 0.0), 2)
    replace_manifest(tmp_path / "index", replace(manifest, domain=fit.to_dict()))
    retriever = IndexRetriever.open(tmp_path / "index", encoder)
    red, green = encoder.embed_images(pictures([("red", ""), ("green", "")]))
    query = "How does pleural effusion appear?"
    assert retriever.route(red).modality == "X-ray"
    assert retriever.search(query, image_embedding=red, k=1)[0].id == "effusion"
    assert retriever.search(query, image_embedding=green, k=1)[0].id == "effusion-ct"
    # The caller's word goes before the router's.
    assert retriever.search(query, image_embedding=green, modality="X-ray", k=1)[0].id == "effusion"


def test_an_index_without_a_fit_does_not_route(tmp_path, cards, encoder):
    build_index(read_corpora([cards]), encoder, tmp_path / "index")
    assert IndexRetriever.open(tmp_path / "index", encoder).route(np.zeros(encoder.width)) is None
    assert "domain" not in json.loads((tmp_path / "index" / "manifest.json").read_text())


@pytest.fixture
def data(tmp_path):
    folder = tmp_path / "data"
    folder.mkdir()
    from PIL import Image

    lines = []
    for split in ("train", "dev"):
        for name, colour in KINDS.items():
            Image.new("RGB", (40, 40), colour).save(folder / f"{split}-{name}.png")
            lines.append({"image": f"{split}-{name}.png", "modality": name, "anatomy": "foot", "split": split})
    (folder / "manifest.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return folder


def test_the_command_fits_stores_and_measures(tmp_path, cards, tiny_folder, data, capsys):
    from retrieval.encoder import FolderEncoder

    encoder = FolderEncoder(tiny_folder)
    build_index(read_corpora([cards]), encoder, tmp_path / "index")
    before = read_manifest(tmp_path / "index").fingerprint
    asked = [str(tmp_path / "index"), "--data", str(data), "--model", str(tiny_folder)]
    assert main(asked) == 2
    assert "has no fitted router" in capsys.readouterr().err
    assert main([*asked, "--fit", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["pictures"] == 3
    stored = read_manifest(tmp_path / "index")
    assert stored.domain["pictures"] == 3
    assert stored.fingerprint != before
    assert main(asked) == 0
    assert "3 pictures of split dev" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", r"manifest\.jsonl:1: .* is no record"),
        ('{"image": "a.png", "modality": 3}', "modality, split is missing"),
        ('{"image": "a.png", "modality": "CT", "split": "x"}', "has no record of split 'dev'; it has x"),
        ('{"image": "a.png", "modality": "CT", "split": "dev"}', "cannot be used"),
    ],
)
def test_a_broken_manifest_is_named(tmp_path, encoder, line, message):
    from retrieval.labelled import labelled

    (tmp_path / "manifest.jsonl").write_text(line + "\n")
    with pytest.raises(RetrievalError, match=message):
        labelled(tmp_path, "dev", encoder)
