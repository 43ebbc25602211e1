"""Our quantizer beside llama.cpp's: the same real model, the same types, what each file lost.

    build/venv/bin/python bench/quantizer_quality.py models/NAME.gguf --llama-quantize PATH --text FILE

The model is dequantized to float32 first if it is quantized, and that is what both programs start
from. For every type: which tensors have other bytes, and both files' perplexity and KL divergence
from float32 over the text (`localai perplexity --reference`).
"""

import argparse
import json
import pathlib
import subprocess
import tempfile

import gguf

ROOT = pathlib.Path(__file__).resolve().parent.parent
TYPES = ("Q8_0", "Q6_K", "Q5_K_M", "Q4_K_M", "Q4_0")


def run(*command):
    return subprocess.run(list(map(str, command)), capture_output=True, text=True, check=True).stdout


def as_float32(binary, model, folder):
    run(binary, "convert", model, folder / "float32", "--type", "f32")
    run(binary, "convert", folder / "float32", folder / "float32.gguf")
    return folder / "float32.gguf"


def different_tensors(ours, theirs):
    def read(path):
        return {t.name: (t.tensor_type.name, bytes(t.data)) for t in gguf.GGUFReader(path).tensors}

    mine, others = read(ours), read(theirs)
    return sum(mine.get(name) != others.get(name) for name in mine | others), len(mine)


def quality(arguments, model, source):
    command = [arguments.binary, "perplexity", "--model", model, "--reference", source, "--file", arguments.text]
    report = json.loads(run(*command, "--threads", arguments.threads, "--json"))
    return f"{report['perplexity']:.4f} | {report['mean_kl']:.6f} | {100 * report['top1_agreement']:.2f} %"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=pathlib.Path)
    parser.add_argument("--llama-quantize", required=True)
    parser.add_argument("--text", required=True)
    parser.add_argument("--types", nargs="+", default=TYPES)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--binary", default=ROOT / "build/release/localai")
    arguments = parser.parse_args()

    print("| model | type | tensors that differ | quantizer | perplexity | mean KL | same first choice |")
    print("|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        source = as_float32(arguments.binary, arguments.model, folder)
        for kind in arguments.types:
            ours, theirs = folder / "ours.gguf", folder / "theirs.gguf"
            run(arguments.binary, "quantize", source, ours, "--type", kind)
            run(arguments.llama_quantize, source, theirs, kind)
            differ, tensors = different_tensors(ours, theirs)
            for who, path in (("localai", ours), ("llama.cpp", theirs)):
                found = quality(arguments, path, source)
                print(f"| {arguments.model.stem} | {kind} | {differ} of {tensors} | {who} | {found} |", flush=True)
                path.unlink()


if __name__ == "__main__":
    main()
