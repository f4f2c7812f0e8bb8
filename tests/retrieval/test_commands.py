import json
import subprocess
import sys

import pytest

from retrieval import build, evaluate, search


def test_a_dry_run_reads_and_checks_but_writes_nothing(cards, tmp_path, capsys):
    assert build.main([str(cards), "--out", str(tmp_path / "index"), "--dry-run", "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert (result["records"], result["documents"], result["dry_run"]) == (8, 4, True)
    assert not (tmp_path / "index").exists()


def test_a_mistake_is_one_message_and_exit_code_2(tmp_path, capsys):
    assert build.main([str(tmp_path / "no.jsonl"), "--out", str(tmp_path / "index"), "--dry-run"]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("error: ")
    assert "is no corpus" in captured.err
    assert build.main([str(tmp_path), "--out", str(tmp_path / "index"), "--model", "nonsense"]) == 2
    assert search.main([str(tmp_path / "index"), "words", "--model", "nonsense"]) == 2
    assert "There is no model 'nonsense'" in capsys.readouterr().err


def test_a_search_without_query_or_image_is_wrong_usage(tmp_path, capsys):
    with pytest.raises(SystemExit, match="2"):
        search.main([str(tmp_path)])
    assert "give a query, an --image, or both" in capsys.readouterr().err
    with pytest.raises(SystemExit, match="2"):
        search.main([str(tmp_path), "words", "-k", "0"])
    assert "-k is 0; use 1 or more" in capsys.readouterr().err


def test_pairs_that_do_not_exist_are_named(tmp_path, capsys):
    assert evaluate.main([str(tmp_path), str(tmp_path / "pairs.jsonl")]) == 2
    assert "pairs.jsonl" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["build", "search", "evaluate"])
def test_help_loads_nothing_heavy(name):
    code = (
        f"import sys, retrieval.{name} as command\n"
        "try: command.main(['--help'])\n"
        "except SystemExit: pass\n"
        "heavy = {'torch', 'transformers', 'faiss', 'numpy', 'bm25s', 'PIL'} & set(sys.modules)\n"
        "sys.exit(f'loaded {heavy}' if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
