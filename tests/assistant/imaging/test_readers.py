"""Many threads may read their first DICOM file at the same moment."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]
CODE = """
import sys
sys.setswitchinterval(1e-6)
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from assistant.imaging.readers import import_readers
start = Barrier(8)
def read(number):
    start.wait()
    import_readers()
    return sys.modules["assistant.imaging.dicom"].read_dicom, sys.modules["assistant.imaging.series"].read_series
with ThreadPoolExecutor(8) as pool:
    found = set(pool.map(read, range(8)))
print(len(found))
"""


def test_threads_that_come_first_all_find_whole_modules():
    done = subprocess.run([sys.executable, "-c", CODE], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.stdout == "1\n", done.stderr
