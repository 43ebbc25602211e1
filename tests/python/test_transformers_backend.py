"""Domains of the backend hf-transformers over the real service with tiny random models: answers, and every kind of
failure of the service."""

import contextlib
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time

import httpx
import openai
import pytest
import torch
import transformers
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from conftest import BINARY, ROOT, run_json, run_localai

WAIT_SECONDS = 180  # for what must happen soon, on a machine that is busy
HELLO = [{"role": "user", "content": "Hello there"}]
TEMPLATE = "{% for m in messages %}<{{ m.role }}>{{ m.content }}\n{% endfor %}<assistant>"
SMALL = {
    "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "max_position_embeddings": 4096, "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0,
}
CORPUS = ["The sea is calm tonight, and the tide is full.", "Hello there! How are you today? One, two, three."]


def train_tokenizer():
    """Byte-level BPE of a few hundred entries."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.train_from_iterator(CORPUS, trainers.BpeTrainer(
        vocab_size=400, special_tokens=["<pad>", "<s>", "</s>"], initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False))
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", bos_token="<s>", eos_token="</s>", chat_template=TEMPLATE)


@pytest.fixture(scope="session")
def models_dir(tmp_path_factory):
    """Stand-ins in the folders that the production config names."""
    folder = tmp_path_factory.mktemp("transformers-models")
    tokenizer = train_tokenizer()
    vocab = len(tokenizer)
    torch.manual_seed(1)
    configs = {
        "phi-3.5-mini-instruct-pytorch": transformers.Phi3Config(vocab_size=vocab, **SMALL),
        "granite-4.0-h-micro-transformers": transformers.GraniteMoeHybridConfig(
            vocab_size=vocab, layer_types=["mamba", "attention"], num_local_experts=0, shared_intermediate_size=128,
            mamba_n_heads=4, mamba_d_head=32, mamba_d_state=16, mamba_n_groups=1, mamba_expand=2, **SMALL),
        "gemma-2b-it": transformers.GemmaConfig(vocab_size=vocab, head_dim=16, hidden_act="gelu_pytorch_tanh", **SMALL),
    }
    for name, config in configs.items():
        transformers.AutoModelForCausalLM.from_config(config).save_pretrained(folder / name)
        tokenizer.save_pretrained(folder / name)
    return folder


def service_environment(models_dir):
    path = os.pathsep.join([str(ROOT / "services/transformers"), os.environ.get("PYTHONPATH", "")])
    return {**os.environ, "DEVICE": "cpu", "TRANSFORMERS_MODELS_DIR": str(models_dir), "OMP_NUM_THREADS": "1",
            "PYTHONPATH": path}


class Service:
    """The real service on a port of its own, so that it can be killed and come back."""

    def __init__(self, models_dir):
        self.models_dir = models_dir
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.process = None

    def start(self):
        command = [sys.executable, "-m", "localai_transformers", "--port", str(self.port)]
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, text=True, env=service_environment(self.models_dir))
        assert self.process.stdout.readline().startswith("ready at"), "the service did not start"

    def kill(self):
        self.process.send_signal(signal.SIGCONT)
        self.process.kill()
        self.process.wait()


@pytest.fixture(scope="module")
def service(models_dir):
    running = Service(models_dir)
    running.start()
    yield running
    running.kill()


@pytest.fixture(autouse=True)
def running_service(request):
    """Every test finds the service well, whatever the one before did to it."""
    if "service" in request.fixturenames:
        service = request.getfixturevalue("service")
        if service.process.poll() is not None:
            service.start()
    yield


class Server:
    """`localai serve` over domains that the test writes."""

    def __init__(self, folder, domains, **environment):
        config = folder / "domains.json"
        config.write_text(json.dumps({"domains": domains, "default_domain": next(iter(domains))}))
        command = [BINARY, "serve", "--config", config, "--port", "0", "--threads", "1", "--models-dir", folder]
        self.log = folder / "log.txt"
        self.process = subprocess.Popen([str(a) for a in command], stdout=subprocess.PIPE, stderr=open(self.log, "wb"),
                                        text=True, env=os.environ | environment)
        line = self.process.stdout.readline()
        ready = re.search(r"http://127\.0\.0\.1:\d+", line)
        assert ready, f"no ready line: {line!r} {self.log.read_text()[-2000:]}"
        self.url = ready[0]
        self.client = httpx.Client(base_url=self.url, timeout=WAIT_SECONDS)
        self.openai = openai.OpenAI(base_url=f"{self.url}/v1", api_key="none", max_retries=0, timeout=WAIT_SECONDS)

    def chat(self, model, **fields):
        body = {"model": model, "messages": HELLO, "max_tokens": 12, "temperature": 0} | fields
        return self.client.post("/v1/chat/completions", json=body)

    def stream(self, model, **fields):
        return self.openai.chat.completions.create(model=model, messages=HELLO, temperature=0, stream=True, **fields)

    def metric(self, name):
        """Values of a metric, over all its labels."""
        lines = [line for line in self.client.get("/metrics").text.splitlines() if line.startswith(name)]
        return [float(line.split()[-1]) for line in lines]

    def stop(self):
        self.client.close()
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(timeout=WAIT_SECONDS) == 0, self.log.read_text()[-2000:]


@contextlib.contextmanager
def serving(*args, **kwargs):
    server = Server(*args, **kwargs)
    try:
        yield server
        server.stop()
    finally:
        server.process.kill()


def production(name, folder, **config):
    """A domain as the first system's production config writes it."""
    return {
        "name": name, "backend_type": "hf-transformers", "model_path": f"../../models/{folder}", "model_name": name,
        "max_tokens": 2048, "temperature": 0.7,
        "transformers_config": {"endpoint": "http://localhost:9090/v1/chat/completions", "model_name": name} | config,
    }


def domains(smollm2, **config):
    phi = production("phi-3.5-mini", "phi-3.5-mini-instruct-pytorch", **config)
    return {
        "phi-3.5-mini": phi | {"fallback_model": "native"},
        "granite-4.0": production("granite-4.0-h-micro", "granite-4.0-h-micro-transformers", **config),
        "native": {"model_path": str(smollm2), "backend_type": "gguf", "context_length": 256},
    }


def reference(models_dir, folder, count):
    """Greedy text by transformers alone."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(models_dir / folder)
    model = transformers.AutoModelForCausalLM.from_pretrained(models_dir / folder, dtype=torch.float32).eval()
    ids = tokenizer.apply_chat_template(HELLO, add_generation_prompt=True, return_dict=True, return_tensors="pt")
    prompt_tokens = ids["input_ids"].shape[1]
    out = model.generate(**ids, max_new_tokens=count, do_sample=False, pad_token_id=0)[0, prompt_tokens:]
    return tokenizer.decode(out, skip_special_tokens=True, clean_up_tokenization_spaces=False), prompt_tokens


@pytest.fixture
def server(tmp_path, service, smollm2):
    with serving(tmp_path, domains(smollm2), TRANSFORMERS_BASE_URL=service.url) as running:
        yield running


@pytest.mark.parametrize("domain, folder", [
    ("phi-3.5-mini", "phi-3.5-mini-instruct-pytorch"), ("granite-4.0", "granite-4.0-h-micro-transformers")])
def test_the_production_domains_answer_as_transformers_does(server, models_dir, domain, folder):
    text, prompt_tokens = reference(models_dir, folder, 12)
    answer = server.chat(domain)
    assert answer.status_code == 200, answer.text
    body = answer.json()
    assert body["choices"][0]["message"]["content"] == text
    assert body["usage"]["prompt_tokens"] == prompt_tokens
    assert body["choices"][0]["finish_reason"] in ("stop", "length")
    assert body["localai"]["backend"] == answer.headers["x-localai-backend"] == "hf-transformers"
    assert body["localai"]["fallback"] is False
    chunks = list(server.stream(domain, max_tokens=12, stream_options={"include_usage": True}))
    assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices) == text
    assert chunks[-1].usage.prompt_tokens == prompt_tokens
    assert chunks[-1].usage.completion_tokens == body["usage"]["completion_tokens"]


def test_the_loaded_list_holds_what_the_service_holds(server, service):
    assert server.chat("phi-3.5-mini").status_code == 200
    entry, = server.client.get("/v1/models/loaded").json()["data"]
    there = {e["id"]: e for e in httpx.get(f"{service.url}/v1/models/loaded").json()["data"]}
    assert entry["id"] == "phi-3.5-mini" and entry["backend"] == "hf-transformers"
    assert entry["memory"]["weights_private_bytes"] == there["phi-3.5-mini-instruct-pytorch"]["bytes"] > 0
    assert abs(entry["predicted_bytes"] - entry["bytes"]) <= 0.15 * entry["bytes"]
    assert server.client.post("/v1/models/unload", json={"model": "phi-3.5-mini"}).json()["unloaded"] is True
    assert "phi-3.5-mini-instruct-pytorch" not in [
        e["id"] for e in httpx.get(f"{service.url}/v1/models/loaded").json()["data"]]


def test_sampling_logprobs_stop_and_quantization_reach_the_service(tmp_path, service, smollm2):
    quantized = domains(smollm2, quantization="nf4")
    with serving(tmp_path, quantized, TRANSFORMERS_BASE_URL=service.url) as server:
        drawn = [server.chat("phi-3.5-mini", temperature=1.5, seed=s).json()["choices"][0]["message"]["content"]
                 for s in (7, 7, 8)]
        assert drawn[0] == drawn[1] != drawn[2]
        whole = server.chat("phi-3.5-mini", logprobs=True, top_logprobs=2).json()["choices"][0]
        for token in whole["logprobs"]["content"]:
            assert token["logprob"] <= token["top_logprobs"][0]["logprob"] <= 0
            assert len(token["top_logprobs"]) == 2
        text = whole["message"]["content"]
        stop = text[len(text) // 2:][:3]
        cut = server.chat("phi-3.5-mini", stop=[stop]).json()["choices"][0]
        assert cut["message"]["content"] == text[:text.index(stop)] and cut["finish_reason"] == "stop"
        quantizations = [e["quantization"] for e in httpx.get(f"{service.url}/v1/models/loaded").json()["data"]]
        assert any(q and q["bits"] == 4 and q["type"] == "nf4" for q in quantizations)
        assert server.chat("phi-3.5-mini", logit_bias={"5": 1}).status_code == 400


def test_run_and_show_know_the_service(tmp_path, service, models_dir, smollm2, monkeypatch):
    config = tmp_path / "domains.json"
    config.write_text(json.dumps({"domains": domains(smollm2, quantization="8bit"), "default_domain": "native"}))
    monkeypatch.setenv("TRANSFORMERS_BASE_URL", service.url)
    shown = run_json("show", "phi-3.5-mini", "--config", config, "--json")
    assert shown["backend"] == "hf-transformers" and shown["service"] == service.url
    assert shown["quantization"] == {"bits": 8}
    config.write_text(json.dumps({"domains": domains(smollm2), "default_domain": "native"}))
    said = run_localai("run", "phi-3.5-mini", HELLO[0]["content"], "--config", config, "--temperature", 0,
                       "--max-tokens", 12).decode()
    assert said == reference(models_dir, "phi-3.5-mini-instruct-pytorch", 12)[0] + "\n"


def test_a_prompt_too_long_is_a_400_and_no_fallback(server):
    answer = server.chat("phi-3.5-mini", messages=[{"role": "user", "content": "word " * 5000}])
    assert answer.status_code == 400
    assert answer.json()["error"]["code"] == "context_length_exceeded"


def test_a_service_that_is_not_there_is_skipped(tmp_path, smollm2):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    config = domains(smollm2)
    with serving(tmp_path, config, TRANSFORMERS_BASE_URL=f"http://127.0.0.1:{port}",
                 TRANSFORMERS_CB_FAILURE_THRESHOLD="2") as server:
        for _ in range(3):
            answer = server.chat("phi-3.5-mini")
            assert answer.status_code == 200, answer.text
            said = answer.json()["localai"]
            assert said["model"] == smollm2.stem and said["fallback_reason"] == "backend_down"
        assert server.metric("localai_transformers_breaker_state") == [2]
        assert server.metric("localai_transformers_breaker_opened_total") == [1]
        # A direct load has nothing to fall back to.
        refused = server.client.post("/v1/models/load", json={"model": "granite-4.0"})
        assert refused.status_code == 503 and "not asked again" in refused.json()["error"]["message"]


def long_stream(server):
    return server.stream("phi-3.5-mini", max_tokens=3000, extra_body={"ignore_eos": True})


def test_a_service_killed_in_a_stream_ends_it_with_an_error_and_comes_back(server, service):
    stream = long_stream(server)
    with pytest.raises(openai.APIError) as caught:
        for chunk in stream:
            if chunk.choices and chunk.choices[0].delta.content and service.process.poll() is None:
                service.kill()
    assert service.url in str(caught.value)
    answer = server.chat("phi-3.5-mini")
    assert answer.json()["localai"]["fallback_reason"] == "backend_down"
    service.start()
    answer = server.chat("phi-3.5-mini")
    assert answer.status_code == 200 and answer.json()["localai"]["backend"] == "hf-transformers"


def test_a_service_that_stops_is_given_up_after_the_timeout(tmp_path, service, smollm2):
    with serving(tmp_path, domains(smollm2, timeout_seconds=15), TRANSFORMERS_BASE_URL=service.url,
                 TRANSFORMERS_CB_FAILURE_THRESHOLD="1000") as server:
        def answers():
            return server.chat("phi-3.5-mini").json()["localai"]["fallback"] is False

        wait_until(answers, "the service does not answer")
        service.process.send_signal(signal.SIGSTOP)
        try:
            answer = server.chat("phi-3.5-mini")
            assert answer.status_code == 200, answer.text
            assert answer.json()["localai"]["fallback_reason"] == "backend_down"
        finally:
            service.process.send_signal(signal.SIGCONT)
        wait_until(answers, "the service did not come back")
        with pytest.raises(openai.APIError) as caught:
            try:
                for chunk in long_stream(server):
                    if chunk.choices and chunk.choices[0].delta.content:
                        service.process.send_signal(signal.SIGSTOP)
            finally:
                service.process.send_signal(signal.SIGCONT)
        assert "timed out" in str(caught.value)


def test_a_client_that_goes_stops_the_service_too(server, service):
    stream = long_stream(server)
    next(iter(stream))
    stream.close()
    deadline = time.monotonic() + WAIT_SECONDS
    while any(e["in_use"] for e in httpx.get(f"{service.url}/v1/models/loaded").json()["data"]):
        assert time.monotonic() < deadline, "the service still works for a client that has gone"
        time.sleep(0.05)


class Broken:
    """Stands between the server and the real service and breaks its chat answers as the test says."""

    def __init__(self, service):
        import http.server

        outer = self
        self.mode = "pass"

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_args):
                pass

            def do_POST(self):
                body = self.rfile.read(int(self.headers["content-length"]))
                if not self.path.endswith("/chat/completions") or outer.mode == "pass":
                    answer = httpx.post(service.url + self.path, content=body, timeout=WAIT_SECONDS,
                                        headers={"content-type": "application/json"})
                    return self.send(answer.status_code, answer.headers["content-type"], answer.content)
                if outer.mode == "500":
                    return self.send(500, "application/json", b'{"error":{"message":"boom","code":"internal"}}')
                if outer.mode == "nonsense":
                    return self.send(200, "text/html", b"<html>hello</html>")
                answer = httpx.post(service.url + self.path, content=body, timeout=WAIT_SECONDS,
                                    headers={"content-type": "application/json"})
                half = answer.content[:answer.content.index(b'"content":"', 200) + 400]
                self.send(200, "text/event-stream", half)

            def send(self, status, kind, body):
                self.send_response(status)
                self.send_header("content-type", kind)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def stop(self):
        self.server.shutdown()
        self.server.server_close()


def test_the_breaker_opens_and_closes_again(tmp_path, service, smollm2):
    broken = Broken(service)
    with serving(tmp_path, domains(smollm2), TRANSFORMERS_BASE_URL=broken.url, TRANSFORMERS_CB_FAILURE_THRESHOLD="3",
                 TRANSFORMERS_CB_OPEN_TIMEOUT="500ms", TRANSFORMERS_CB_SUCCESS_THRESHOLD="2") as server:
        assert server.chat("phi-3.5-mini").json()["localai"]["fallback"] is False
        for mode in ("500", "nonsense", "500"):
            broken.mode = mode
            assert server.chat("phi-3.5-mini").json()["localai"]["fallback_reason"] == "backend_down", mode
        assert server.metric("localai_transformers_breaker_opened_total") == [1]
        broken.mode = "pass"
        deadline = time.monotonic() + WAIT_SECONDS
        while server.metric("localai_transformers_breaker_state") != [0]:
            assert server.chat("phi-3.5-mini").status_code == 200
            assert time.monotonic() < deadline
        assert server.chat("phi-3.5-mini").json()["localai"]["fallback"] is False
        broken.mode = "truncated"
        with pytest.raises(openai.APIError):
            list(server.stream("phi-3.5-mini", max_tokens=40, extra_body={"ignore_eos": True}))
    broken.stop()


def children(pid):
    """Pids of the processes that a process started."""
    return [int(child) for task in pathlib.Path(f"/proc/{pid}/task").iterdir()
            for child in (task / "children").read_text().split()]


def gone(pid):
    """Whether a process has ended, reaped or not."""
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"
    except FileNotFoundError:
        return True


def wait_until(true, what):
    deadline = time.monotonic() + WAIT_SECONDS
    while not true():
        assert time.monotonic() < deadline, what
        time.sleep(0.05)


@contextlib.contextmanager
def supervising(folder, models_dir, smollm2):
    """A server that has to start the service itself, with the models where its domains say."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        endpoint = f"http://localhost:{free.getsockname()[1]}/v1/chat/completions"
    config = domains(smollm2, endpoint=endpoint)
    for domain, name in (("phi-3.5-mini", "phi-3.5-mini-instruct-pytorch"),
                         ("granite-4.0", "granite-4.0-h-micro-transformers")):
        config[domain]["model_path"] = str(models_dir / name)
    environment = service_environment(models_dir)
    del environment["TRANSFORMERS_MODELS_DIR"]
    environment["TRANSFORMERS_COMMAND"] = f"{sys.executable} -m localai_transformers"
    with serving(folder, config, **environment) as server:
        yield server


def test_the_server_starts_the_service_watches_it_and_ends_it(tmp_path, models_dir, smollm2):
    with supervising(tmp_path, models_dir, smollm2) as server:
        assert children(server.process.pid) == []
        assert server.chat("native").status_code == 200
        assert children(server.process.pid) == [], "started before a domain needed it"
        for domain in ("phi-3.5-mini", "granite-4.0"):
            answer = server.chat(domain)
            assert answer.status_code == 200, answer.text
            assert answer.json()["localai"]["backend"] == "hf-transformers", answer.text
        assert server.metric("localai_transformers_process_starts_total") == [1]
        first, = children(server.process.pid)
        os.kill(first, signal.SIGKILL)
        wait_until(lambda: server.metric("localai_transformers_process_starts_total") == [2]
                   and server.metric("localai_transformers_process_up") == [1], "it was not started again")
        answer = server.chat("phi-3.5-mini")
        assert answer.json()["localai"]["backend"] == "hf-transformers", answer.text
        second, = children(server.process.pid)
        assert second != first
    assert gone(second), "the service outlives the server"


def resident(pid):
    pages = int(pathlib.Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGESIZE")


def test_the_started_service_is_in_the_ledger_and_leaves_it(tmp_path, models_dir, smollm2):
    with supervising(tmp_path, models_dir, smollm2) as server:
        assert server.chat("phi-3.5-mini").status_code == 200
        child, = children(server.process.pid)
        before = resident(child)
        report = server.client.get("/v1/models/loaded").json()
        held = {m["id"]: m for m in report["data"]}
        model, service = held["phi-3.5-mini"], held["transformers-service"]
        print(f"service: {service['bytes'] >> 20} MiB in the ledger; {before >> 20} MiB resident with a small model")
        assert 0.85 * before < service["bytes"] + model["bytes"] < 1.15 * before
        assert report["bytes"] == sum(m["bytes"] for m in report["data"])
        refused = server.client.post("/v1/models/unload", json={"model": "transformers-service"})
        assert refused.status_code == 503 and "in use" in refused.text
        assert server.client.post("/v1/models/unload", json={"model": "phi-3.5-mini"}).status_code == 200
        assert server.client.post("/v1/models/unload", json={"model": "transformers-service"}).status_code == 200
        assert gone(child), "its memory was said to be free"
        assert server.client.get("/v1/models/loaded").json()["data"] == []
        plan = server.client.post("/v1/models/plan", json={"model": "phi-3.5-mini"}).json()
        assert plan["fits"] and plan["bytes"] < 2 * model["bytes"], plan
        assert server.chat("phi-3.5-mini").json()["localai"]["backend"] == "hf-transformers"
        assert children(server.process.pid) != [child]


def test_a_server_that_is_killed_leaves_no_service(tmp_path, models_dir, smollm2):
    with supervising(tmp_path, models_dir, smollm2) as server:
        assert server.chat("phi-3.5-mini").status_code == 200
        child, = children(server.process.pid)
        server.process.kill()
        assert server.process.wait() == -signal.SIGKILL
        wait_until(lambda: gone(child), "an orphan")
        server.stop = lambda: None


@pytest.fixture(scope="session")
def chosen_dir(tmp_path_factory):
    """An architecture of the native engine, and one that it does not have."""
    folder = tmp_path_factory.mktemp("chosen-models")
    tokenizer = train_tokenizer()
    torch.manual_seed(1)
    for name, kind in (("tiny-llama", transformers.LlamaConfig), ("tiny-olmo2", transformers.Olmo2Config)):
        model = transformers.AutoModelForCausalLM.from_config(kind(vocab_size=len(tokenizer), **SMALL))
        model.save_pretrained(folder / "deeper" / name)
        tokenizer.save_pretrained(folder / "deeper" / name)
    return folder


def own_service(monkeypatch, command=f"{sys.executable} -m localai_transformers"):
    monkeypatch.setenv("PYTHONPATH", service_environment("")["PYTHONPATH"])
    monkeypatch.setenv("DEVICE", "cpu")
    monkeypatch.setenv("TRANSFORMERS_COMMAND", command)


def test_the_architecture_of_a_directory_chooses_the_backend(tmp_path, chosen_dir, monkeypatch):
    own_service(monkeypatch)
    shown = {name: run_json("show", name, "--models-dir", chosen_dir, "--json") for name in ("tiny-llama", "tiny-olmo2")}
    assert shown["tiny-llama"]["backend"] == "safetensors"
    assert shown["tiny-llama"]["backend_reason"] == "the native engine has architecture 'llama'"
    olmo2 = shown["tiny-olmo2"]
    assert olmo2["backend"] == "hf-transformers" and olmo2["architecture"] == "olmo2"
    assert olmo2["backend_reason"] == "the native engine does not have architecture 'olmo2'"
    text = reference(chosen_dir / "deeper", "tiny-olmo2", 12)[0]
    path = chosen_dir / "deeper" / "tiny-olmo2"
    said = run_localai("run", path, HELLO[0]["content"], "--temperature", 0, "--max-tokens", 12).decode()
    assert said == text + "\n"
    (tmp_path / "linked").symlink_to(chosen_dir)
    with serving(tmp_path, {"d": {"model_path": "linked/deeper/tiny-olmo2"},
                            "native": {"model_path": "linked/deeper/tiny-llama"}}) as server:
        for model in ("d", "tiny-olmo2"):
            body = server.chat(model).json()
            assert body["choices"][0]["message"]["content"] == text, body
            assert body["localai"]["backend"] == "hf-transformers" and body["localai"]["fallback"] is False
        assert server.chat("native").json()["localai"]["backend"] == "safetensors"
        loaded = [m["id"] for m in server.client.get("/v1/models/loaded").json()["data"]
                  if m["backend"] == "hf-transformers"]
        assert loaded == ["tiny-olmo2", "transformers-service"], "two copies, or another name"
        listed = {m["id"]: m for m in server.client.get("/v1/models").json()["data"]}
        assert listed["d"]["loaded"] and listed["tiny-olmo2"]["loaded"] and listed["native"]["loaded"]


def test_without_a_service_the_error_says_why_and_how_to_get_one(tmp_path, chosen_dir, monkeypatch):
    monkeypatch.delenv("TRANSFORMERS_COMMAND", raising=False)
    monkeypatch.delenv("TRANSFORMERS_BASE_URL", raising=False)
    alone = tmp_path / "localai"  # finds no installed service beside it
    shutil.copy(BINARY, alone)
    done = subprocess.run([alone, "run", chosen_dir / "deeper" / "tiny-olmo2", "Hello"], capture_output=True, text=True,
                          cwd=tmp_path)
    assert done.returncode > 0
    assert "does not have architecture 'olmo2'" in done.stderr and "scripts/setup-transformers.sh" in done.stderr
