"""Records what llama.cpp's quantizer makes of the sample models, for tests/python/test_quantize.py.

    python3 tools/golden_quantize.py PATH/llama-quantize > tests/python/data/quantize_llamacpp.json

Run by hand against a llama.cpp build (CI never builds a peer); the result is small and committed.
"""

import json
import pathlib
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "tests/python"))
import quantize_samples as samples  # noqa: E402


def main():
    program, out = sys.argv[1], {}
    with tempfile.TemporaryDirectory() as folder:
        source, target = pathlib.Path(folder) / "in.gguf", pathlib.Path(folder) / "out.gguf"
        for name in samples.SAMPLES:
            samples.write_sample(source, name)
            tensors = out.setdefault(name, {})
            for kind in samples.TYPES:
                subprocess.run([program, source, target, kind, "2"], check=True, capture_output=True)
                for tensor, text in samples.fingerprint(target).items():
                    tensors.setdefault(tensor, {}).setdefault(text, []).append(kind)
    # One line a tensor: {type and checksum: the file types that gave it}.
    samples_text = [
        f"{json.dumps(name)}: {{\n" + ",\n".join(f"{json.dumps(t)}: {json.dumps(kinds)}" for t, kinds in tensors.items()) + "}"
        for name, tensors in out.items()
    ]
    print("{" + ",\n".join(samples_text) + "}")


if __name__ == "__main__":
    main()
