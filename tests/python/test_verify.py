"""`localai verify`: the native engine beside transformers in float32, and that it sees a difference."""

import json
import shutil

import pytest
import safetensors.torch
from conftest import run_json, run_localai
from test_transformers_backend import models_dir, own_service  # noqa: F401: a fixture

FOLDERS = ("phi-3.5-mini-instruct-pytorch", "granite-4.0-h-micro-transformers", "gemma-2b-it")


@pytest.fixture(autouse=True)
def service(monkeypatch):
    monkeypatch.delenv("TRANSFORMERS_BASE_URL", raising=False)
    own_service(monkeypatch)


@pytest.mark.parametrize("folder", FOLDERS)
def test_a_small_model_is_the_same(models_dir, folder):  # noqa: F811
    report = run_json("verify", models_dir / folder, "--prompt", "hello there", "--max-tokens", 12, "--json")
    assert report["max_kl"] < 1e-8 and report["top1_agreement"] == 1.0
    assert len(report["prompts"]) == 5 and all(p["greedy_tokens"] > 0 for p in report["prompts"])
    assert all(p["first_greedy_difference"] is None for p in report["prompts"]), report
    assert all(p["first_prompt_token_difference"] is None for p in report["prompts"]), report


def test_a_difference_is_seen_and_said(models_dir, tmp_path):  # noqa: F811
    folder = tmp_path / "changed"
    shutil.copytree(models_dir / FOLDERS[0], folder)
    weights = safetensors.torch.load_file(folder / "model.safetensors")
    weights["model.layers.1.mlp.down_proj.weight"][3] *= 40
    safetensors.torch.save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    done = run_localai("verify", models_dir / FOLDERS[0], "--reference", folder, "--json", check=False)
    assert done.returncode > 0
    report = json.loads(done.stdout)
    assert report["max_kl"] > 1e-3
    assert b"max KL" in done.stderr or b"differ" in done.stderr, done.stderr


def test_a_file_needs_a_folder_that_transformers_reads(smollm2):
    done = run_localai("verify", smollm2, check=False)
    assert done.returncode > 0 and b"--reference" in done.stderr and b"localai convert" in done.stderr


def test_real_weights_say_the_same(smollm2, tmp_path):
    run_localai("convert", smollm2, tmp_path / "float32", "--type", "f32")
    report = run_json("verify", smollm2, "--reference", tmp_path / "float32", "--max-tokens", 16, "--json")
    print(f"mean KL {report['mean_kl']:.1e}, max {report['max_kl']:.1e}, {report['positions']} positions")
    assert report["max_kl"] < 1e-8 and report["top1_agreement"] == 1.0
    assert all(p["native_text"] == p["service_text"] != "" for p in report["prompts"]), report
