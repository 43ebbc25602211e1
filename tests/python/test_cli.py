"""The commands that answer, list and check, on the real models."""

import json
import pathlib

import pytest

from conftest import MODELS, ROOT, run_json, run_localai

AGENTS = ROOT / "config/domains.demo.json"
CONFIG = ["--config", AGENTS, "--models-dir", MODELS]
SHORT = ["--max-tokens", 8, "--temperature", 0]


def test_run_answers_an_argument_and_standard_input_alike(smollm2):
    by_argument = run_localai("run", smollm2, "Say hi.", *SHORT)
    assert by_argument.strip()
    assert run_localai("run", smollm2, *SHORT, stdin=b"Say hi.") == by_argument


def test_run_goes_on_with_the_text_of_a_base_model(gemma3):
    text = "The capital of France is"
    raw = run_json("generate", "--model", gemma3, "--prompt", text, *SHORT, "--json")["text"]
    assert run_localai("run", gemma3, text, *SHORT).decode() == raw + "\n"


def test_run_takes_a_domain_its_short_agent_id_and_a_model_name():
    answers = {
        run_localai("run", name, "Say hi.", "--system", "Be brief.", *SHORT, *CONFIG)
        for name in ("smollm2", "SmolLM2-135M-Instruct.Q4_1")
    }
    assert len(answers) == 1
    assert run_localai("run", "0x3579", "Say hi.", *SHORT, *CONFIG).strip()


def test_the_domain_s_system_prompt_reaches_the_model():
    with_domain = run_localai("run", "0x5678", "Who are you?", *SHORT, *CONFIG)
    without = run_localai("run", "smollm2", "Who are you?", *SHORT, *CONFIG)
    assert with_domain != without


def test_chat_remembers_and_clear_forgets(smollm2):
    lines = b"My name is Zoe.\n/clear\nMy name is Zoe.\n/bye\n"
    answers = run_localai("chat", smollm2, *SHORT, stdin=lines).decode().splitlines()
    half = len(answers) // 2
    assert answers[:half] == answers[half:]


def test_list_names_domains_and_files():
    entries = {e["id"]: e for e in run_json("list", "--json", *CONFIG)}
    assert entries["general"]["kind"] == "domain" and entries["general"]["bytes"] == 98362432
    assert entries["gemma-3-270m-q4_k_m"]["kind"] == "model"
    assert b"general" in run_localai("list", *CONFIG)


def test_show_tells_what_a_model_is(gemma3):
    shown = run_json("show", gemma3, "--json")
    assert shown["architecture"] == "gemma3" and shown["parameters"] == 268098176
    assert shown["vocabulary"] == 262144 and shown["chat_template"] is False
    assert run_json("show", "0x5678", "--json", *CONFIG)["domain"]["id"].startswith("0x5678")


@pytest.mark.parametrize("command", ["show", "run", "chat"])
def test_an_unknown_model_is_an_error_that_names_it(command):
    done = run_localai(command, "nosuch-model", stdin=b"hello\n", check=False)
    assert done.returncode != 0 and b"nosuch-model" in done.stderr and not done.stdout


@pytest.mark.parametrize("name, count", [("domains.json", 30), ("domains.demo.json", 36), ("domains.production.json", 6)])
def test_the_shipped_configs_are_right(name, count):
    report = run_json("domains", "check", "--config", ROOT / "config" / name, "--models-dir", MODELS, "--json")
    assert report["errors"] == [] and report["domains"] == count
    if name == "domains.demo.json":  # the others name models that scripts/get-models.sh does not fetch
        assert report["warnings"] == []
    domains = json.loads((ROOT / "config" / name).read_text())["domains"]
    assert all(len(domain["system_prompt"]) > 40 for id, domain in domains.items() if id != "gemma-3-270m")


def test_the_demo_has_the_ids_of_the_agents():
    ids = [json.loads((ROOT / "config" / f).read_text())["domains"].keys() for f in ("domains.json", "domains.demo.json")]
    assert len(ids[0]) == 35 and set(ids[1]) - set(ids[0]) == {"gemma-3-270m"} and set(ids[0]) <= set(ids[1])


def test_check_names_what_is_wrong_and_fails(tmp_path):
    config = {"domains": {"a": {"name": "A", "model_path": "x.gguf", "max_tokens": 0}}, "default_domain": "a"}
    file = tmp_path / "bad.json"
    file.write_text(json.dumps(config))
    done = run_localai("domains", "check", "--config", file, check=False)
    assert done.returncode != 0 and b"max_tokens" in done.stdout


def test_the_published_schema_is_the_parser_s():
    schema = pathlib.Path(ROOT / "config/domains.schema.json").read_text()
    assert run_localai("domains", "schema").decode() == schema
