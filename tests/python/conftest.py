"""What every Python test shares: the program under test, the real models, tiny random models."""

import contextlib
import json
import os
import pathlib
import re
import signal
import subprocess

import openai
import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
BINARY = pathlib.Path(os.environ.get("LOCALAI_BINARY", ROOT / "build/release/localai"))
MODELS = pathlib.Path(os.environ.get("LOCALAI_MODELS", ROOT / "models"))
WAIT_SECONDS = 60  # for what must happen soon, on a machine that is busy


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


@contextlib.contextmanager
def serving(folder, config, *flags):
    """A running server over the domains of `config`; yields its URL. SIGTERM must end it with status 0."""
    path = folder / "domains.json"
    path.write_text(json.dumps(config))
    command = [BINARY, "serve", "--config", path, "--port", "0", "--models-dir", MODELS, *flags]
    with open(folder / "log.txt", "wb") as log:
        process = subprocess.Popen([str(a) for a in command], stdout=subprocess.PIPE, stderr=log, text=True)
    line = process.stdout.readline()
    ready = re.search(r"http://127\.0\.0\.1:\d+", line)
    assert ready, f"no ready line: {line!r} {(folder / 'log.txt').read_text()[-2000:]}"
    try:
        yield ready[0]
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=WAIT_SECONDS) == 0
    finally:
        process.kill()


def one_domain(model, **fields):
    domain = {"name": "General", "model_path": str(model), "max_tokens": 24, "temperature": 0.0, "backend_type": "gguf"}
    return {"domains": {"general": domain | fields}, "default_domain": "general"}


@pytest.fixture(scope="module")
def server(smollm2, tmp_path_factory):
    """A running server with one domain `general`; yields its URL."""
    with serving(tmp_path_factory.mktemp("serve"), one_domain(smollm2)) as url:
        yield url


@pytest.fixture(scope="module")
def client(server):
    return openai.OpenAI(base_url=f"{server}/v1", api_key="none", max_retries=0, timeout=WAIT_SECONDS)
