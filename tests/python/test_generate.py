"""`localai generate` and `localai bench` on a real model: the whole path without the server."""

import json

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
        assert set(result[speed]) == {"median", "min", "max"}
        assert 0 < result[speed]["min"] <= result[speed]["median"] <= result[speed]["max"]
    assert result["load_ms"] > 0 and result["ttft_ms"] > 0
    assert result["rss_bytes"] > result["kv_bytes"] > 0
    assert result["weights_bytes"] > 80_000_000


def test_bench_refuses_more_than_the_context(smollm2):
    done = run_localai("bench", "--model", smollm2, "--prompt-tokens", 1000000, check=False)
    assert done.returncode != 0
    assert "the model's context is" in done.stderr.decode()
