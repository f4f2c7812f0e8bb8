import json
import os

import pytest

from assistant.gather import gather_series
from assistant.studies import collect_studies
from benchmarks.worklist import main
from benchmarks.worklist_many import small_model
from benchmarks.worklist_mixture import BROKEN, make_mixture
from benchmarks.worklist_throughput import Comparison


def test_a_mixture_holds_as_many_studies_as_it_says_and_each_way_to_be_broken(tmp_path):
    mixture = make_mixture(tmp_path / "in", studies=30, broken=9)
    assert mixture.studies == 30
    assert mixture.good["pydicom files"] + mixture.good["pydicom series"] == 10
    assert mixture.unused["no picture that can be read"] > 0
    assert sorted(mixture.broken.values()) == sorted(BROKEN)
    assert all((mixture.folder / name).exists() for name in mixture.broken)
    gathered = gather_series(collect_studies([str(mixture.folder)]).studies)
    assert len(gathered.studies) == 30
    assert not gathered.left_out


def test_the_plain_loop_writes_the_same_tokens(tmp_path):
    pair = Comparison(small_model(), tmp_path, 3, 9)
    pair.ours()
    pair.peer()
    assert len(pair.theirs) == 3
    assert pair.same() == 1.0
    key = next(iter(pair.theirs))
    pair.theirs[key] = (*pair.theirs[key][:-1], -1)
    assert pair.same() == pytest.approx(2 / 3)


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["local", "ray"])
def test_a_worklist_that_is_killed_again_and_again_reports_each_study_once(engine, capsys):
    if engine == "ray":
        pytest.importorskip("ray", reason="is the engine")
    words = ["mixed", "--studies", "60", "--broken", "9", "--kills", "2", "--index", "none", "--engine", engine]
    assert main([*words, "--actors", str(min(2, os.cpu_count() or 1))]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["reported"] == result["pages"] == 51
    assert result["failed_with_reason"] == 9


def test_many_studies_take_no_more_memory_than_few(capsys):
    main(["many", "--studies", "60", "--tokens", "2"])
    result = json.loads(capsys.readouterr().out)
    assert result["studies"] == 60
    assert len(result["memory_mb_after_each_tenth"]) == 10
    assert 0 < result["ledger_share"] < 1
