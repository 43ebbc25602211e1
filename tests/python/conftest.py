"""What every Python test shares: the program under test, the real models, tiny random models."""

import json
import os
import pathlib
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
BINARY = pathlib.Path(os.environ.get("LOCALAI_BINARY", ROOT / "build/release/localai"))
MODELS = pathlib.Path(os.environ.get("LOCALAI_MODELS", ROOT / "models"))


def run_localai(*args, stdin=b"", check=True, timeout=300):
    """Runs a command; returns its stdout (check=True), or the finished process."""
    done = subprocess.run([str(BINARY), *map(str, args)], input=stdin, capture_output=True, timeout=timeout)
    assert done.returncode >= 0, f"died of signal {-done.returncode}: {done.stderr[-2000:]!r}"
    if not check:
        return done
    assert done.returncode == 0, done.stderr.decode(errors="replace")[-2000:]
    return done.stdout


def run_json(*args, **kwargs):
    return json.loads(run_localai(*args, **kwargs))


def real_model(pattern):
    """A model that scripts/get-models.sh fetched. Its absence is a failure, not a skip."""
    found = sorted(MODELS.rglob(pattern))
    assert found, f"{pattern} is not in {MODELS}: run scripts/get-models.sh"
    return found[0]


@pytest.fixture(scope="session")
def smollm2():
    return real_model("SmolLM2-135M-Instruct*.gguf")


@pytest.fixture(scope="session")
def gemma3():
    return real_model("gemma-3-270m*.gguf")


@pytest.fixture(scope="session")
def minilm():
    return real_model("all-MiniLM-L6-v2/model.safetensors").parent
