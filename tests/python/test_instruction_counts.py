"""Instructions of the AVX2 kernels, counted by callgrind: a kernel that grows is seen without a clock.

Another compiler counts differently: with another g++ than the one the file names this is skipped.
LOCALAI_UPDATE_COUNTS=1 rewrites tests/python/data/instruction_counts.json.
"""

import json
import os
import pathlib
import re
import shutil
import subprocess

import pytest
from conftest import ROOT

PROGRAM = ROOT / "build/release/bench/kernel_counts"
GOLDEN = pathlib.Path(__file__).parent / "data/instruction_counts.json"
TOLERANCE = 0.03


def compiler():
    return subprocess.run(["g++", "-dumpfullversion"], capture_output=True, text=True, check=True).stdout.strip()


def count(folder):
    command = ["valgrind", "--tool=callgrind", "--toggle-collect=counted", "--dump-after=counted",
               f"--callgrind-out-file={folder}/out", PROGRAM]
    done = subprocess.run(command, capture_output=True, text=True)
    if "avx2" in done.stderr and "lacks" in done.stderr:
        pytest.skip("no AVX2 here")
    assert done.returncode == 0, done.stderr[-2000:]
    dumps = sorted(folder.glob("out.*"), key=lambda path: int(path.suffix[1:]))
    counts = [int(re.search(r"^(?:totals|summary): (\d+)", path.read_text(), re.M)[1]) for path in dumps]
    return dict(zip(done.stdout.split("\n")[:-1], counts, strict=False))


@pytest.mark.skipif(shutil.which("valgrind") is None, reason="no valgrind")
def test_no_kernel_has_grown(tmp_path):
    found = count(tmp_path)
    assert len(found) == 26 and min(found.values()) > 10_000, found
    if os.environ.get("LOCALAI_UPDATE_COUNTS"):
        GOLDEN.write_text(json.dumps({"g++": compiler(), "instructions": found}, indent=1) + "\n")
    golden = json.loads(GOLDEN.read_text())
    if golden["g++"] != compiler():
        pytest.skip(f"counted with g++ {golden['g++']}")
    grown = {name: f"{golden['instructions'][name]} -> {now}" for name, now in found.items()
             if now > golden["instructions"][name] * (1 + TOLERANCE)}
    assert not grown, f"more instructions than before: {grown}"
