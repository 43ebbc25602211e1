"""localai doctor: what it finds, and that it fails exactly when something configured cannot work."""

import http.server
import json
import os
import subprocess
import threading

import pytest

from conftest import BINARY, MODELS

CONFIGURED = ("DOMAIN_", "TRANSFORMERS_", "MODEL_CACHE_", "GGUF_", "ENABLE_", "HF_", "OLLAMA_", "XDG_", "CUDA_",
              "POSTGRES_", "PRELOAD_", "DISABLE_", "LOCALAI_KERNELS")


@pytest.fixture
def doctor(tmp_path, smollm2):
    """Runs it in a home of its own over a config of one domain; returns (status, its JSON)."""
    folder = tmp_path / "config"
    folder.mkdir()
    config = folder / "domains.json"
    config.write_text(json.dumps({"default_domain": "one", "domains": {
        "one": {"model_path": str(smollm2), "backend_type": "gguf"}}}))

    def run(*args, domains=None, **environment):
        if domains is not None:
            config.write_text(json.dumps({"default_domain": "one", "domains": domains}))
        clean = {key: value for key, value in os.environ.items() if not key.startswith(CONFIGURED)}
        done = subprocess.run([BINARY, "doctor", "--json", "--config", config, *map(str, args)], cwd=tmp_path,
                              env={**clean, "HOME": str(tmp_path), **environment}, capture_output=True, text=True,
                              timeout=120)
        assert done.returncode in (0, 7), done.stderr
        found = json.loads(done.stdout)
        assert (done.returncode == 7) == bool(found["problems"]), done.stdout
        return found

    run.config = config
    return run


def problems(found):
    return {problem["what"]: problem["message"] for problem in found["problems"]}


def test_a_machine_that_is_right(doctor):
    found = doctor("--models-dir", MODELS.resolve())
    assert found["problems"] == []
    assert found["cpu"]["cores"] >= 1 and found["cpu"]["kernels"] in ("scalar", "avx2", "avx512", "avx512vnni", "amx")
    assert 0 < found["memory"]["available_bytes"] <= found["memory"]["total_bytes"]
    assert found["memory"]["cache_limit_bytes"] == 8192 << 20
    assert found["memory"]["huge_pages"] in ("always", "madvise", "never", "absent")
    assert found["gpu"]["supported"] is False
    folders = {folder["source"]: folder for folder in found["models"]}
    assert folders["models"]["found"] and folders["models"]["models"] >= 3
    assert folders["huggingface"]["found"] is False and folders["ollama"]["found"] is False
    assert found["config"] == {"path": str(doctor.config), "domains": 1, "answerable": 1, "default_domain": "one",
                               "errors": 0}
    assert found["store"] == {"kind": "sqlite", "path": str(doctor.config.with_suffix(".db")), "domains": 0,
                              "writable": True}
    assert not doctor.config.with_suffix(".db").exists(), "it makes nothing"


def test_what_it_prints_for_a_reader(doctor):
    done = subprocess.run([BINARY, "doctor", "--config", doctor.config, "--models-dir", "/no/such"],
                          capture_output=True, text=True, timeout=120)
    assert done.returncode == 7
    for section in ("cpu", "memory", "gpu", "models", "store", "transformers", "config"):
        assert any(line.startswith(section) for line in done.stdout.splitlines()), done.stdout
    assert "problem: --models-dir: /no/such: there is no such folder" in done.stdout
    assert "not all that is configured can work" in done.stderr


def test_settings_that_cannot_work(doctor, tmp_path):
    bad = problems(doctor(MODEL_CACHE_MAX_MEMORY_MB="much"))
    assert "MODEL_CACHE_MAX_MEMORY_MB='much'" in bad["environment"]
    assert "no-such-set" in problems(doctor(LOCALAI_KERNELS="no-such-set"))["LOCALAI_KERNELS"]
    assert str(tmp_path) in problems(doctor(OLLAMA_MODELS=str(tmp_path / "gone")))["OLLAMA_MODELS"]
    assert "allows 1 MiB" in problems(doctor(MODEL_CACHE_MAX_MEMORY_MB="1"))["domain 'one'"]
    huge = doctor(MODEL_CACHE_MAX_MEMORY_MB=str(1 << 30))
    assert huge["problems"] == [] and huge["warnings"][0]["what"] == "MODEL_CACHE_MAX_MEMORY_MB"
    assert any(w["what"] == "gpu" for w in doctor(CUDA_VISIBLE_DEVICES="0")["warnings"])


def test_configs_and_stores_that_cannot_work(doctor, tmp_path, smollm2):
    good = {"model_path": str(smollm2), "backend_type": "gguf"}
    found = doctor(domains={"one": good, "bad": good | {"temperature": 9}})
    assert list(problems(found)) == ["domain 'bad'"] and found["config"]["errors"] == 1
    missing = {"model_path": "missing.gguf", "backend_type": "gguf"}
    assert doctor(domains={"one": good, "two": missing})["problems"] == [], "the default stands in"
    found = doctor(domains={"two": missing, "three": missing})
    assert "missing.gguf" in problems(found)["domain 'two', 'three'"] and found["config"]["answerable"] == 0
    doctor.config.write_text('{"domains": ')
    assert str(doctor.config) in problems(doctor())["config"]

    blocked = tmp_path / "file"
    blocked.write_text("no folder")
    assert "--data-dir" in problems(doctor("--data-dir", blocked, domains={"one": good}))["domain store"]
    nowhere = doctor(POSTGRES_DSN=f"host={tmp_path} user=localai dbname=postgres")
    assert "PostgreSQL" in problems(nowhere)["domain store"] and nowhere["store"]["writable"] is False
    doctor.config.with_suffix(".db").write_text("not a database, but long enough to look like one" * 100)
    assert "not a database" in problems(doctor())["domain store"]


class Healthy(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = b'{"status": "ok"}'
        self.send_response(200 if self.path == "/health" else 404)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass


def test_transformers_services(doctor, tmp_path):
    served = {"one": {"model_name": "some-model", "backend_type": "hf-transformers"}}
    program = tmp_path / "program"
    program.write_text("#!/bin/sh\n")
    assert "no program" in problems(doctor(domains=served, TRANSFORMERS_COMMAND=str(program)))["TRANSFORMERS_COMMAND"]
    program.chmod(0o755)
    found = doctor(TRANSFORMERS_COMMAND=str(program))
    assert found["problems"] == []
    assert found["transformers"] == [{"url": "", "command": str(program), "works": True}]

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Healthy)
    url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        found = doctor(TRANSFORMERS_BASE_URL=url)
        assert found["problems"] == [] and found["transformers"][0]["works"] is True
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
    found = problems(doctor(TRANSFORMERS_BASE_URL=url))
    assert url in found["transformers"] and "does not answer" in found["domain 'one'"]
