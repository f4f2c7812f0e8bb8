"""Files that several processes and threads write at the same time."""

import json
import os
import threading
from concurrent.futures import ThreadPoolExecutor

from assistant.json_lines import write_atomically


def test_many_write_one_file_at_once_and_each_time_it_is_whole(tmp_path):
    path = tmp_path / "review.jsonl"
    wanted = {json.dumps([number] * 500 * (number + 1)) for number in range(8)}
    begin = threading.Barrier(8)

    def write(text):
        begin.wait()
        for _ in range(6):
            write_atomically(path, text)
            assert path.read_text() in wanted

    with ThreadPoolExecutor(8) as pool:
        for one in [pool.submit(write, text) for text in wanted]:
            one.result()
    assert os.listdir(tmp_path) == ["review.jsonl"]


def test_what_a_kill_left_of_a_draft_does_not_get_into_the_file(tmp_path):
    (tmp_path / ".head.part").write_bytes(b"x" * 5000)
    write_atomically(tmp_path / "head", "new")
    assert (tmp_path / "head").read_text() == "new"
    assert os.listdir(tmp_path) == ["head"]
