"""LLaVA-Med alignment: pointers in place of data, and pictures fetched from a server on this machine."""

from __future__ import annotations

import io
import json
import tarfile
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest

from assistant.errors import DataError
from data_recipes.build import main
from data_recipes.datasets.llava_med_alignment import jobs


def figure(key, **changes):
    return {
        "id": key,
        "image": f"{key}.jpg",
        "domain": {"chest_xray": False, "ct_scan": True},
        "conversatons": [{"from": "human", "value": "Describe.\n<image>"}, {"from": "gpt", "value": "A CT."}],
    } | changes


def test_records_are_grouped_by_article_under_either_spelling(made):
    made.pictures("images/11_F1.jpg", "images/11_F2.jpg")
    other = figure("11_F2")
    other["conversations"] = other.pop("conversatons")
    made.json("llava_med_alignment_500k.json", [figure("11_F1"), other])
    (found,) = made.build("llava-med-alignment").values()
    assert [one.patient for one in found] == ["11", "11"]
    assert (found[0].modality, found[0].task, found[0].messages[0]["content"]) == ("CT", "caption", "Describe.")


def test_a_pointer_in_place_of_the_file_is_told(made):
    made.file("llava_med_alignment_500k.json", "version https://git-lfs.github.com/spec/v1\noid sha256:8\nsize 351\n")
    with pytest.raises(DataError, match=r"llava_med_alignment_500k\.json is a Git LFS pointer, not the data \(351 byt"):
        made.build("llava-med-alignment")


class Server(SimpleHTTPRequestHandler):
    """Files of a folder, and a count of requests."""

    asked: list[str] = []

    def do_GET(self):
        self.asked.append(self.path)
        super().do_GET()

    def log_message(self, format, *args):
        pass


@pytest.fixture
def archives(made, tmp_path):
    """Serve one article's archive, and link to it and to a dead one; returns the requests."""
    with tarfile.open(tmp_path / "PMC1.tar.gz", "w:gz") as tar:
        for name in ("F1.jpg", "F2.jpg"):
            info = tarfile.TarInfo(f"PMC1/{name}")
            info.size = len(made.png())
            tar.addfile(info, io.BytesIO(made.png()))
    asked: list[str] = []
    handler = type("Own", (Server,), {"asked": asked})
    server = ThreadingHTTPServer(("127.0.0.1", 0), lambda *args: handler(*args, directory=str(tmp_path)))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    url = f"http://127.0.0.1:{server.server_port}"
    links = {"11_F1": ("PMC1", "F1"), "11_F2": ("PMC1", "F2"), "22_F1": ("PMC2", "F1"), "33_F1": ("PMC3", "F1")}
    made.jsonl(
        "llava_med_image_urls.jsonl",
        [
            {"pair_id": key, "pmc_tar_url": f"{url}/{pmc}.tar.gz", "image_file_path": f"{pmc}/{name}.jpg"}
            for key, (pmc, name) in links.items()
        ],
    )
    made.json("llava_med_alignment_500k.json", [figure(key) for key in ("11_F1", "11_F2", "22_F1")])
    yield asked
    server.shutdown()
    thread.join()
    server.server_close()


def test_only_what_records_need_is_fetched_and_only_when_asked(made, archives):
    command = ["llava-med-alignment", "--source", str(made.root), "--out", str(made.out)]
    assert main(command) == 2
    assert archives == []
    assert main([*command, "--fetch", "--fetch-rate", "1000", "--skip-missing"]) == 0
    assert sorted(archives) == ["/PMC1.tar.gz", "/PMC2.tar.gz"]
    note = json.loads((made.out / "build.json").read_text())
    assert sum(note["examples"].values()) == 2
    assert note["missing_pictures"] == 1
    assert json.loads((made.out / "missing.jsonl").read_text()) == {"picture": "22_F1.jpg", "records": 1}
    failed = json.loads((made.root / "fetched/failed.jsonl").read_text())
    assert (failed["picture"], failed["reason"]) == ("22_F1.jpg", "HTTP 404: dead link")


def test_a_limit_fetches_for_its_records_alone_and_a_second_run_nothing(made, archives):
    command = ["llava-med-alignment", "--source", str(made.root), "--limit", "2", "--fetch", "--fetch-rate", "1000"]
    assert main([*command, "--out", str(made.out)]) == 0
    assert main([*command, "--out", str(made.out.with_name("again"))]) == 0
    assert archives == ["/PMC1.tar.gz"]


def test_links_are_read_beside_or_above(made, archives):
    assert [job.picture for job in jobs(made.root)] == ["11_F1.jpg", "11_F2.jpg", "22_F1.jpg", "33_F1.jpg"]
    (made.root / "alignment").mkdir()
    assert len(list(jobs(made.root / "alignment"))) == 4
