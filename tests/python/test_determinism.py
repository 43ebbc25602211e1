"""An answer is the same bits alone or among others, from cached prefixes or not, speculated or not,
on one thread or two: 200 mixed requests to a real model through `localai serve`."""

import concurrent.futures
import random

import httpx

from conftest import WAIT_SECONDS, one_domain, serving

SYSTEM = "You are the assistant of a small shop. Answer in one short sentence, politely, and never promise a date."
WORDS = "apples bread cheese dates eggs figs grapes honey ink jam kale lemons milk nuts oil pears".split()


def requests():
    """Greedy and drawn answers, short and long prompts, a shared system prompt, lists to be repeated."""
    draw = random.Random(7)
    made = []
    for index in range(200):
        items = draw.sample(WORDS, draw.randint(1, len(WORDS)))
        text = f"Number {index}: do you have {', '.join(items)}?"
        if index % 4 == 1:
            text = f"Say exactly this three times: {', '.join(items)}. {', '.join(items)}. {', '.join(items[:2])}"
        messages = [{"role": "user", "content": text}]
        if index % 3 != 0:
            messages.insert(0, {"role": "system", "content": SYSTEM})
        made.append(
            {
                "model": "general",
                "messages": messages,
                "max_tokens": draw.randint(4, 24),
                "temperature": [0, 0.8, 1.5][index % 3],
                "top_p": [1, 0.9][index % 2],
                "frequency_penalty": [0, 0, 0.5][index // 2 % 3],
                "seed": index,
                "logprobs": True,
                "top_logprobs": 2,
            }
        )
    return made


def answers(url, asked, at_once):
    """Text, token by token log-probabilities and reason of each answer, in the order asked; and how many tokens
    were right guesses of speculation."""
    guessed = []
    with httpx.Client(base_url=url, timeout=2 * WAIT_SECONDS) as client:

        def ask(body):
            response = client.post("/v1/chat/completions", json=body)
            assert response.status_code == 200, response.text
            details = response.json()["usage"].get("completion_tokens_details", {})
            guessed.append(details.get("accepted_prediction_tokens", 0))
            choice = response.json()["choices"][0]
            return choice["message"]["content"], choice["finish_reason"], choice["logprobs"]["content"]

        with concurrent.futures.ThreadPoolExecutor(at_once) as pool:
            return list(pool.map(ask, asked)), sum(guessed)


def test_answers_do_not_depend_on_what_runs_beside_them(smollm2, tmp_path):
    asked = requests()
    config = one_domain(smollm2)
    with serving(tmp_path, config, "--threads", "1", "--speculation", "off") as url:
        alone, guessed = answers(url, asked, 1)
    assert guessed == 0
    assert len({text for text, _, _ in alone}) > 100  # they do differ
    with serving(tmp_path, config, "--threads", "2", "--speculation", "always") as url:
        together, guessed = answers(url, asked, 16)
        assert together == alone
        assert guessed > 50
        assert answers(url, asked[::-1], 3)[0] == alone[::-1]  # every prefix is cached now
    with serving(tmp_path, config, "--threads", "2") as url:
        assert answers(url, asked, 8)[0] == alone


def test_a_later_server_finds_prefixes_on_disk(smollm2, tmp_path):
    body = requests()[4] | {"temperature": 0}
    body["messages"] = [{"role": "system", "content": SYSTEM * 20}, *body["messages"]]
    got = []
    for _ in range(2):
        with serving(tmp_path, one_domain(smollm2), "--prefix-dir", tmp_path / "prefixes") as url:
            answer = httpx.post(f"{url}/v1/chat/completions", json=body, timeout=WAIT_SECONDS).json()
        got.append((answer["choices"], answer["usage"]["prompt_tokens_details"]["cached_tokens"]))
    (first, nothing), (second, cached) = got
    assert first == second
    assert nothing == 0
    assert cached > 300
