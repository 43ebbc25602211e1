"""`localai serve` as OpenAI's own client sees it, on a real model, and as raw sockets see it."""

import concurrent.futures
import json
import socket
import subprocess
import time

import httpx
import openai
import pytest

from conftest import BINARY, WAIT_SECONDS

QUESTION = [{"role": "user", "content": "Name three colours."}]


def ask(client, **fields):
    fields = {"model": "general", "messages": QUESTION, "max_tokens": 16, "temperature": 0} | fields
    return client.chat.completions.create(**fields)


def streamed(client, **fields):
    return list(ask(client, stream=True, **fields))


def text_of(chunks):
    return "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)


def address(server):
    host, port = server.removeprefix("http://").rsplit(":", 1)
    return host, int(port)


def raw_post(body, path="/v1/chat/completions"):
    data = json.dumps(body).encode()
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {len(data)}\r\n\r\n"
    return head.encode() + data


def read_all(connection):
    out = b""
    while data := connection.recv(65536):
        out += data
    return out


def wait_until_idle(server):
    """In-use counts of loaded models go back to 0."""
    end = time.monotonic() + WAIT_SECONDS
    while time.monotonic() < end:
        loaded = httpx.get(f"{server}/v1/models/loaded").json()["data"]
        if loaded and all(model["in_use"] == 0 for model in loaded):
            return
        time.sleep(0.05)
    pytest.fail(f"still in use: {loaded}")


def test_a_chat_answer_is_text_with_usage(client):
    answer = ask(client)
    choice = answer.choices[0]
    assert choice.message.role == "assistant" and choice.message.content.strip()
    assert choice.finish_reason in ("stop", "length")
    assert answer.usage.prompt_tokens > 5 and 0 < answer.usage.completion_tokens <= 16
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens
    assert answer.localai["domain"] == "general" and answer.localai["fallback"] is False


def test_headers_say_what_answered(client):
    raw = client.chat.completions.with_raw_response.create(model="general", messages=QUESTION, max_tokens=1)
    said = raw.parse().localai
    assert raw.headers["x-localai-domain"] == said["domain"] == "general"
    assert raw.headers["x-localai-model"] == said["model"]
    assert raw.headers["x-localai-backend"] == said["backend"] == "gguf"
    assert raw.headers["x-localai-route"] == said["route"] == "explicit"
    assert raw.headers["x-request-id"].startswith("req_")


def test_a_stream_is_the_same_text_in_order(client):
    whole = ask(client)
    chunks = streamed(client)
    assert chunks[0].choices[0].delta.role == "assistant"
    assert text_of(chunks) == whole.choices[0].message.content
    assert len({chunk.id for chunk in chunks}) == 1
    assert chunks[-1].choices[0].finish_reason == whole.choices[0].finish_reason
    assert all(chunk.usage is None for chunk in chunks)


def test_usage_of_a_stream_is_one_last_chunk(client):
    chunks = streamed(client, stream_options={"include_usage": True})
    assert chunks[-1].choices == [] and chunks[-1].usage.completion_tokens > 0
    assert all(chunk.usage is None for chunk in chunks[:-1])


def test_max_tokens_ends_with_length(client):
    answer = ask(client, max_tokens=3)
    assert answer.choices[0].finish_reason == "length"
    assert answer.usage.completion_tokens == 3
    assert ask(client, max_tokens=None, max_completion_tokens=3).choices[0].message.content == answer.choices[0].message.content


def test_a_stop_string_ends_the_answer_and_is_not_part_of_it(client):
    whole = ask(client).choices[0].message.content
    stop = whole[6:9]
    want = whole[: whole.index(stop)]
    answer = ask(client, stop=[stop])
    assert answer.choices[0].message.content == want
    assert answer.choices[0].finish_reason == "stop"
    assert text_of(streamed(client, stop=stop)) == want


def test_the_seed_decides_a_random_answer(client):
    def draw(seed):
        return ask(client, temperature=1.5, seed=seed, max_tokens=24).choices[0].message.content

    assert draw(7) == draw(7)
    assert len({draw(seed) for seed in range(4)}) > 1


def test_logprobs(client):
    answer = ask(client, logprobs=True, top_logprobs=2, max_tokens=4)
    content = answer.choices[0].logprobs.content
    assert len(content) == answer.usage.completion_tokens
    for token in content:
        assert token.logprob <= 0 and len(token.top_logprobs) == 2
        assert token.top_logprobs[0].logprob == token.logprob, "greedy takes the most likely"
    assert "".join(token.token for token in content) == answer.choices[0].message.content


def test_a_raw_completion(client):
    fields = dict(model="general", prompt="The capital of France is", max_tokens=8, temperature=0)
    whole = client.completions.create(**fields)
    assert whole.object == "text_completion" and whole.choices[0].text.strip()
    assert "".join(c.choices[0].text for c in client.completions.create(stream=True, **fields)) == whole.choices[0].text


def test_eight_streams_at_once_say_what_each_says_alone(client):
    prompts = [[{"role": "user", "content": f"Count from {i} to {i + 5}."}] for i in range(8)]
    alone = [ask(client, messages=p).choices[0].message.content for p in prompts]
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        together = list(pool.map(lambda p: text_of(streamed(client, messages=p)), prompts))
    assert together == alone


def test_models_are_listed_and_found(client):
    models = client.models.list().data
    assert "general" in [model.id for model in models]
    for model in models:
        assert client.models.retrieve(model.id).id == model.id
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("no-such-model")


def test_a_domain_has_its_own_endpoint(server, client):
    domain = openai.OpenAI(base_url=f"{server}/v1/domains/general", api_key="none", max_retries=0)
    assert ask(domain).choices[0].message.content == ask(client).choices[0].message.content
    assert httpx.get(f"{server}/v1/domains/general").status_code == 200
    assert httpx.get(f"{server}/v1/domains").json()["object"] == "list"


def test_an_unknown_model_is_not_found(client):
    for stream in (False, True):
        with pytest.raises(openai.NotFoundError) as caught:
            ask(client, model="no-such-model", stream=stream)
        assert caught.value.code == "model_not_found"


def test_too_long_a_prompt_is_refused(client):
    with pytest.raises(openai.BadRequestError) as caught:
        ask(client, messages=[{"role": "user", "content": "one two three " * 3000}])
    assert caught.value.code == "context_length_exceeded"


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"temperature": "hot"}, "temperature"),
        ({"temperature": 3}, "temperature"),
        ({"max_tokens": -1}, "max_tokens"),
        ({"messages": "hi"}, "messages"),
        ({"messages": [{"role": "user", "content": 1}]}, "messages[0].content"),
        ({"tools": []}, "tools"),
        ({"n": 2}, "n"),
        ({"extra_body": {"n_discard": -5}}, "n_discard"),
    ],
)
def test_faults_name_their_field(client, fields, param):
    with pytest.raises(openai.BadRequestError) as caught:
        ask(client, **fields)
    assert caught.value.param == param


def test_a_token_outside_the_vocabulary_is_refused_and_harms_nobody(client):
    before = ask(client).choices[0].message.content
    with pytest.raises(openai.BadRequestError):
        ask(client, logit_bias={"2000000000": 1})
    with pytest.raises(openai.BadRequestError):
        client.completions.create(model="general", prompt=[2000000000], max_tokens=1)
    assert ask(client).choices[0].message.content == before


def test_malformed_bodies(server):
    url = f"{server}/v1/chat/completions"
    json_type = {"content-type": "application/json"}
    for body in (b"{", b'{"messages": [NaN]}', b'{"a": "\xff"}', b"[" * 100000):
        answer = httpx.post(url, content=body, headers=json_type)
        assert answer.status_code == 400 and answer.json()["error"]["code"] == "invalid_json", body[:20]
    assert httpx.post(url, content=b"{}", headers={"content-type": "text/plain"}).status_code == 415
    assert httpx.post(url, content=b" " * (8 * 1024 * 1024 + 1), headers=json_type).status_code == 413
    assert httpx.get(url).status_code == 405
    assert httpx.get(f"{server}/nothing").json()["error"]["code"] == "unknown_url"


def test_other_sites_are_refused(server):
    foreign = {"content-type": "application/json", "origin": "http://evil.example"}
    assert httpx.post(f"{server}/v1/chat/completions", content=b"{}", headers=foreign).status_code == 403
    assert httpx.get(f"{server}/v1/models", headers={"host": "evil.example"}).status_code == 403


@pytest.mark.parametrize("stream", [True, False])
def test_a_client_that_goes_away_stops_its_generation(server, client, stream):
    body = {"model": "general", "messages": QUESTION, "max_tokens": 1900, "ignore_eos": True, "stream": stream}
    with socket.create_connection(address(server), timeout=WAIT_SECONDS) as connection:
        connection.sendall(raw_post(body))
        if stream:
            assert connection.recv(64).startswith(b"HTTP/1.1 200 ")
        else:
            time.sleep(0.2)
    closed = time.monotonic()
    wait_until_idle(server)
    print(f"idle {time.monotonic() - closed:.2f} s after the close")
    assert ask(client, max_tokens=1).usage.completion_tokens == 1


def test_a_half_closed_client_gets_its_answer(server):
    for stream, end in ((True, b"data: [DONE]\n\n\r\n0\r\n\r\n"), (False, b"}")):
        body = {"model": "general", "messages": QUESTION, "max_tokens": 8, "stream": stream}
        with socket.create_connection(address(server), timeout=WAIT_SECONDS) as connection:
            connection.sendall(raw_post(body))
            connection.shutdown(socket.SHUT_WR)
            assert read_all(connection).endswith(end)


def test_health(server):
    for path in ("health", "healthz", "livez", "readyz"):
        assert httpx.get(f"{server}/{path}").json()["status"] == "ok"


def test_a_public_address_needs_a_word():
    done = subprocess.run([str(BINARY), "serve", "--host", "0.0.0.0", "--port", "0"], capture_output=True, timeout=WAIT_SECONDS)
    assert done.returncode == 2 and b"--allow-unauthenticated" in done.stderr
