"""Records what llama.cpp's greedy decoding answers, for tests/python/test_greedy_text.py.

    python3 tools/golden_llamacpp.py PATH/llama-completion models > tests/python/data/greedy_llamacpp.json

Run by hand against a llama.cpp build (CI never builds a peer); the result is small and committed.
"""

import json
import pathlib
import re
import subprocess
import sys

MODELS = ["SmolLM2-135M-Instruct.Q4_1.gguf", "gemma-3-270m-q4_k_m.gguf"]
TOKENS = 48
PROMPTS = [
    "The capital of France is",
    "Once upon a time, in a small village by the sea,",
    "def fibonacci(n):\n",
    "Water boils at",
    "Die Hauptstadt von Deutschland ist",
    "Q: What is 2 + 2?\nA:",
]


def complete(program, model, prompt):
    command = [program, "-m", model, "-t", "2", "-c", "512", "-n", str(TOKENS), "--temp", "0", "-no-cnv"]
    command += ["--no-display-prompt", "--simple-io", "-p", prompt]
    text = subprocess.run(list(map(str, command)), capture_output=True, check=True).stdout.decode()
    # The tool ends its output with two newlines of its own, and marks an end of text.
    return re.sub(r"( \[end of text\])?\n\n$", "", text)


def main():
    program, models = sys.argv[1], pathlib.Path(sys.argv[2])
    version = subprocess.run([program, "--version"], capture_output=True, text=True)
    answers = {
        model: [{"prompt": p, "text": complete(program, models / model, p)} for p in PROMPTS] for model in MODELS
    }
    note = f"llama.cpp {(version.stdout + version.stderr).strip().splitlines()[0]}, CPU, temperature 0"
    json.dump({"made_with": note, "tokens": TOKENS, "answers": answers}, sys.stdout, indent=1, ensure_ascii=False)
    print()


if __name__ == "__main__":
    main()
