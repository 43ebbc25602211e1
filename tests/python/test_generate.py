"""`localai generate` and `localai bench` on a real model: the whole path without the server."""

import csv
import io
import itertools
import json

import numpy as np
import pytest
from conftest import run_json, run_localai

PROMPT = "The capital of France is"


def generate(model, *args, prompt=PROMPT, tokens=8):
    return run_json("generate", "--model", model, "--prompt", prompt, "--max-tokens", tokens, "--json", *args)


@pytest.fixture(scope="module")
def greedy(smollm2):
    return generate(smollm2, "--temperature", "0")


def test_the_object_has_exactly_the_promised_keys(greedy):
    assert list(greedy) == ["text", "tokens", "prompt_tokens", "finish_reason", "timings"]
    assert greedy["finish_reason"] == "length"
    assert len(greedy["tokens"]) == 8
    assert greedy["prompt_tokens"] == 5
    assert " Paris" in greedy["text"]


def test_text_is_what_the_tokens_say(smollm2, greedy):
    ids = json.dumps(greedy["tokens"])
    assert run_localai("tokenize", "--model", smollm2, "--ids", ids).decode().rstrip("\n") == greedy["text"].rstrip("\n")


@pytest.mark.parametrize("threads", ["1", "2"])
def test_threads_do_not_change_a_token(smollm2, greedy, threads):
    assert generate(smollm2, "--temperature", "0", "--threads", threads)["tokens"] == greedy["tokens"]


def test_without_json_the_text_is_streamed(smollm2, greedy):
    out = run_localai("generate", "--model", smollm2, "--prompt", PROMPT, "--max-tokens", 8, "--temperature", "0")
    assert out.decode() == greedy["text"] + "\n"


def test_a_stop_string_ends_the_text_before_it(smollm2, greedy):
    text = greedy["text"]
    stop = text[len(text) // 2 : len(text) // 2 + 3]  # cuts through tokens
    ended = generate(smollm2, "--temperature", "0", "--stop", "never said", "--stop", stop)
    assert ended["finish_reason"] == "stop"
    assert ended["text"] == text[: text.index(stop)]


def test_a_seed_repeats_and_seeds_vary(smollm2):
    def sampled(seed):
        return generate(smollm2, "--temperature", "1.2", "--top-k", "0", "--top-p", "0.95", "--min-p", "0.02", "--seed", seed, tokens=6)

    answers = [sampled(seed)["tokens"] for seed in (1, 1, 2, 3)]
    assert answers[0] == answers[1]
    assert len({tuple(answer) for answer in answers}) == 3


def test_top_k_of_one_is_greedy(smollm2, greedy):
    assert generate(smollm2, "--temperature", "1.5", "--top-k", "1", "--seed", "9")["tokens"] == greedy["tokens"]


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--temperature", "-1"], "temperature: -1"),
        (["--top-p", "1.5"], "top_p: 1.5"),
        (["--device", "cuda"], "--device cuda"),
        (["--threads", "0"], "--threads"),
        (["--threads", "257"], "--threads"),
        (["--max-tokens", "0"], "--max-tokens"),
    ],
)
def test_what_is_out_of_range_is_named(smollm2, arguments, message):
    done = run_localai("generate", "--model", smollm2, "--prompt", "x", "--max-tokens", 1, *arguments, check=False)
    assert done.returncode != 0
    assert message in done.stderr.decode()


def test_bench_prints_the_promised_keys(smollm2):
    result = run_json(
        "bench", "--model", smollm2, "--prompt-tokens", 8, "--gen-tokens", 3, "--repeat", 2, "--parallel", 2, "--json"
    )
    for speed in ("prefill_tok_s", "decode_tok_s"):
        assert set(result[speed]) == {"median", "min", "max", "values"} and len(result[speed]["values"]) == 2
        assert 0 < result[speed]["min"] <= result[speed]["median"] <= result[speed]["max"]
    assert result["load_ms"] > 0 and result["ttft_ms"] > 0
    assert result["rss_bytes"] > result["kv_bytes"] > 0
    assert result["weights_bytes"] > 80_000_000


BENCH = ("bench", "--prompt-tokens", "40,8", "--gen-tokens", 3, "--parallel", "1,2", "--depth", "0,64")


def test_bench_measures_every_combination(smollm2):
    rows = run_json(*BENCH, "--model", smollm2, "--repeat", 1, "--json")["runs"]
    cases = [(row["depth"], row["prompt_tokens"], row["parallel"]) for row in rows]
    assert cases == list(itertools.product((0, 64), (40, 8), (1, 2)))
    # What is in the cache counts by whole blocks of 32; without a depth nothing of other cases is found.
    assert [row["cached_tokens"] for row in rows] == [row["depth"] for row in rows]

    table = run_localai(*BENCH, "--model", smollm2, "--repeat", 1, "--format", "csv").decode()
    parsed = list(csv.DictReader(io.StringIO(table)))
    assert [(int(r["depth"]), int(r["prompt"]), int(r["parallel"])) for r in parsed] == cases
    assert all(float(r["decode tok/s"]) > 0 for r in parsed)
    lines = run_localai(*BENCH, "--model", smollm2, "--repeat", 1, "--format", "markdown").decode().splitlines()
    assert len(lines) == 2 + len(cases) and len({line.count("|") for line in lines}) == 1


def test_bench_compares_with_an_earlier_run(smollm2, tmp_path):
    earlier = tmp_path / "earlier.json"
    command = ("bench", "--model", smollm2, "--prompt-tokens", 8, "--gen-tokens", 3, "--repeat", 4, "--json")
    before = run_json(*command)
    earlier.write_text(json.dumps(before))
    after = run_json(*command, "--baseline", earlier)
    for speed, ratio in after["against_baseline"].items():
        a, b = np.log(before[speed]["values"]), np.log(after[speed]["values"])
        errors = [np.var(x, ddof=1) / len(x) for x in (a, b)]
        degrees = int(sum(errors) ** 2 / sum(e * e / (len(a) - 1) for e in errors))  # rounded down: a wider interval
        reach = {3: 3.182, 4: 2.776, 5: 2.571, 6: 2.447}[degrees] * np.sqrt(sum(errors))
        expected = np.exp(b.mean() - a.mean() + np.array([0, -reach, reach]))
        assert np.allclose([ratio["ratio"], ratio["low"], ratio["high"]], expected, rtol=1e-6)

    earlier.write_text(json.dumps(before | {"threads": 17}))
    assert "against_baseline" not in run_json(*command, "--baseline", earlier)
    earlier.write_text("{}")
    done = run_localai(*command, "--baseline", earlier, check=False)
    assert done.returncode != 0 and "not what `localai bench --json` prints" in done.stderr.decode()


def test_bench_refuses_more_than_the_context(smollm2):
    done = run_localai("bench", "--model", smollm2, "--prompt-tokens", 1000000, check=False)
    assert done.returncode != 0
    assert "the model's context is" in done.stderr.decode()
