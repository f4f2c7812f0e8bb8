"""Fetching from a real server on this machine: parallel, paced, resumed, checked, and honest about what failed."""

from __future__ import annotations

import hashlib
import io
import json
import subprocess
import sys
import tarfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from assistant.errors import DataError
from data_recipes.datasets.fetch import FetchSettings, Job, fetch_pictures

ROOT = Path(__file__).parents[3]
QUICK = FetchSettings(rate=1000, workers=4, tries=3, timeout_s=30, first_wait_s=0.01)
Answer = tuple[int, bytes, dict[str, str]]


class Site:
    """A web server whose answers a test sets."""

    def __init__(self) -> None:
        self.pages: dict[str, Callable[[int], Answer]] = {}
        self.hits: Counter[str] = Counter()
        self.times: list[float] = []
        self.at_once = self.most_at_once = 0
        self.lock = threading.Lock()
        site = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                with site.lock:
                    site.hits[self.path] += 1
                    hit = site.hits[self.path]
                    site.times.append(time.monotonic())
                    site.at_once += 1
                    site.most_at_once = max(site.most_at_once, site.at_once)
                code, body, headers = site.pages.get(self.path, lambda _: (404, b"", {}))(hit)
                with site.lock:
                    site.at_once -= 1  # before it is sent: its reader may ask for the next at once
                self.send_response(code)
                for name, value in ({"Content-Length": str(len(body))} | headers).items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:
                """Say nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def serve(self, path: str, body: bytes, code: int = 200, **headers: str) -> str:
        self.pages[path] = lambda _: (code, body, headers)
        return self.url + path


@pytest.fixture
def site() -> Iterator[Site]:
    site = Site()
    thread = threading.Thread(target=site.server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield site
    site.server.shutdown()
    thread.join()
    site.server.server_close()


def archive(members: dict[str, bytes]) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as tar:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return stream.getvalue()


def failures(made):
    return [json.loads(line) for line in (made.root / "fetched/failed.jsonl").read_text().splitlines()]


def test_pictures_come_with_their_checksums_and_are_not_fetched_twice(made, site):
    jobs = [Job(f"x/{n}.png", site.serve(f"/{n}.png", made.png(n))) for n in range(8)]
    assert fetch_pictures(jobs, made.root, QUICK) == {}
    for number in range(8):
        assert (made.root / f"fetched/x/{number}.png").read_bytes() == made.png(number)
    ledger = [json.loads(line) for line in (made.root / "fetched/fetched.jsonl").read_text().splitlines()]
    assert {line["picture"]: line["sha256"] for line in ledger}["x/3.png"] == hashlib.sha256(made.png(3)).hexdigest()
    assert fetch_pictures(jobs, made.root, QUICK) == {}
    assert set(site.hits.values()) == {1}


def test_a_changed_or_lost_picture_and_a_half_written_line_are_mended(made, site):
    jobs = [Job(f"{n}.png", site.serve(f"/{n}.png", made.png(n))) for n in range(3)]
    fetch_pictures(jobs, made.root, QUICK)
    good = made.png(0)
    (made.root / "fetched/0.png").write_bytes(bytes(len(good)))
    (made.root / "fetched/1.png").unlink()
    with (made.root / "fetched/fetched.jsonl").open("a") as ledger:
        ledger.write('{"picture": "9.p')
    assert fetch_pictures(jobs, made.root, QUICK) == {}
    assert site.hits == {"/0.png": 2, "/1.png": 2, "/2.png": 1}
    assert (made.root / "fetched/0.png").read_bytes() == good


def test_an_archive_is_fetched_once_for_all_its_pictures_and_nothing_else_is_unpacked(made, site):
    members = {"PMC1/a.png": made.png(1), "PMC1/b.png": made.png(2), "../../evil.png": made.png(3), "PMC1/t.nxml": b"x"}
    url = site.serve("/PMC1.tar.gz", archive(members))
    jobs = [Job("one.jpg", url, "a.png"), Job("two.jpg", url, "PMC1/b.png"), Job("no.jpg", url, "c.png")]
    assert fetch_pictures(jobs, made.root, QUICK) == {"no.jpg": "the archive holds no c.png"}
    assert site.hits == {"/PMC1.tar.gz": 1}
    names = {path.name for path in made.root.parent.rglob("*") if path.is_file()}
    assert names == {"one.jpg", "two.jpg", "fetched.jsonl", "failed.jsonl"}


def test_a_busy_server_is_asked_again_and_a_dead_link_is_not(made, site):
    site.pages["/busy.png"] = lambda hit: (503, b"", {"Retry-After": "0"}) if hit < 3 else (200, made.png(), {})
    jobs = [
        Job("busy.png", site.url + "/busy.png"),
        Job("gone.png", site.url + "/gone.png"),
        Job("down.png", site.serve("/down.png", b"", 500)),
    ]
    failed = fetch_pictures(jobs, made.root, QUICK)
    assert failed == {"gone.png": "HTTP 404: dead link", "down.png": "HTTP 500, tried 3 times"}
    assert site.hits == {"/busy.png": 3, "/gone.png": 1, "/down.png": 3}
    assert failures(made) == [
        {"picture": "down.png", "url": site.url + "/down.png", "reason": "HTTP 500, tried 3 times"},
        {"picture": "gone.png", "url": site.url + "/gone.png", "reason": "HTTP 404: dead link"},
    ]


def test_what_is_cut_short_is_tried_again_and_never_kept(made, site):
    whole = made.png()
    site.pages["/a.png"] = lambda hit: (200, whole[:20] if hit == 1 else whole, {"Content-Length": str(len(whole))})
    packed = archive({"b.png": whole})
    site.pages["/b.tar.gz"] = lambda hit: (200, packed[:90] if hit == 1 else packed, {})
    jobs = [Job("a.png", site.url + "/a.png"), Job("b.png", site.url + "/b.tar.gz", "b.png")]
    assert fetch_pictures(jobs, made.root, QUICK) == {}
    assert site.hits == {"/a.png": 2, "/b.tar.gz": 2}
    assert (made.root / "fetched/b.png").read_bytes() == whole


def test_a_page_in_place_of_a_picture_is_a_failure(made, site):
    jobs = [Job("a.png", site.serve("/a.png", b"<html>log in</html>"))]
    assert fetch_pictures(jobs, made.root, QUICK) == {"a.png": "what came is no picture: b'<html>log in</html>'"}
    assert not (made.root / "fetched/a.png").exists()


def test_a_server_that_is_not_there_is_told_after_the_last_try(made):
    failed = fetch_pictures([Job("a.png", "http://127.0.0.1:9/a.png")], made.root, QUICK)
    assert failed["a.png"].startswith("URLError: ")
    assert failed["a.png"].endswith("tried 3 times")


@pytest.mark.parametrize("url", ["http://127.0.0.1:port/a.png", "http://127.0.0.1/a b.png", "http://127.0.0.1/ä.png"])
def test_what_is_no_link_is_told_at_once(made, url):
    assert fetch_pictures([Job("a.png", url)], made.root, QUICK)["a.png"].startswith("no link: ")


def test_a_run_that_was_killed_goes_on_where_it_was(made, site):
    jobs = [Job(f"{n}.png", site.serve(f"/{n}.png", made.png(n))) for n in range(40)]
    killed = threading.Event()

    def late(page: Callable[[int], Answer], hit: int) -> Answer:
        killed.wait(60)  # a run that is quick to the end would leave nothing to go on with
        return page(hit)

    site.pages |= {name: partial(late, site.pages[name]) for name in list(site.pages)[20:]}
    code = (
        "import sys, json\nfrom pathlib import Path\n"
        "from data_recipes.datasets.fetch import FetchSettings, Job, fetch_pictures\n"
        "jobs = [Job(*pair) for pair in json.loads(sys.argv[2])]\n"
        "fetch_pictures(jobs, Path(sys.argv[1]), FetchSettings(rate=40, workers=2))\n"
    )
    pairs = json.dumps([(job.picture, job.url) for job in jobs])
    process = subprocess.Popen([sys.executable, "-c", code, str(made.root), pairs], cwd=ROOT)
    while sum(site.hits.values()) < 12:
        assert process.poll() is None
        time.sleep(0.01)
    process.kill()
    process.wait()
    killed.set()
    came = len((made.root / "fetched/fetched.jsonl").read_text().splitlines())
    assert 0 < came < 40
    assert fetch_pictures(jobs, made.root, QUICK) == {}
    assert sum(1 for count in site.hits.values() if count == 1) >= came - 1
    assert sum(site.hits.values()) <= 40 + 3  # what was on its way when it was killed is asked for again
    assert all((made.root / f"fetched/{n}.png").read_bytes() == made.png(n) for n in range(40))


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://example.org/a.png", "gopher://x"])
def test_other_kinds_of_links_are_not_followed(made, url):
    failed = fetch_pictures([Job("a.png", url)], made.root, QUICK)
    assert failed == {"a.png": f"link of a kind that is not fetched: {url}"}


def test_requests_keep_the_rate_and_run_at_the_same_time(made, site):
    together = threading.Event()

    def slow(hit: int) -> Answer:
        if site.at_once > 1:
            together.set()
        together.wait(30)  # for another request, which a run that asks one by one would never make
        return 200, made.png(), {}

    site.pages |= {f"/{n}.png": slow for n in range(8)}
    jobs = [Job(f"{n}.png", f"{site.url}/{n}.png") for n in range(8)]
    began = time.monotonic()
    fetch_pictures(jobs, made.root, FetchSettings(rate=20, workers=4, first_wait_s=0.01))
    assert site.times[-1] - began >= 7 / 20 * 0.9
    assert 2 <= site.most_at_once <= 4


def test_names_that_leave_the_folder_and_idle_settings_are_refused(made):
    with pytest.raises(DataError, match=r'link to "http://x/a": image path is "\.\./a\.png", which leaves'):
        fetch_pictures([Job("../a.png", "http://x/a")], made.root, QUICK)
    with pytest.raises(DataError, match=r"--fetch-rate is 0; use more than 0"):
        FetchSettings(rate=0)
    with pytest.raises(DataError, match=r"--fetch-workers is -1; use more than 0"):
        FetchSettings(workers=-1)


def test_a_folder_that_cannot_be_written_is_told(made):
    made.file("fetched", b"a file in the way")
    with pytest.raises(DataError, match=r"fetched cannot be made .*; --fetch writes into the data set's folder"):
        fetch_pictures([], made.root, QUICK)
