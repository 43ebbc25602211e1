"""The model cache of a running server: plans, events, fallbacks, reload, and a bounded soak over real models."""

import concurrent.futures
import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import threading
import time

import httpx
import pytest

from conftest import BINARY, MODELS, run_json, run_localai

MIB = 1 << 20
WAIT_SECONDS = 120  # for what must happen soon, on a machine that is busy
SOAK_SECONDS = 20


class Server:
    """`localai serve` over the domains of a config that the test writes."""

    def __init__(self, folder, domains, default, budget_mib=4096, **environment):
        self.config = folder / "domains.json"
        self.write(domains, default)
        variables = {"MODEL_CACHE_MAX_MEMORY_MB": str(budget_mib), "MODEL_CACHE_WAIT_SECONDS": str(WAIT_SECONDS)}
        command = [BINARY, "serve", "--config", self.config, "--port", "0", "--threads", "1", "--models-dir", MODELS]
        self.log = folder / "log.txt"
        self.process = subprocess.Popen([str(a) for a in command], stdout=subprocess.PIPE, stderr=open(self.log, "wb"),
                                        text=True, env=variables | environment)
        line = self.process.stdout.readline()
        ready = re.search(r"http://127\.0\.0\.1:(\d+)", line)
        assert ready, f"no ready line: {line!r} {self.log.read_text()[-2000:]}"
        self.url, self.port = ready[0], int(ready[1])
        self.client = httpx.Client(base_url=self.url, timeout=WAIT_SECONDS)

    def write(self, domains, default):
        self.config.write_text(json.dumps({"domains": domains, "default_domain": default}))

    def ask(self, model, **fields):
        body = {"model": model, "prompt": "The capital of France is", "max_tokens": 8, "temperature": 0} | fields
        return self.client.post("/v1/completions", json=body)

    def text(self, model):
        answer = self.ask(model)
        assert answer.status_code == 200, answer.text
        assert answer.json()["localai"]["fallback"] is False, answer.text
        return answer.json()["choices"][0]["text"]

    def post(self, path, model):
        return self.client.post(f"/v1/models/{path}", json={"model": model})

    def loaded(self):
        return self.client.get("/v1/models/loaded").json()

    def events(self, after=0):
        stream = self.client.get(f"/v1/models/events?follow=false&after={after}").text
        return [json.loads(line.removeprefix("data: ")) for line in stream.splitlines() if line.startswith("data: ")]

    def rss(self):
        rollup = open(f"/proc/{self.process.pid}/smaps_rollup").read()
        return int(re.search(r"^Rss:\s+(\d+) kB", rollup, re.M)[1]) * 1024

    def settled_rss(self):
        """Once the pages of a model that was just loaded are all there: they come between answers."""
        seen = [0, self.rss()]
        while seen[-1] > seen[-2]:
            time.sleep(0.5)
            seen.append(self.rss())
        return seen[-1]

    def peak_rss(self):
        """As the kernel kept it: sums over the mappings would count what moves meanwhile twice."""
        status = open(f"/proc/{self.process.pid}/status").read()
        return int(re.search(r"^VmHWM:\s+(\d+) kB", status, re.M)[1]) * 1024

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


def wait_for(done, server):
    end = time.monotonic() + WAIT_SECONDS
    while not done():
        assert time.monotonic() < end, server.log.read_text()[-2000:]
        time.sleep(0.05)


def domain(path, **more):
    return {"model_path": str(path), "backend_type": "gguf", "context_length": 512} | more


def check_plans(events):
    """Every load did what it had planned: its evictions, in order, between its start and its end."""
    started = None
    for event in events:
        if event["type"] == "load_started":
            assert started is None, "two loads at once"
            started, planned = event, list(event["evict"])
        elif event["type"] == "evicted":
            assert planned, f"not planned: {event}"
            want = planned.pop(0)
            assert (event["model"], event["bytes"], event["reason"]) == (want["id"], want["bytes"], want["reason"])
        elif event["type"] == "load_finished":
            assert event["model"] == started["model"] and planned == []
            started = None
        else:
            pytest.fail(f"unexpected: {event}")
    assert started is None


def test_a_plan_is_what_a_load_then_does(tmp_path, smollm2, gemma3):
    domains = {"small": domain(smollm2), "large": domain(gemma3)}
    with serving(tmp_path, domains, "small", budget_mib=400) as server:
        assert server.ask("small").status_code == 200
        plan = server.post("plan", "large").json()
        assert plan["fits"] and plan["load"] == gemma3.stem and plan["eta_ms"] > 0
        assert [victim["id"] for victim in plan["evict"]] == [smollm2.stem]
        assert [model["id"] for model in server.loaded()["data"]] == [smollm2.stem], "a plan changes nothing"
        seen = server.events()[-1]["id"]
        entry = server.post("load", "large").json()
        assert entry["loaded"] and entry["id"] == gemma3.stem
        assert entry["bytes"] == plan["bytes"] == entry["predicted_bytes"]
        assert sum(entry["memory"].values()) <= plan["bytes"]
        events = server.events(seen)
        assert [(e["type"], e["model"]) for e in events] == [
            ("load_started", gemma3.stem), ("evicted", smollm2.stem), ("load_finished", gemma3.stem)]
        assert events[0]["evict"] == plan["evict"] and events[0]["bytes"] == plan["bytes"]
        assert server.post("plan", "large").json()["load"] is None
        listed = run_json("ps", "--port", server.port, "--json")
        assert [model["id"] for model in listed["data"]] == [gemma3.stem]
        assert gemma3.stem in run_localai("ps", "--port", server.port).decode()
        assert server.post("unload", "large").json() == {"id": gemma3.stem, "unloaded": True, "bytes": plan["bytes"]}
        assert server.loaded()["bytes"] == 0
        assert server.post("plan", "no-such-model").status_code == 404


def test_what_cannot_answer_falls_back_and_the_answer_says_so(tmp_path, smollm2, gemma3):
    domains = {
        "general": domain(smollm2),
        "lost": domain("gone.gguf", fallback_model="small", aliases=["gone"]),
        "small": domain(smollm2),
        "wide": domain(gemma3),
    }
    with serving(tmp_path, domains, "general", budget_mib=300) as server:
        answer = server.ask("lost")
        said = answer.json()["localai"]
        assert said["domain"] == "lost" and said["model"] == smollm2.stem and said["fallback"] is True
        assert said["fallback_reason"] == answer.headers["x-localai-fallback-reason"] == "missing_file"
        assert answer.headers["x-localai-fallback"] == "true" and said["skipped"][0]["name"] == "lost"
        assert server.ask("wide").json()["localai"]["fallback_reason"] == "does_not_fit"
        assert server.ask("no-such-model").status_code == 404
        direct = server.ask(gemma3.stem)
        assert direct.status_code == 503 and "retry-after" in direct.headers, "named directly: no fallback"
        headers = {"x-localai-progress": "1"}
        body = {"model": "lost", "prompt": "Hi", "max_tokens": 2, "stream": True}
        server.post("unload", "small")
        stream = server.client.post("/v1/completions", json=body, headers=headers)
        assert stream.text.startswith(": ") and '"fallback":true' in stream.text
        assert "x-localai-model" not in stream.headers


def test_sighup_reads_the_config_again(tmp_path, smollm2):
    with serving(tmp_path, {"one": domain(smollm2)}, "one") as server:
        assert server.ask("one").status_code == 200

        def reload_until(done):
            server.process.send_signal(signal.SIGHUP)
            wait_for(done, server)

        server.write({"two": domain(smollm2)}, "two")
        reload_until(lambda: server.client.get("/v1/domains/two").status_code == 200)
        assert server.text("two") and server.client.get("/v1/domains/one").status_code == 404
        server.config.write_text('{"domains": ')
        reload_until(lambda: "the config stays as it is" in server.log.read_text())
        assert server.text("two")
        assert len([e for e in server.events() if e["type"] == "load_started"]) == 1, "the model stayed"


def test_many_domains_over_one_file_hold_one_copy(tmp_path, smollm2):
    domains = {f"agent-{i}": domain(smollm2, system_prompt=f"You are agent {i}.") for i in range(32)}
    with serving(tmp_path, domains, "agent-0") as server:
        messages = [{"role": "user", "content": "Who are you?"}]

        def chat(name):
            body = {"model": name, "messages": messages, "max_tokens": 4, "temperature": 0}
            assert server.client.post("/v1/chat/completions", json=body).status_code == 200

        for _ in range(2):
            chat("agent-0")
        before = server.settled_rss()
        for name in domains:
            chat(name)
        grown = server.rss() - before
        print(f"resident memory grew by {grown / MIB:.2f} MiB")
        assert grown <= 0.03 * smollm2.stat().st_size
        assert len(server.loaded()["data"]) == 1


def read_from_disk(file):
    """Into the page cache in as large folios as the kernel makes: one fault then maps up to 2 MiB of the file."""
    with open(file, "rb") as opened:
        os.fsync(opened.fileno())
        os.posix_fadvise(opened.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        while opened.read(1 << 24):
            pass


def test_soak(tmp_path, smollm2, gemma3):
    """32 domains over five models, a budget for two, 16 clients: right answers, within the budget, as planned."""
    files = [smollm2, gemma3]
    for i in range(3):  # models of their own, whose answers are known
        files.append(tmp_path / f"copy-{i}.gguf")
        shutil.copyfile(smollm2, files[-1])
    for file in files:
        read_from_disk(file)
    domains = {f"agent-{i}": domain(files[i % len(files)]) for i in range(32)}
    budget_mib = 480
    with serving(tmp_path, domains, "agent-0", budget_mib=budget_mib) as server:
        empty = server.rss()
        alone = {i: server.text(f"agent-{i}") for i in range(len(files))}
        assert alone[0] != alone[1] and alone[0] == alone[2] == alone[3] == alone[4]
        end = time.monotonic() + SOAK_SECONDS
        def client(number):
            answers, at = 0, number
            while time.monotonic() < end:
                at = (at * 7 + 3 + number) % len(domains)
                assert server.text(f"agent-{at}") == alone[at % len(files)], at
                answers += 1
            return answers

        with concurrent.futures.ThreadPoolExecutor(16) as pool:
            answers = sum(pool.map(client, range(16)))
        peak = server.peak_rss()
        events, held = server.events(), server.loaded()
        loads = sum(event["type"] == "load_started" for event in events)
        print(f"{answers} answers, {loads} loads, peak {(peak - empty) / MIB:.0f} MiB of {budget_mib}")
        assert held["bytes"] <= held["budget_bytes"] == budget_mib * MIB
        assert peak - empty <= max(budget_mib * 1.05, budget_mib + 16) * MIB
        if events[0]["id"] == 1:  # else the oldest are no longer kept
            check_plans(events)
        else:
            first = next(i for i, event in enumerate(events) if event["type"] == "load_started")
            check_plans(events[first:])
        assert all(model["in_use"] == 0 for model in held["data"])


def test_the_routers_embedder_is_counted_and_shared(tmp_path, smollm2, minilm):
    routing = {"embedder": str(minilm), "min_score": 100}
    domains = {
        "money": domain(smollm2, description="money, banks and taxes", examples=["How do I save money at a bank?"]),
        "food": domain(smollm2, description="cooking and recipes", examples=["How do I bake bread?"]),
        "vectors": {"model_path": str(minilm)},
    }

    def route(server):
        return server.client.post("/v1/route", json={"input": "which oven for a cake"}).json()

    config = {"domains": domains, "default_domain": "money", "routing": routing}
    with serving(tmp_path, {}, "money", budget_mib=400) as server:
        server.config.write_text(json.dumps(config))
        wait_for(lambda: server.client.get("/v1/domains/food").status_code == 200, server)
        assert server.loaded()["data"] == [], "it is loaded when it is needed"
        decision = route(server)
        assert (decision["domain"], decision["stage"]) == ("food", "embedding")
        entry = server.loaded()["data"][0]
        assert entry["path"] == str(minilm.resolve()) and entry["in_use"] == 1 and entry["bytes"] > 80 * MIB
        answer = server.client.post("/v1/embeddings", json={"model": "vectors", "input": "one copy"})
        assert answer.status_code == 200 and len(server.loaded()["data"]) == 1
        assert server.post("unload", "vectors").status_code == 503, "the router uses it"
        assert "MiniLM" in run_localai("ps", "--port", server.port).decode()
    with serving(tmp_path, domains, "money", budget_mib=60) as server:
        server.config.write_text(json.dumps(config))
        wait_for(lambda: "no embeddings: routing: embedder" in route(server)["reason"], server)
        assert route(server)["domain"] == "money" and server.loaded()["bytes"] == 0
