"""Models that other programs have downloaded, found and run where they lie."""

import json
import os
import subprocess

import pytest
from conftest import BINARY


@pytest.fixture
def home(tmp_path, smollm2):
    digest = "0" * 64
    blobs = tmp_path / ".ollama/models/blobs"
    manifests = tmp_path / ".ollama/models/manifests/registry.ollama.ai/library/smollm2"
    snapshot = tmp_path / ".cache/huggingface/hub/models--org--smol/snapshots/abc"
    for folder in [blobs, manifests, snapshot]:
        folder.mkdir(parents=True)
    (blobs / f"sha256-{digest}").symlink_to(smollm2.resolve())
    (manifests / "latest").write_text(json.dumps(
        {"layers": [{"mediaType": "application/vnd.ollama.image.model", "digest": f"sha256:{digest}"}]}))
    (snapshot / "smol-Q4.gguf").symlink_to(smollm2.resolve())
    return tmp_path


def run(home, *args):
    environment = {key: value for key, value in os.environ.items()
                   if key not in ("HF_HOME", "HF_HUB_CACHE", "XDG_CACHE_HOME", "OLLAMA_MODELS")}
    done = subprocess.run([BINARY, *args], cwd=home, env={**environment, "HOME": str(home)}, capture_output=True,
                          timeout=120)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_list_and_run(home, smollm2):
    listed = {entry["id"]: entry for entry in run(home, "list", "--json")}
    assert {id: entry["source"] for id, entry in listed.items()} == {
        "org/smol": "huggingface", "smollm2:latest": "ollama"}
    assert all(entry["bytes"] == smollm2.stat().st_size for entry in listed.values())
    for name in ["smollm2", "org/smol"]:
        assert run(home, "show", name, "--json")["architecture"] == "llama"
    answer = run(home, "generate", "--model", "smollm2:latest", "--prompt", "The capital of France is",
                 "--max-tokens", "2", "--temperature", "0", "--json")
    assert "Paris" in answer["text"]
