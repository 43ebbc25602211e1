"""Our speed beside a peer's: same file, same threads, interleaved A B A B, medians and ratios.

    python3 bench/compare.py --peer PATH/llama-bench models/*.gguf --threads 2 --rounds 5

The peer is any program with llama-bench's command line and JSON output (llama.cpp, ik_llama.cpp), and
with --parallel N llama-batched-bench: N prompts and then N answers together. --peer may be given several
times, each with its extra flags in the same string.
"""

import argparse
import json
import pathlib
import shlex
import statistics
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent


def run_ours(binary, model, arguments):
    """Two runs, since llama-bench prefills and decodes apart, each from an empty context."""

    def bench(prompt_tokens, gen_tokens):
        command = [binary, "bench", "--model", model, "--threads", arguments.threads, "--repeat", 1, "--json"]
        command += ["--prompt-tokens", prompt_tokens, "--gen-tokens", gen_tokens, "--parallel", arguments.parallel]
        done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=True)
        return json.loads(done.stdout)

    if arguments.parallel > 1:  # answers follow their prompts, as in llama-batched-bench
        figures = bench(arguments.prompt_tokens, arguments.gen_tokens)
        return {"prefill": figures["prefill_tok_s"]["median"], "decode": figures["decode_tok_s"]["median"]}
    return {
        "prefill": bench(arguments.prompt_tokens, 2)["prefill_tok_s"]["median"],
        "decode": bench(1, arguments.gen_tokens)["decode_tok_s"]["median"],
    }


def run_elsewhere(command):
    """Some peers write logs into the folder that they run in."""
    with tempfile.TemporaryDirectory() as folder:
        return subprocess.run(list(map(str, command)), capture_output=True, text=True, check=True, cwd=folder)


def run_batched_peer(peer, model, arguments):
    prompt, gen, parallel = arguments.prompt_tokens, arguments.gen_tokens, arguments.parallel
    context = (prompt + gen) * parallel + 256
    command = [*shlex.split(peer), "-m", model.resolve(), "-t", arguments.threads, "-c", context, "-b", 2048, "-ub", 512]
    command += ["-npp", prompt, "-ntg", gen, "-npl", parallel]
    done = run_elsewhere(command)
    table = [line.split("|")[1:-1] for line in (done.stdout + done.stderr).splitlines() if line.startswith("|")]
    titles, values = [cell.strip() for cell in table[0]], list(map(float, table[2]))
    return {"prefill": values[titles.index("S_PP t/s")], "decode": values[titles.index("S_TG t/s")]}


def run_peer(peer, model, arguments):
    if arguments.parallel > 1:
        return run_batched_peer(peer, model, arguments)
    command = [*shlex.split(peer), "-m", model.resolve(), "-t", arguments.threads, "-r", 1, "-o", "json"]
    command += ["-p", arguments.prompt_tokens, "-n", arguments.gen_tokens]
    done = run_elsewhere(command)
    rows = json.loads(done.stdout)
    return {
        "prefill": next(r["avg_ts"] for r in rows if r["n_gen"] == 0),
        "decode": next(r["avg_ts"] for r in rows if r["n_prompt"] == 0),
    }


def spread(values):
    return f"{statistics.median(values):.1f} ({min(values):.1f}-{max(values):.1f})"


def short(peer):
    program, *flags = shlex.split(peer)
    path = pathlib.Path(program)
    return " ".join([*path.parts[-4:-3], path.name, *flags])  # with the folder that it was built in


def compare(model, arguments):
    ours, peers = [], {peer: [] for peer in arguments.peer}
    for _ in range(arguments.rounds):
        ours.append(run_ours(arguments.binary, model, arguments))
        for peer in arguments.peer:
            peers[peer].append(run_peer(peer, model, arguments))
    rows = []
    for what in ("prefill", "decode"):
        mine = [r[what] for r in ours]
        for peer, results in peers.items():
            theirs = [r[what] for r in results]
            ratio = statistics.median(a / b for a, b in zip(mine, theirs))
            rows.append((model.name, what, short(peer), spread(mine), spread(theirs), ratio))
    return rows


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("models", nargs="+", type=pathlib.Path)
    parser.add_argument("--peer", action="append", required=True, help="llama-bench, with extra flags if need be")
    parser.add_argument("--binary", default=ROOT / "build/release/localai")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--prompt-tokens", type=int, default=512)
    parser.add_argument("--gen-tokens", type=int, default=128)
    parser.add_argument("--parallel", type=int, default=1)
    arguments = parser.parse_args()

    print(f"{arguments.rounds} interleaved rounds, {arguments.threads} threads, {arguments.parallel} at once; "
          "tok/s as median (min-max)\n")
    print("| model | phase | peer | localai | peer's | ratio (median of pairs) |")
    print("|---|---|---|---|---|---|")
    for model in arguments.models:
        for name, what, peer, mine, theirs, ratio in compare(model, arguments):
            tokens = arguments.prompt_tokens if what == "prefill" else arguments.gen_tokens
            print(f"| {name} | {what} {tokens} | {peer} | {mine} | {theirs} | {ratio:.2f} |")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
