"""One suite that every backend passes: what is found, what is left out, what a change changes, what a kill leaves."""

import dataclasses
import io
import signal
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from assistant.errors import RetrievalError
from assistant.imaging.picture import Picture
from retrieval.corpus import read_corpora
from retrieval.passage import Passage
from retrieval.settings import SearchSettings

QUERIES = (
    "What does a collapsed lung look like on a chest radiograph?",
    "skin folds imitate a pneumothorax",
    "pleural effusion fluid chest",
    "What is the effective dose in millisievert?",
    "no pleural effusion",
    "diabetic pneumothoraces",
    "Which sourdough bread needs baking powder?",
    "",
)


@pytest.fixture
def filled(backend, cards, cases, encoder):
    backend.build(read_corpora([cards, cases]), encoder)
    return backend


@pytest.fixture
def folder(make_backend, cards, cases, encoder):
    """The index folder that the others are held against."""
    made = make_backend("folder")
    made.build(read_corpora([cards, cases]), encoder)
    return made


def blue(encoder):
    return encoder.embed_images([Picture(np.full((8, 8, 3), (0, 0, 255), dtype=np.uint8))])[0]


def found(retriever, query, **options):
    return [(one.id, one.score) for one in retriever.search(query, k=5, **options)]


def ids(retriever, query, **options):
    return [name for name, _ in found(retriever, query, **options)]


def passage(name, text, **fields):
    return Passage(name, "passage", fields.pop("title", f"About {name}"), text, "a test", "CC0-1.0", **fields)


def test_every_backend_finds_what_the_folder_finds(filled, folder, encoder):
    mine, other = filled.open(encoder), folder.open(encoder)
    for query in QUERIES:
        for modality in (None, "X-ray", "CT"):
            assert found(mine, query, modality=modality) == found(other, query, modality=modality), query
    for query in ("", "rib fracture"):
        assert found(mine, query, image_embedding=blue(encoder)) == found(other, query, image_embedding=blue(encoder))


def test_a_whole_document_comes_with_its_references(filled, encoder):
    best = filled.open(encoder).search("collapsed lung")[0]
    assert best.id == "pneumothorax"
    assert best.text.startswith("Pneumothorax is air")
    assert best.text.endswith("cross the rib cage.")
    assert best.references == ("Author A. A work. Publisher, 2001.",)


def test_a_long_document_is_given_by_a_chunk(filled, encoder):
    short = filled.open(encoder, settings=SearchSettings(whole_words=10))
    assert short.search("skin folds imitate a pneumothorax")[0].id == "pneumothorax#1"


def test_a_case_brings_its_picture_without_a_path_out(filled, encoder):
    retriever = filled.open(encoder)
    best = retriever.search("", image_embedding=blue(encoder))[0]
    assert (best.id, best.kind) == ("case-2", "case")
    with Image.open(io.BytesIO(retriever.picture(best.image))) as picture:
        assert picture.getpixel((0, 0))[2] > 200
    assert retriever.picture("../manifest.json") is None
    assert retriever.picture("images/nothing.jpg") is None


def test_a_patients_own_cases_are_left_out(filled, cases, encoder):
    key = read_corpora([cases]).passages[2].patient_key
    retriever = filled.open(encoder)
    left = ids(retriever, "rib fracture", image_embedding=blue(encoder), exclude_patient=key)
    assert not {"case-1", "case-2"} & set(left)
    assert "case-2" in ids(retriever, "rib fracture", image_embedding=blue(encoder))


def test_what_is_added_is_found_and_changes_the_fingerprint(filled, encoder):
    before = filled.open(encoder).fingerprint
    filled.add([passage("gout", "Gout is a deposit of urate crystals in a joint.")], encoder)
    after = filled.open(encoder)
    assert ids(after, "urate crystals")[0] == "gout"
    assert after.fingerprint != before


def test_awkward_text_comes_back_as_it_was(filled, encoder):
    text = "Tabs\there, a \\ backslash,\n\"quotes\" and 'more'; DROP TABLE records; -- ünï 100 % {s} :name zebrafish."
    filled.add([passage("it's; an 'id'\\", text, title="Zebrafish {s}", keywords=("o'clock",))], encoder)
    best = filled.open(encoder).search("zebrafish o'clock")[0]
    assert (best.id, best.text, best.title) == ("it's; an 'id'\\", text, "Zebrafish {s}")
    assert filled.delete(encoder, ids=["it's; an 'id'\\"]) == 1


def test_an_id_that_is_taken_is_refused_and_nothing_changes(filled, encoder):
    before = filled.open(encoder).fingerprint
    with pytest.raises(RetrievalError, match="already"):
        filled.add([passage("fresh", "Fresh zebrafish."), passage("dose", "Another dose.")], encoder)
    after = filled.open(encoder)
    assert after.fingerprint == before
    assert ids(after, "fresh zebrafish") == []


def test_a_deleted_document_is_gone_and_the_rest_is_ranked_as_if_it_had_never_been(filled, folder, encoder):
    assert folder.delete(encoder, ids=["pneumothorax"]) == 2
    # For the folder itself, `folder` is the same one.
    assert filled.delete(encoder, ids=["pneumothorax"]) == (0 if filled.kind == "folder" else 2)
    retriever, other = filled.open(encoder), folder.open(encoder)
    assert "pneumothorax" not in ids(retriever, "collapsed lung pneumothorax")
    for query in QUERIES:
        assert found(retriever, query) == found(other, query)


def test_a_patient_can_be_taken_out(filled, cases, encoder):
    key = read_corpora([cases]).passages[2].patient_key
    assert filled.delete(encoder, patient=key) == 2
    assert not {"case-1", "case-2"} & set(ids(filled.open(encoder), "", image_embedding=blue(encoder)))
    assert filled.delete(encoder, patient=key) == 0


def test_nothing_left_is_refused(backend, encoder):
    from retrieval.corpus import Corpus

    backend.build(Corpus((passage("only", "One zebrafish."),), 0, 0), encoder)
    with pytest.raises(RetrievalError, match="Nothing would be left of"):
        backend.delete(encoder, ids=["only"])
    assert ids(backend.open(encoder), "zebrafish") == ["only"]


def test_keys_are_not_used_twice(filled, encoder):
    filled.add([passage("one", "First zebrafish.")], encoder)
    filled.delete(encoder, ids=["one"])
    filled.add([passage("two", "Second okapi.")], encoder)
    retriever = filled.open(encoder)
    assert ids(retriever, "second okapi") == ["two"]
    assert ids(retriever, "first zebrafish") == []


def test_another_encoder_is_refused(filled, make_encoder):
    with pytest.raises(RetrievalError, match="with encoder feedfacefeedface, but this assistant uses 0123456789abcdef"):
        filled.open(make_encoder(fingerprint="0123456789abcdef"))


def test_an_embedding_of_another_width_is_a_wrong_call(filled, encoder):
    with pytest.raises(ValueError, match=r"image_embedding is \(3,\); this index takes \(256,\)"):
        filled.open(encoder).search("x", image_embedding=np.ones(3, dtype=np.float32))


def test_what_was_fitted_goes_along(backend, make_backend, cards, encoder, tmp_path):
    from retrieval.manifest import read_manifest, replace_manifest
    from retrieval.router import DomainFit
    from retrieval.stores.open import is_store, open_store
    from retrieval.stores.write import copy_index, source_of
    from retrieval.write import build_index

    source = Path(backend.name) if backend.kind == "folder" else tmp_path / "source"
    build_index(read_corpora([cards]), encoder, source)
    fit = DomainFit((("X-ray", "red"), ("CT", "green")), 40.0, (0.0, 0.0), 2)
    fitted = dataclasses.replace(read_manifest(source), search={"floor": 0.9, "drop": 0.8}, domain=fit.to_dict())
    replace_manifest(source, fitted)
    if is_store(backend.name):
        with closing(open_store(backend.name)) as store:
            copy_index(source_of(str(source)), store)
    retriever = backend.open(encoder)
    assert (retriever.settings.floor, retriever.settings.drop) == (0.9, 0.8)
    green = encoder.embed_images([Picture(np.full((8, 8, 3), (0, 255, 0), dtype=np.uint8))])[0]
    assert retriever.route(green).modality == "CT"
    assert ids(retriever, "How does pleural effusion appear?", image_embedding=green)[0] == "effusion-ct"


_CHILD = """
import importlib.util, os, signal, sys
spec = importlib.util.spec_from_file_location("shared", {shared!r})
shared = importlib.util.module_from_spec(spec)
spec.loader.exec_module(shared)
from retrieval.passage import Passage
encoder = shared._fixtures_of_retrieval().HashingEncoder()
backend = shared.Backend.__new__(shared.Backend)
backend.kind, backend.name = {kind!r}, {name!r}
from pathlib import Path
backend._folder = Path({name!r})
calls, last = 0, {last}

def count(frame, event, argument):
    global calls
    if event in ("call", "c_call"):
        calls += 1
        if calls == last:
            os.kill(os.getpid(), signal.SIGKILL)

new = [Passage(f"new-{{n}}", "passage", f"New {{n}}", f"Okapi number {{n}} of many.", "a test", "CC0-1.0")
       for n in range(40)]
sys.setprofile(count)
if {what!r} == "add":
    backend.add(new, encoder)
else:
    backend.delete(encoder, ids=[{what!r}])
sys.setprofile(None)
print(calls)
"""


def _run(backend, what, last):
    """Run a change in a process of its own that kills itself, as `kill -9` would, at its `last`-th call."""
    shared = str(Path(__file__).parent / "conftest.py")
    code = _CHILD.format(shared=shared, kind=backend.kind, name=backend.name, what=what, last=last)
    root = Path(__file__).parents[3]
    return subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True)


def _killed(backend, encoder, what, shares):
    """Kill a change at some shares of its way; whatever was served before is served still, or the change is whole."""
    old = {query: found(backend.open(encoder), query) for query in QUERIES}
    counted = _run(backend, what, -1)
    assert counted.returncode == 0, counted.stderr
    total = int(counted.stdout.split()[-1])
    if what == "add":
        backend.delete(encoder, ids=[f"new-{n}" for n in range(40)])
    for share in shares:
        died = _run(backend, what, int(share * total))
        assert died.returncode == -signal.SIGKILL, died.stderr
        retriever = backend.open(encoder)
        okapis = ids(retriever, "okapi number many")
        if what == "add" and not okapis:
            assert {query: found(retriever, query) for query in QUERIES} == old
        elif what == "add":
            backend.delete(encoder, ids=[f"new-{n}" for n in range(40)])
            assert {query: found(backend.open(encoder), query) for query in QUERIES} == old
    # What a killed writer left behind is no obstacle to the next one.
    backend.add([passage("next", "Next okapi.")], encoder)
    assert "next" in ids(backend.open(encoder), "next okapi")


def test_a_kill_late_in_an_add_loses_nothing(make_backend, cards, cases, encoder):
    # Late, when most is written; the other moments and backends are among the slow tests.
    backend = make_backend("postgres")
    backend.build(read_corpora([cards, cases]), encoder)
    _killed(backend, encoder, "add", [0.9])


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_a_kill_at_any_moment_of_an_add_loses_nothing(filled, encoder):
    _killed(filled, encoder, "add", [0.1, 0.3, 0.5, 0.6, 0.7, 0.8, 0.9, 0.99])


@pytest.mark.parametrize(
    "share", [pytest.param(share, marks=pytest.mark.slow) for share in (0.1, 0.3, 0.5, 0.7, 0.9, 0.98)]
)
def test_a_kill_during_a_delete_loses_nothing(filled, encoder, share):
    filled.add([passage("spare", "A spare zebrafish.")], encoder)
    counted = _run(filled, "spare", -1)
    assert counted.returncode == 0, counted.stderr
    retriever = filled.open(encoder)
    old = {query: found(retriever, query) for query in QUERIES}
    died = _run(filled, "pneumothorax", int(share * int(counted.stdout.split()[-1])))
    assert died.returncode == -signal.SIGKILL, died.stderr
    retriever = filled.open(encoder)
    if "pneumothorax" in ids(retriever, "collapsed lung pneumothorax"):
        assert {query: found(retriever, query) for query in QUERIES} == old
        assert filled.delete(encoder, ids=["pneumothorax"]) == 2
    assert "pneumothorax" not in ids(filled.open(encoder), "collapsed lung pneumothorax")
