import json

import pytest

from assistant.errors import ConfigError, RetrievalError
from retrieval.corpus import read_corpora
from retrieval.migrate import main
from retrieval.stores.open import open_store
from retrieval.stores.pg_connect import Address, connect
from retrieval.stores.retriever import StoreRetriever
from retrieval.stores.write import copy_index, head_of, source_of
from retrieval.write import build_index


@pytest.fixture
def folder(tmp_path, cards, cases, encoder):
    build_index(read_corpora([cards, cases]), encoder, tmp_path / "index")
    return tmp_path / "index"


def test_an_index_goes_through_both_databases_unchanged(folder, make_backend, encoder, capsys):
    lance, postgres = make_backend("lance"), make_backend("postgres")
    assert main([str(folder), lance.name, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["target"], told["records"]) == (lance.name, len(source_of(str(folder))))
    assert main([lance.name, postgres.name]) == 0
    one, other = open_store(lance.name), open_store(postgres.name)
    for first, second in zip(one.export(4), other.export(4), strict=True):
        for a, b in zip(first, second, strict=True):
            assert (a.key, a.passage, a.jpeg) == (b.key, b.passage, b.jpeg)
            assert a.text.tolist() == b.text.tolist()
            assert (a.title is None) == (b.title is None)
            assert (a.image is None) == (b.image is None)
    other.close()
    assert main([str(folder), lance.name]) == 2
    assert "not empty" in capsys.readouterr().err
    assert main([str(folder), postgres.name]) == 2
    assert "holds an index already" in capsys.readouterr().err


def test_a_target_that_is_no_database_is_refused(folder, tmp_path, capsys):
    assert main([str(folder), str(tmp_path / "other")]) == 2
    assert "is no database; write lance:FOLDER" in capsys.readouterr().err


def test_what_was_never_filled_to_the_end_is_not_searched_and_is_filled_anew(folder, database, encoder):
    import dataclasses

    store = open_store(database.name)
    source = source_of(str(folder))
    store.create(dataclasses.replace(head_of(source), complete=False), b"")
    with pytest.raises(RetrievalError, match="was never filled to the end"):
        StoreRetriever(store, encoder)
    copy_index(source, store)
    assert StoreRetriever(store, encoder).search("collapsed lung")[0].id == "pneumothorax"
    store.close()


def test_a_database_that_holds_nothing_says_how_to_fill_it(database):
    store = open_store(database.name)
    with pytest.raises(RetrievalError, match=r"Fill it: python -m retrieval\.migrate INDEX"):
        store.head()
    store.close()


def test_approximate_vectors_find_the_same_card(folder, database, encoder):
    store = open_store(database.name)
    copy_index(source_of(str(folder)), store)
    store.optimise(4)
    assert StoreRetriever(store, encoder).search("collapsed lung")[0].id == "pneumothorax"
    store.close()


def test_an_address_is_read_and_shown_without_its_password(monkeypatch):
    address = Address.parse("postgresql://ann:se%40cret@db.example:5433/med?schema=cards&sslmode=require")
    assert (address.user, address.password, address.port, address.encrypted) == ("ann", "se@cret", 5433, True)
    assert address.shown == "postgresql://ann@db.example:5433/med?schema=cards"
    monkeypatch.setenv("PGPASSWORD", "other")
    local = Address.parse("postgresql:///med?host=/run/pg")
    assert (local.password, local.schema) == ("other", "medassist")
    assert local.shown == "postgresql://postgres@/med?host=/run/pg&schema=medassist"


def test_every_mistake_of_an_address_is_named_at_once():
    with pytest.raises(ConfigError, match=r"its port is no number; schema is 'A b'.*; sslmode is 'maybe'"):
        Address.parse("postgresql://x:y@h:port/d?schema=A%20b&sslmode=maybe")
    with pytest.raises(ConfigError, match="it has 'scheme', which is none of host, schema, sslmode"):
        Address.parse("postgresql://h/d?scheme=x")


def test_a_server_that_is_not_there_is_told_without_the_password():
    pytest.importorskip("pg8000")
    with pytest.raises(RetrievalError, match=r"postgresql://ann@127\.0\.0\.1:1/d\?.* cannot be reached") as told:
        connect(Address.parse("postgresql://ann:geheim@127.0.0.1:1/d"))
    assert "geheim" not in str(told.value)
