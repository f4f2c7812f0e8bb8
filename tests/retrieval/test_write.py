"""Changing an index: going on after a stop, adding, updating, growing beyond the exact limit."""

import json
import os
import shutil
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import numpy as np
import pytest

from assistant.errors import RetrievalError
from retrieval import embed, staging
from retrieval.changes import Prune
from retrieval.corpus import read_corpora
from retrieval.index import IndexFolder
from retrieval.manifest import read_manifest
from retrieval.passage import Passage
from retrieval.retriever import IndexRetriever
from retrieval.swap import only_writer, staging_folder
from retrieval.write import add_passages, build_index, delete_documents

BASE = {"source": "S", "licence": "CC0-1.0"}


def corpus_of(path, *texts, start=0):
    records = (
        {**BASE, "id": f"r{n}", "title": f"Finding {n}", "text": text} for n, text in enumerate(texts, start=start)
    )
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return read_corpora([path])


@pytest.fixture
def small_blocks(monkeypatch):
    for module in (embed, staging, sys.modules["retrieval.background"]):
        monkeypatch.setattr(module, "BLOCK", 2)


def test_a_build_that_stopped_goes_on_and_embeds_no_block_twice(tmp_path, make_encoder, small_blocks):
    corpus = corpus_of(tmp_path / "c.jsonl", *(f"Number {n} is an effusion." for n in range(7)))
    embedded = []

    class Stopping(make_encoder):
        def embed_texts(self, texts):
            if len(embedded) > 8 and not os.environ.get("GO_ON"):
                raise KeyboardInterrupt
            embedded.extend(texts)
            return super().embed_texts(texts)

    with pytest.raises(KeyboardInterrupt):
        build_index(corpus, Stopping(), tmp_path / "index")
    assert staging_folder(tmp_path / "index").is_dir()
    first = [text for text in embedded if text.startswith("Finding")]
    os.environ["GO_ON"] = "1"
    try:
        build_index(corpus, Stopping(), tmp_path / "index")
    finally:
        del os.environ["GO_ON"]
    again = [text for text in embedded if text.startswith("Finding")]
    assert len(first) == 8
    assert len(again) == len(set(again)) == 14
    whole = build_index(corpus, make_encoder(), tmp_path / "whole")
    assert read_manifest(tmp_path / "index").files == whole.files
    assert not staging_folder(tmp_path / "index").exists()


def test_another_corpus_does_not_go_on_with_the_blocks_of_the_first(tmp_path, make_encoder, small_blocks):
    class Failing(make_encoder):
        calls = 0

        def embed_texts(self, texts):
            self.calls += 1
            if self.calls > 3:
                raise RuntimeError("full")
            return super().embed_texts(texts)

    with pytest.raises(RuntimeError, match="full"):
        build_index(corpus_of(tmp_path / "a.jsonl", *"ABCDEFG"), Failing(), tmp_path / "index")
    build_index(corpus_of(tmp_path / "b.jsonl", "Only this."), make_encoder(), tmp_path / "index")
    index = IndexFolder.open(tmp_path / "index", make_encoder().fingerprint)
    assert [index.record(row).text for row in range(len(index))] == ["Only this."]


def test_an_update_embeds_only_what_is_new_or_changed_and_keeps_the_rest(tmp_path, make_encoder):
    build_index(corpus_of(tmp_path / "c.jsonl", "One.", "Two.", "Three."), make_encoder(), tmp_path / "index")
    embedded = []

    class Counting(make_encoder):
        def embed_texts(self, texts):
            embedded.extend(texts)
            return super().embed_texts(texts)

    corpus = corpus_of(tmp_path / "c.jsonl", "One.", "Two, changed.", "Three.", "Four.")
    change = add_passages(tmp_path / "index", corpus.passages, Counting(), replace=True)
    assert (change.added, change.removed) == (2, 1)
    assert embedded == [
        "Finding 1. Two, changed.", "Finding 3. Four.", "Finding 1", "Finding 3",
    ]  # fmt: skip
    index = IndexFolder.open(tmp_path / "index", make_encoder().fingerprint)
    assert [index.record(row).text for row in range(len(index))] == ["One.", "Three.", "Two, changed.", "Four."]
    before = read_manifest(tmp_path / "index")
    assert add_passages(tmp_path / "index", corpus.passages, Counting(), replace=True).added == 0
    assert read_manifest(tmp_path / "index") == before


def test_an_update_with_cases_embeds_no_unchanged_picture(tmp_path, cases, encoder):
    build_index(read_corpora([cases]), encoder, tmp_path / "index")
    assert add_passages(tmp_path / "index", read_corpora([cases]).passages, encoder, replace=True).added == 0


def test_growing_beyond_the_limit_and_shrinking_keeps_every_vector(tmp_path, encoder):
    build_index(corpus_of(tmp_path / "a.jsonl", *(f"Word{n}." for n in range(30))), encoder, tmp_path / "index")
    more = corpus_of(tmp_path / "b.jsonl", *(f"Term{n}." for n in range(30)), start=30)
    add_passages(tmp_path / "index", more.passages, encoder, exact_limit=50)
    index = IndexFolder.open(tmp_path / "index", encoder.fingerprint)
    assert (index.text.exact, index.text.count) == (False, 120)
    assert index.manifest.counts["text_vectors"] == 120
    assert delete_documents(tmp_path / "index", encoder, ids=["r3", "r40"]) == 2
    retriever = IndexRetriever.open(tmp_path / "index", encoder)
    assert retriever.index.text.count == 116
    assert retriever.search("term11")[0].id == "r41"
    assert retriever.search("term10") == []


def test_a_reader_goes_on_with_the_index_it_opened(tmp_path, corpus, encoder):
    build_index(corpus, encoder, tmp_path / "index")
    reader = IndexRetriever.open(tmp_path / "index", encoder)
    build_index(corpus_of(tmp_path / "c.jsonl", "Something else."), encoder, tmp_path / "index")
    assert reader.search("collapsed lung")[0].id == "pneumothorax"


def test_two_writers_at_once_are_refused(tmp_path, corpus, encoder):
    build_index(corpus, encoder, tmp_path / "index")
    code = (
        "import sys, pathlib; from retrieval.swap import only_writer\n"
        f"with only_writer(pathlib.Path({str(tmp_path / 'index')!r})): print('held', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout.readline() == b"held\n"
        with pytest.raises(RetrievalError, match=r"Another process is changing .*index; wait until"):
            build_index(corpus, encoder, tmp_path / "index")
        other.stdin.close()
    with only_writer(tmp_path / "index"):
        pass


def test_many_that_clear_up_behind_them_never_write_at_the_same_time(tmp_path):
    index, start, inside, seen = tmp_path / "index", threading.Barrier(8, timeout=60), [], []

    def change():
        start.wait()
        for _ in range(60):
            with suppress(RetrievalError), only_writer(index):
                inside.append(1)
                seen.append(len(inside))
                time.sleep(0)
                inside.pop()
                shutil.rmtree(staging_folder(index), ignore_errors=True)  # as a change does that is done

    with ThreadPoolExecutor(8) as pool:
        for one in [pool.submit(change) for _ in range(8)]:
            one.result()
    assert set(seen) == {1}


def test_the_background_of_an_update_holds_no_record_that_went(tmp_path, encoder):
    build_index(corpus_of(tmp_path / "c.jsonl", "One.", "Two."), encoder, tmp_path / "index")
    add_passages(tmp_path / "index", corpus_of(tmp_path / "c.jsonl", "One.", "New.").passages, encoder, replace=True)
    index = IndexFolder.open(tmp_path / "index", encoder.fingerprint)
    np.testing.assert_array_equal(np.sort(index.background.keys), index.keys)


def test_an_update_that_prunes_takes_out_what_the_corpora_no_longer_hold(tmp_path, make_encoder):
    build_index(corpus_of(tmp_path / "c.jsonl", "One.", "Two.", "Three.", "Four."), make_encoder(), tmp_path / "index")
    fewer = corpus_of(tmp_path / "c.jsonl", "One.", "Two, changed.", "Three.").passages
    change = add_passages(tmp_path / "index", fewer, make_encoder(), replace=True, prune=Prune())
    assert (change.added, change.removed) == (1, 2)
    index = IndexFolder.open(tmp_path / "index", make_encoder().fingerprint)
    assert [index.record(row).text for row in range(len(index))] == ["One.", "Three.", "Two, changed."]
    least = corpus_of(tmp_path / "c.jsonl", "One.").passages
    with pytest.raises(RetrievalError, match="2 of 3 documents are not in the corpora .* no more than 50% may go"):
        add_passages(tmp_path / "index", least, make_encoder(), replace=True, prune=Prune())
    kept = add_passages(tmp_path / "index", least, make_encoder(), replace=True, prune=Prune(("elsewhere*",)))
    assert kept.removed == 0
    with pytest.raises(RetrievalError, match="3 of 3 documents"):
        add_passages(tmp_path / "index", [], make_encoder(), replace=True, prune=Prune(most=1))
    change = add_passages(tmp_path / "index", least, make_encoder(), replace=True, prune=Prune(most=0.9))
    assert change.removed == 2


def test_the_copy_of_a_picture_shows_no_text_that_is_burned_in(tmp_path):
    pytest.importorskip("rapidocr_onnxruntime", reason="finds the text")
    from PIL import Image, ImageDraw, ImageFont

    picture = Image.new("L", (500, 300), 60)
    ImageDraw.Draw(picture).text((20, 30), "ZAPHOD 4711881", fill=250, font=ImageFont.load_default(size=30))
    picture.save(tmp_path / "a.png")
    (tmp_path / "images").mkdir()
    passage = Passage(id="a", kind="case", title="A", text="A scan.", source="s", licence="CC0-1.0",
                      image=str(tmp_path / "a.png"))  # fmt: skip
    filled, whole = embed._reduced(passage, 7, tmp_path)
    kept = Image.open(tmp_path / str(filled.image)).convert("L")
    assert kept.crop((30, 34, 140, 42)).getextrema()[1] < 40
    assert kept.crop((250, 100, 380, 200)).getextrema()[0] > 50
    assert whole.size == (500, 300)
