#!/usr/bin/env python3
"""First token of a model that is not loaded, its file in the page cache, beside that of a loaded one.

For each model: unload, then the time until the first token of a short prompt (cold); the same three times
with the model loaded (warm); medians of the rounds. Beside them one read of the file, and 1.5 x warm + one
read. Needs httpx:  build/venv/bin/python bench/cold_start.py MODEL [MODEL ...] [--rounds N]
"""
import argparse
import json
import pathlib
import re
import statistics
import subprocess
import tempfile
import time

import httpx

ROOT = pathlib.Path(__file__).resolve().parent.parent


def read_once(path):
    start = time.perf_counter()
    buffer = bytearray(1 << 20)
    with open(path, "rb", buffering=0) as file:
        while file.readinto(buffer):
            pass
    return (time.perf_counter() - start) * 1000


class Client:
    def __init__(self, url):
        self.http = httpx.Client(base_url=url, timeout=600)
        self.asked = 0

    def first_token(self, model):
        self.asked += 1  # no prompt twice: a cached prefix would need no prefill
        body = {"model": model, "prompt": f"Number {self.asked}: the quick brown fox jumps over", "max_tokens": 1,
                "temperature": 0, "stream": True}

        start = time.perf_counter()
        with self.http.stream("POST", "/v1/completions", json=body) as answer:
            answer.raise_for_status()
            lines = answer.iter_lines()
            assert any(line.startswith("data:") for line in lines)
            first = time.perf_counter()
            for _ in lines:  # to its end: a model in use cannot be unloaded
                pass
        return (first - start) * 1000

    def measure(self, model, path, rounds):
        cold, warm = [], []
        for _ in range(rounds):
            self.http.post("/v1/models/unload", json={"model": model}).raise_for_status()
            cold.append(self.first_token(model))
            warm += [self.first_token(model) for _ in range(3)]
        read = read_once(path)
        cold, warm = statistics.median(cold), statistics.median(warm)
        print(f"{path.stem}: cold {cold:.0f} ms, warm {warm:.0f} ms, one read {read:.0f} ms, "
              f"1.5 x warm + one read {1.5 * warm + read:.0f} ms", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="+", type=pathlib.Path)
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--localai", type=pathlib.Path, default=ROOT / "build/release/localai")
    arguments = parser.parse_args()
    domains = {f"model-{i}": {"model_path": str(path.resolve())} for i, path in enumerate(arguments.models)}
    with tempfile.NamedTemporaryFile("w", suffix=".json") as config:
        json.dump({"domains": domains, "default_domain": "model-0"}, config)
        config.flush()
        command = [arguments.localai, "serve", "--config", config.name, "--port", "0"]
        server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        try:
            client = Client(re.search(r"http://\S+:\d+", server.stdout.readline())[0])
            for name, path in zip(domains, arguments.models):
                client.first_token(name)
                client.measure(name, path, arguments.rounds)
        finally:
            server.terminate()
            server.wait()


if __name__ == "__main__":
    main()
