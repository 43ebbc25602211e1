"""The service with real torch, over HTTP, as a client sees it."""

import concurrent.futures
import json
import time

import httpx
import pytest
import torch
import transformers
from conftest import Running
from localai_transformers.registry import Registry
from localai_transformers.settings import Settings, SettingsError
from openai import BadRequestError, NotFoundError, OpenAI

CAUSAL = ["phi-3.5-mini-instruct", "tiny-gemma", "tiny-olmo2", "granite-4.0-h-micro"]
HELLO = [{"role": "user", "content": "Hello there"}]


@pytest.fixture(scope="session")
def openai(service):
    return OpenAI(base_url=f"{service.url}/v1", api_key="unused", max_retries=0)


def reference(models_dir, name, messages, count):
    """Greedy text by transformers alone."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(models_dir / name)
    model = transformers.AutoModelForCausalLM.from_pretrained(models_dir / name, dtype=torch.float32).eval()
    ids = tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_dict=True, return_tensors="pt")
    out = model.generate(**ids, max_new_tokens=count, do_sample=False, pad_token_id=0)[0, ids["input_ids"].shape[1] :]
    return tokenizer.decode(out, skip_special_tokens=True, clean_up_tokenization_spaces=False), ids["input_ids"].shape[1]


def chat(service, model, **more):
    body = {"model": model, "messages": HELLO, "max_tokens": 16, "temperature": 0, "dtype": "float32", **more}
    answer = service.post("/v1/chat/completions", **body)
    assert answer.status_code == 200, answer.text
    return answer.json()


@pytest.mark.parametrize("model", CAUSAL)
def test_greedy_chat_is_what_transformers_says(service, models_dir, model):
    answer = chat(service, model)
    text, prompt_tokens = reference(models_dir, model, HELLO, 16)
    assert answer["choices"][0]["message"]["content"] == text
    assert answer["usage"]["prompt_tokens"] == prompt_tokens
    assert answer["choices"][0]["finish_reason"] in ("stop", "length")


def test_an_alias_answers_like_its_model(service):
    assert chat(service, "granite-4.0")["choices"] == chat(service, "granite-4.0-h-micro")["choices"]


def test_a_stream_holds_the_same_text(service, openai):
    whole = chat(service, "tiny-gemma")
    chunks = list(openai.chat.completions.create(
        model="tiny-gemma", messages=HELLO, max_tokens=16, temperature=0, stream=True,
        stream_options={"include_usage": True}, extra_body={"dtype": "float32"},
    ))
    text = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
    assert text == whole["choices"][0]["message"]["content"]
    assert chunks[-1].usage.model_dump(exclude_none=True) == whole["usage"]
    assert [c.choices[0].finish_reason for c in chunks if c.choices][-1] == whole["choices"][0]["finish_reason"]


def test_a_stop_text_ends_the_answer_before_it(service):
    full = chat(service, "tiny-olmo2", max_tokens=24)["choices"][0]["message"]["content"]
    middle = len(full) // 2
    stop = full[middle : middle + 3]
    assert 0 < full.index(stop), f"a text too short for this test: {full!r}"
    cut = chat(service, "tiny-olmo2", max_tokens=24, stop=stop)["choices"][0]
    assert cut["message"]["content"] == full[: full.index(stop)]
    assert cut["finish_reason"] == "stop"


def test_a_seed_repeats_its_answer(service):
    drawn = [chat(service, "tiny-gemma", temperature=1.5, seed=seed)["choices"][0]["message"] for seed in (7, 7, 8)]
    assert drawn[0] == drawn[1] != drawn[2]


def test_several_choices_and_their_logprobs(service):
    answer = chat(service, "tiny-gemma", n=3, temperature=1.0, seed=1, logprobs=True, top_logprobs=2)
    assert [c["index"] for c in answer["choices"]] == [0, 1, 2]
    for choice in answer["choices"]:
        assert choice["logprobs"]["content"]
        for token in choice["logprobs"]["content"]:
            assert token["logprob"] <= token["top_logprobs"][0]["logprob"] <= 0.0
            assert len(token["top_logprobs"]) == 2


def test_tools_reach_the_template(service):
    tools = [{"type": "function", "function": {"name": "look_up"}}]
    plain, with_tools = chat(service, "tiny-gemma"), chat(service, "tiny-gemma", tools=tools)
    assert with_tools["usage"]["prompt_tokens"] > plain["usage"]["prompt_tokens"]


def test_completions_take_text_and_ids(service, models_dir):
    tokenizer = transformers.AutoTokenizer.from_pretrained(models_dir / "tiny-gemma")
    answers = [
        service.post("/v1/completions", model="tiny-gemma", prompt=p, max_tokens=8, temperature=0).json()["choices"][0]["text"]
        for p in ("The sea is", tokenizer("The sea is")["input_ids"])
    ]
    assert answers[0] == answers[1]


def test_embeddings_are_what_transformers_says(service, models_dir, openai):
    texts = ["one", "a longer text than the first"]
    got = openai.embeddings.create(model="tiny-bert", input=texts, encoding_format="float")
    tokenizer = transformers.AutoTokenizer.from_pretrained(models_dir / "tiny-bert")
    model = transformers.AutoModel.from_pretrained(models_dir / "tiny-bert").eval()
    for text, item in zip(texts, got.data):
        with torch.inference_mode():
            hidden = model(**tokenizer(text, return_tensors="pt")).last_hidden_state.mean(1)[0]
        wanted = torch.nn.functional.normalize(hidden, dim=0)
        assert torch.allclose(torch.tensor(item.embedding), wanted, atol=1e-5)
    assert len(openai.embeddings.create(model="tiny-bert", input="x").data[0].embedding) == 64  # base64


@pytest.mark.parametrize("quantization", ["4bit", "fp4", {"bits": 4, "double_quant": True}, "8bit"])
def test_quantized_copies_answer_and_take_less(service, quantization):
    full = service.post("/v1/models/load", model="tiny-gemma", dtype="bfloat16").json()
    small = service.post("/v1/models/load", model="tiny-gemma", quantization=quantization).json()
    print(f"\n{quantization}: {small['bytes']} bytes, bfloat16 {full['bytes']}, loaded in {small['load_ms']} ms")
    assert small["bytes"] < full["bytes"]
    assert chat(service, "tiny-gemma", quantization=quantization, dtype=None)["usage"]["completion_tokens"] > 0


BAD = [
    ({"model": "nowhere"}, 404, "model_not_found", "model"),
    ({"model": "../etc"}, 404, "model_not_found", "model"),
    ({"messages": []}, 400, "invalid_value", "messages"),
    ({"messages": [{"content": "x"}]}, 400, "invalid_type", "messages[0].role"),
    ({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, 400, "unsupported_parameter", "messages[0].content"),
    ({"temperature": 3}, 400, "invalid_value", "temperature"),
    ({"temperature": "hot"}, 400, "invalid_type", "temperature"),
    ({"max_tokens": 0}, 400, "invalid_value", "max_tokens"),
    ({"bogus": 1}, 400, "unknown_parameter", "bogus"),
    ({"quantization": "3bit"}, 400, "invalid_value", "quantization"),
    ({"quantization": {"bits": 8, "compute_dtype": "float16"}}, 400, "invalid_value", "quantization"),
    ({"messages": [{"role": "user", "content": "word " * 400}]}, 400, "context_length_exceeded", "messages"),
    ({"model": "tiny-bert"}, 400, "invalid_value", "model"),
]


@pytest.mark.parametrize("change, status, code, param", BAD)
def test_bad_requests_get_the_error_object(service, change, status, code, param):
    answer = service.post("/v1/chat/completions", **{"model": "tiny-gemma", "messages": HELLO, **change})
    error = answer.json()["error"]
    assert (answer.status_code, error["code"], error["param"]) == (status, code, param), error


def test_openai_errors_have_their_classes(service, openai):
    with pytest.raises(NotFoundError):
        openai.chat.completions.create(model="nowhere", messages=HELLO)
    with pytest.raises(BadRequestError):
        openai.chat.completions.create(model="tiny-gemma", messages=HELLO, temperature=9)
    broken = service.client.post("/v1/chat/completions", content=b"{", headers={"content-type": "application/json"})
    assert broken.json()["error"]["code"] == "invalid_json"


def forward_passes(service):
    for line in service.client.get("/metrics").text.splitlines():
        if line.startswith("transformers_forward_passes_total"):
            return float(line.split()[-1])
    raise AssertionError("no such metric")


def test_eight_requests_share_their_passes(service):
    """At least twice the throughput of one at a time, counted in forward passes, which take the time."""
    before = forward_passes(service)
    alone = [chat(service, "tiny-olmo2", max_tokens=48, ignore_eos=True) for _ in range(8)]
    one_by_one = forward_passes(service) - before
    before = forward_passes(service)
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        together = list(pool.map(lambda _: chat(service, "tiny-olmo2", max_tokens=48, ignore_eos=True), range(8)))
    shared = forward_passes(service) - before
    print(f"\nforward passes: {one_by_one:.0f} one by one, {shared:.0f} together")
    assert shared * 2 <= one_by_one
    assert [a["usage"] for a in together] == [a["usage"] for a in alone]


def test_a_client_that_goes_away_frees_its_row(service):
    body = {"model": "tiny-olmo2", "messages": HELLO, "max_tokens": 200, "ignore_eos": True, "stream": True}
    with service.client.stream("POST", "/v1/chat/completions", json=body) as stream:
        next(stream.iter_lines())
    deadline = time.monotonic() + 60
    while any(e["in_use"] for e in service.client.get("/v1/models/loaded").json()["data"]):
        assert time.monotonic() < deadline, "the lease of a request whose client went away is still held"
        time.sleep(0.05)


def test_the_limit_holds_and_the_oldest_leaves(models_dir):
    running = Running(models_dir, MODEL_CACHE_MAX_MEMORY_MB="1")
    try:
        names = ["tiny-gemma", "tiny-olmo2", "phi-3.5-mini-instruct", "tiny-gemma"]
        for name in names:
            chat(running, name)
            state = running.client.get("/v1/models/loaded").json()
            assert state["bytes"] <= state["budget_bytes"] == 1 << 20
            assert name in [e["id"] for e in state["data"]]
        assert len(state["data"]) < 3
        unloaded = running.post("/v1/models/unload", model="tiny-gemma").json()
        assert unloaded["unloaded"] == 1
    finally:
        running.stop()


def test_a_full_queue_is_429(models_dir):
    running = Running(models_dir, TRANSFORMERS_QUEUE_MAX="1", TRANSFORMERS_BATCH_MAX="1")
    body = {"model": "tiny-olmo2", "messages": HELLO, "max_tokens": 200, "ignore_eos": True}
    try:
        assert running.post("/v1/models/load", model="tiny-olmo2").status_code == 200
        with concurrent.futures.ThreadPoolExecutor(6) as pool:
            statuses = list(pool.map(lambda _: httpx.post(f"{running.url}/v1/chat/completions", json=body, timeout=120), range(6)))
        assert {s.status_code for s in statuses} == {200, 429}
        assert all("retry-after" in s.headers for s in statuses if s.status_code == 429)
    finally:
        running.stop()


def test_health_tells_what_is_loaded(service):
    health = service.client.get("/health").json()
    assert health["status"] == "ok" and health["device"] == "cpu" and health["rss_bytes"] > 0
    listed = {m["id"] for m in json.loads(service.client.get("/v1/models").text)["data"]}
    assert set(CAUSAL) <= listed


def test_a_plan_says_what_a_load_takes(service):
    service.post("/v1/models/unload", model="tiny-olmo2")
    plan = service.post("/v1/models/plan", model="tiny-olmo2", dtype="float32").json()
    loaded = service.post("/v1/models/load", model="tiny-olmo2", dtype="float32").json()
    assert plan["loaded"] is False and abs(plan["bytes"] - loaded["bytes"]) <= 0.15 * loaded["bytes"]
    assert loaded["context_length"] == 256
    again = service.post("/v1/models/plan", model="tiny-olmo2", dtype="float32").json()
    assert again["loaded"] is True and again["bytes"] == loaded["bytes"]
    assert service.post("/v1/models/plan", model="nowhere").status_code == 404


def test_a_request_may_narrow_the_context(service):
    full = chat(service, "tiny-gemma", max_tokens=64, ignore_eos=True)["usage"]
    short = chat(service, "tiny-gemma", max_tokens=64, ignore_eos=True, context_length=full["prompt_tokens"] + 5)
    assert full["completion_tokens"] == 64
    assert short["usage"]["completion_tokens"] == 5 and short["choices"][0]["finish_reason"] == "length"
    body = {"model": "tiny-gemma", "messages": HELLO, "context_length": full["prompt_tokens"]}
    refused = service.post("/v1/chat/completions", **body)
    assert (refused.status_code, refused.json()["error"]["code"]) == (400, "context_length_exceeded")


def test_models_named_in_the_environment_go_before_the_folder(models_dir):
    said = {"models": {"phi": {"path": str(models_dir / "tiny-gemma")}}}
    env = {"TRANSFORMERS_MODELS_DIR": str(models_dir), "TRANSFORMERS_MODELS": json.dumps(said), "DEVICE": "cpu"}
    registry = Registry(Settings.from_environment(env))
    assert registry.find("phi").path == models_dir / "tiny-gemma"
    assert registry.find("tiny-olmo2").path == models_dir / "tiny-olmo2"
    for bad in ("{", "[]", '{"models": 3}', '{"models": {"a": {}}}', '{"models": {"a": {"path": "x", "y": 1}}}'):
        with pytest.raises(SettingsError, match="TRANSFORMERS_MODELS"):
            Registry(Settings.from_environment(env | {"TRANSFORMERS_MODELS": bad}))


def test_a_model_is_named_by_its_path_only_where_that_is_allowed(service, models_dir, tmp_path):
    path = str(models_dir / "tiny-olmo2")
    refused = service.post("/v1/models/load", model=path)
    assert refused.status_code == 404 and refused.json()["error"]["code"] == "model_not_found"
    other = Running(tmp_path, TRANSFORMERS_ALLOW_PATHS="1")
    try:
        loaded = other.post("/v1/models/load", model=path)
        assert loaded.status_code == 200 and loaded.json()["id"] == path
        assert other.post("/v1/models/load", model="tiny-olmo2").status_code == 404
        assert other.post("/v1/models/load", model=str(tmp_path)).status_code == 404
        assert other.post("/v1/models/load", model="/nothing\0here").status_code in (400, 404)
    finally:
        other.stop()
