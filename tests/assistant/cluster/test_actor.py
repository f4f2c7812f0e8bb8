import json
import os
from pathlib import Path

import pytest

from assistant.cluster.actor import ReportActor
from assistant.cluster.engine import chunks
from assistant.config import AssistantConfig, GenerationConfig
from assistant.errors import WorklistError
from assistant.imaging import identity
from assistant.imaging.load import load_picture
from assistant.readahead import RunSettings, claimed
from assistant.studies import Study, collect_studies
from assistant.worklist import run_worklist

CONFIG = AssistantConfig(index="none", generation=GenerationConfig(report_max_new_tokens=8, batch_size=2))


@pytest.fixture(autouse=True)
def _own_salt(monkeypatch):
    monkeypatch.setattr(identity, "_given", None)
    monkeypatch.chdir(os.getcwd())


def test_an_actor_reports_as_the_local_engine_does(opener, make_file, tmp_path):
    make_file("in/a.png", seed=1)
    make_file("in/b.png", seed=2)
    (tmp_path / "in" / "c.png").write_bytes(b"no")
    actor = ReportActor()
    fingerprints = actor.begin(opener, CONFIG, str(tmp_path), b"s" * 32)
    settings = RunSettings(out=tmp_path / "out", model=fingerprints[0], batch_size=3)
    studies = collect_studies([str(tmp_path / "in")]).studies
    keys = actor.keys(studies, settings)
    batch = [claimed(*one, lambda *told: ("mine", None)) for one in zip(studies, keys, strict=True)]
    outcome = actor.report(batch, settings)
    assert [one["study"] for one in outcome.records] == [key[:16] for key in keys[:2]]
    assert [one["inputs"] for one in outcome.failures] == [studies[2].names]
    assert outcome.for_good == [keys[2][:16]]
    assert identity.installation_salt() == b"s" * 32
    run_worklist(studies, opener(CONFIG).assistant, settings, load=load_picture)
    kept = [line.split('"seconds"')[0] for line in (tmp_path / "out" / "reports.jsonl").read_text().splitlines()]
    assert kept == [json.dumps(one, ensure_ascii=False).split('"seconds"')[0] for one in outcome.records]


def test_a_machine_without_the_folder_says_so(opener, tmp_path):
    with pytest.raises(WorklistError, match=r"cannot enter .*absent \(No such file or directory\). Inputs, model"):
        ReportActor().begin(opener, CONFIG, str(tmp_path / "absent"), b"s" * 32)


def test_an_actor_that_has_not_begun_is_a_wrong_call(tmp_path):
    with pytest.raises(ValueError, match="call begin first"):
        ReportActor().report([], RunSettings(out=tmp_path, model="m"))


def test_a_volume_ends_its_batch():
    names = ["a.png", "b.nii.gz", "c.png", "d.png", "e.png"]
    found = [[study.images[0].name for study in chunk] for chunk in chunks([Study((Path(n),)) for n in names], 2)]
    assert found == [["a.png", "b.nii.gz"], ["c.png", "d.png"], ["e.png"]]
