"""The router of the shipped agents: how often it is right, and what explain and /v1/route say."""

import json

from conftest import MODELS, ROOT, run_json, run_localai

DEMO = ["--config", ROOT / "config/domains.demo.json", "--models-dir", MODELS]
HELD_OUT = ROOT / "tests/data/routing_heldout.jsonl"
WITH_EMBEDDINGS, RULES_ALONE = 0.90, 0.77  # measured: 0.9034 and 0.7778
TUNING = ROOT / "tests/data/routing_tuning.jsonl"


def evaluate(*arguments, **options):
    return json.loads(run_localai("domains", "eval", *arguments, "--json", *DEMO, **options))


def test_the_held_out_prompts_reach_their_domains():
    result = evaluate(HELD_OUT)
    assert result["total"] == 207 and result["unknown"] == []
    assert result["accuracy"] >= WITH_EMBEDDINGS and result["rules_accuracy"] >= RULES_ALONE
    assert result["substring_accuracy"] < 0.5, "what the earlier server did"


def test_the_halves_share_no_prompt():
    halves = [{json.loads(line)["prompt"] for line in open(file)} for file in (HELD_OUT, TUNING)]
    examples = {json.loads(line)["prompt"] for line in open(ROOT / "config/routing_examples.jsonl")}
    assert len(halves[0]) == 207 and len(halves[1]) == 414
    assert not halves[0] & (halves[1] | examples)


def test_eval_fails_under_its_target_and_shows_the_confusion():
    done = run_localai("domains", "eval", TUNING, "--target", 1.0, *DEMO, check=False)
    assert done.returncode != 0 and b"under the target" in done.stderr
    assert b"expected -> chosen" in done.stdout and b"rules alone" in done.stdout


def test_explain_shows_every_candidate_and_why_it_lost():
    decision = run_json("domains", "explain", "Write an SQL query with a left join", "--json", *DEMO)
    assert decision["domain"] == "0x5678-SQLAgent" and decision["stage"] == "rules"
    assert len(decision["candidates"]) >= 34 and all(c["why"] for c in decision["candidates"])
    only = run_json("domains", "explain", "Write an SQL query", "--only", "general", "--json", *DEMO)
    assert only["domain"] == "general"
    near = run_json("domains", "explain", "Is our money safe if that one bank collapses?", "--json", *DEMO)
    assert near["stage"] == "embedding" and "similarity" in near["candidates"][0]


def test_without_the_embedder_rules_decide_and_the_answer_says_so(tmp_path):
    config = ["--config", ROOT / "config/domains.demo.json", "--models-dir", tmp_path]
    decision = run_json("domains", "explain", "a left join in SQL", "--json", *config)
    assert decision["domain"] == "0x5678-SQLAgent"
    decision = run_json("domains", "explain", "hmm", "--json", *config)
    assert decision["domain"] == "general" and "all-MiniLM-L6-v2" in decision["reason"]


def test_fit_reproduces_itself(tmp_path):
    lines = open(TUNING).read().splitlines()[:40]
    (tmp_path / "few.jsonl").write_text("\n".join(lines))
    heads = []
    for name in ("a", "b"):
        run_localai("domains", "fit", tmp_path / "few.jsonl", "--out", tmp_path / name, *DEMO)
        heads.append((tmp_path / name).read_text())
    assert heads[0] == heads[1] and json.loads(heads[0])["dimension"] == 384
