"""`localai quantize`: byte for byte what llama.cpp writes, and an honest error where it cannot."""

import json
import pathlib

import gguf
import numpy as np
import pytest
import quantize_samples as samples
from conftest import run_json, run_localai

GOLDEN = json.loads((pathlib.Path(__file__).parent / "data/quantize_llamacpp.json").read_text())


@pytest.fixture(scope="module", params=samples.SAMPLES)
def sample(request, tmp_path_factory):
    path = tmp_path_factory.mktemp("samples") / f"{request.param}.gguf"
    samples.write_sample(path, request.param)
    return request.param, path


@pytest.mark.parametrize("kind", samples.TYPES)
def test_bytes_are_those_of_llama_cpp(sample, kind, tmp_path):
    name, path = sample
    out = tmp_path / "out.gguf"
    report = run_json("quantize", path, out, "--type", kind.lower(), "--threads", 2, "--json")
    expected = {tensor: text for tensor, kinds in GOLDEN[name].items() for text, of in kinds.items() if kind in of}
    assert samples.fingerprint(out) == expected
    assert report["type"] == kind
    assert report["bytes_after"] == out.stat().st_size
    assert sum(c["tensors"] for c in report["classes"]) == len(expected)


def test_metadata_is_kept_and_says_the_new_type(tmp_path):
    path, out = tmp_path / "in.gguf", tmp_path / "out.gguf"
    samples.write_sample(path, "narrow")
    run_localai("quantize", path, out, "--type", "Q4_K_M")
    before, after = gguf.GGUFReader(path), gguf.GGUFReader(out)
    for key, field in before.fields.items():
        if not key.startswith("GGUF."):
            assert after.fields[key].contents() == field.contents(), key
    assert after.fields["general.file_type"].contents() == 15
    assert after.fields["general.quantization_version"].contents() == 2


def test_the_reported_error_is_the_real_one(tmp_path):
    path, out = tmp_path / "in.gguf", tmp_path / "out.gguf"
    samples.write_sample(path, "tied")
    report = run_json("quantize", path, out, "--type", "Q4_K_M", "--json")
    tensors = {t.name: t for t in gguf.GGUFReader(out).tensors}
    before, after = [], []
    for tensor in gguf.GGUFReader(path).tensors:
        if ".ffn_down." in tensor.name:
            before.append(gguf.quants.dequantize(tensor.data, tensor.tensor_type).ravel())
            after.append(gguf.quants.dequantize(tensors[tensor.name].data, tensors[tensor.name].tensor_type).ravel())
    wrong = np.sqrt(np.mean((np.concatenate(after).astype(np.float64) - np.concatenate(before)) ** 2))
    reported = next(c for c in report["classes"] if c["name"] == "ffn_down")
    assert reported["rmse"] == pytest.approx(wrong, rel=1e-5)
    assert reported["types"] == {"Q4_K": 4, "Q6_K": 4}


def test_quantized_input_needs_the_flag(tmp_path):
    path, once, twice = tmp_path / "in.gguf", tmp_path / "once.gguf", tmp_path / "twice.gguf"
    samples.write_sample(path, "tied")
    run_localai("quantize", path, once, "--type", "Q8_0")
    refused = run_localai("quantize", once, twice, "--type", "Q4_0", check=False)
    assert refused.returncode != 0
    assert b"quantized already (Q8_0)" in refused.stderr and b"--allow-requantize" in refused.stderr
    assert not twice.exists()
    run_localai("quantize", once, twice, "--type", "Q4_0", "--allow-requantize")
    assert {text.split()[0] for text in samples.fingerprint(twice).values()} == {"F32", "Q4_0", "Q6_K"}


def test_errors_name_what_is_wrong_and_leave_nothing(tmp_path):
    path = tmp_path / "in.gguf"
    samples.write_sample(path, "odd")
    content = path.read_bytes()

    def message(*args):
        done = run_localai("quantize", *args, check=False)
        assert done.returncode != 0
        assert done.stdout == b""
        return done.stderr.decode()

    assert "'Q3_X' is not one of Q4_0, Q4_1" in message(path, tmp_path / "out.gguf", "--type", "Q3_X")
    assert "is the input itself" in message(path, path, "--type", "Q4_0")
    assert "no domain, model or path" in message(tmp_path / "none.gguf", tmp_path / "out.gguf", "--type", "Q4_0")
    assert "No such file" in message(path, tmp_path / "none" / "out.gguf", "--type", "Q4_0")
    broken = bytearray(content)
    data = next(t for t in gguf.GGUFReader(path).tensors if t.name == "blk.1.ffn_down.weight")
    broken[data.data_offset : data.data_offset + 2] = b"\x00\x7e"  # a NaN
    (tmp_path / "nan.gguf").write_bytes(broken)
    assert "'blk.1.ffn_down.weight': it holds a value that is not finite" in message(
        tmp_path / "nan.gguf", tmp_path / "out.gguf", "--type", "Q8_0"
    )
    (tmp_path / "cut.gguf").write_bytes(content[:-100])
    assert "end past the tensor data" in message(tmp_path / "cut.gguf", tmp_path / "out.gguf", "--type", "Q8_0")
    assert path.read_bytes() == content
    assert sorted(p.name for p in tmp_path.iterdir()) == ["cut.gguf", "in.gguf", "nan.gguf"]
