"""`localai inspect` against files written by the gguf and safetensors packages, whole and broken."""

import concurrent.futures
import json
import os
import random
import struct

import gguf
import numpy as np
import pytest
from conftest import run_json, run_localai
from safetensors.numpy import save_file

Q = gguf.GGMLQuantizationType
QUANTIZED = [Q.Q4_0, Q.Q4_1, Q.Q5_0, Q.Q5_1, Q.Q8_0, Q.Q2_K, Q.Q3_K, Q.Q4_K, Q.Q5_K, Q.Q6_K, Q.Q8_K,
             Q.IQ4_NL, Q.IQ4_XS, Q.MXFP4]
UNSUPPORTED = [Q.Q8_1, Q.IQ1_S, Q.IQ1_M, Q.IQ2_XXS, Q.IQ2_XS, Q.IQ2_S, Q.IQ3_XXS, Q.IQ3_S, Q.TQ1_0, Q.TQ2_0,
               Q.NVFP4]


def zeros_of(kind, shape):
    """Bytes of a tensor of that type, as the gguf package lays rows out."""
    return np.zeros(gguf.quant_shape_to_byte_shape(shape, kind), dtype=np.uint8)


def add_metadata(writer):
    """Every type once; returns what inspect must print."""
    writer.add_uint8("t.u8", 255)
    writer.add_int8("t.i8", -128)
    writer.add_uint16("t.u16", 65535)
    writer.add_int16("t.i16", -32768)
    writer.add_uint32("t.u32", 2**32 - 1)
    writer.add_int32("t.i32", -(2**31))
    writer.add_uint64("t.u64", 2**64 - 1)
    writer.add_int64("t.i64", -(2**63))
    writer.add_float32("t.f32", 0.1)
    writer.add_float64("t.f64", 0.1)
    writer.add_bool("t.bool", True)
    writer.add_string("t.string", "line\n\u00e9\U0001f600\x01")
    writer.add_array("t.strings", ["a", "", "\u4f60\u597d"] * 500)
    writer.add_array("t.ints", [1, -2, 3])
    writer.add_array("t.floats", [0.5, -1.25])
    writer.add_array("t.bools", [True, False])
    writer.add_float32("t.nan", float("nan"))
    return {
        "t.u8": 255, "t.i8": -128, "t.u16": 65535, "t.i16": -32768, "t.u32": 2**32 - 1, "t.i32": -(2**31),
        "t.u64": 2**64 - 1, "t.i64": -(2**63), "t.f32": float(np.float32(0.1)), "t.f64": 0.1, "t.bool": True,
        "t.string": "line\n\u00e9\U0001f600\x01", "t.strings": ["a", "", "\u4f60\u597d"] * 500,
        "t.ints": [1, -2, 3], "t.floats": [0.5, -1.25], "t.bools": [True, False], "t.nan": None,
    }  # fmt: skip


def write_gguf(path):
    writer = gguf.GGUFWriter(path, "llama")
    metadata = {"general.architecture": "llama", **add_metadata(writer)}
    tensors = []

    def add(name, array, kind, shape, raw=None):
        writer.add_tensor(name, array, raw_dtype=raw)
        tensors.append({"name": name, "type": kind, "shape": shape, "bytes": array.nbytes})

    add("f32", np.ones((2, 3), np.float32), "F32", [2, 3])
    add("f16", np.ones((5,), np.float16), "F16", [5])
    add("f64", np.ones((1, 2, 3, 4), np.float64), "F64", [1, 2, 3, 4])
    for width in (8, 16, 32, 64):
        add(f"i{width}", np.ones((3, 2), f"int{width}"), f"I{width}", [3, 2])
    add("bf16", zeros_of(Q.BF16, (3, 4)), "BF16", [3, 4], Q.BF16)
    for kind in QUANTIZED:
        add(kind.name, zeros_of(kind, (3, 512)), kind.name, [3, 512], kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return {"format": "gguf", "architecture": "llama", "metadata": metadata, "tensors": tensors}


def test_gguf_of_every_type(tmp_path):
    expected = write_gguf(tmp_path / "all.gguf")
    shown = run_json("inspect", tmp_path / "all.gguf", "--json")
    assert shown == expected
    assert list(shown["metadata"]) == list(expected["metadata"])  # in the order of the file
    table = run_localai("inspect", tmp_path / "all.gguf").decode()
    assert "\x01" not in table and "(1500)" in table
    for tensor in expected["tensors"]:
        assert str(tensor["shape"]) in table and tensor["name"] in table


@pytest.mark.parametrize("kind", UNSUPPORTED, ids=lambda kind: kind.name)
def test_a_gguf_type_that_is_not_supported_is_named_with_its_tensor(kind, tmp_path):
    path = tmp_path / "m.gguf"
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_tensor("fine.weight", np.ones((2, 3), np.float32))
    writer.add_tensor("odd.weight", zeros_of(kind, (2, 512)), raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    failed = run_localai("inspect", path, check=False)
    assert failed.returncode != 0
    assert f"{path}: tensor 'odd.weight': type {kind.name} is not supported" in failed.stderr.decode()


def test_real_gguf_files_as_the_gguf_package_reads_them(smollm2, gemma3):
    for path in (smollm2, gemma3):
        shown = run_json("inspect", path, "--json")
        reader = gguf.GGUFReader(path)
        assert [
            {
                "name": t.name,
                "type": t.tensor_type.name,
                "shape": [int(d) for d in reversed(t.shape)],
                "bytes": int(t.n_bytes),
            }
            for t in reader.tensors
        ] == shown["tensors"]
        fields = {k: v for k, v in reader.fields.items() if not k.startswith("GGUF.")}
        assert list(fields) == list(shown["metadata"])
        for key, field in fields.items():
            if field.types[0] != gguf.GGUFValueType.ARRAY or len(field.data) < 50_000:
                assert field.contents() == shown["metadata"][key], key
            else:
                assert len(field.data) == len(shown["metadata"][key])


def test_split_gguf(tmp_path):
    writer = gguf.GGUFWriter(tmp_path / "m.gguf", "llama", split_max_tensors=2)
    for i in range(5):
        writer.add_tensor(f"t{i}", np.full((i + 1,), i, np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    first = tmp_path / "m-00001-of-00003.gguf"
    shown = run_json("inspect", first, "--json")
    assert [(t["name"], t["shape"]) for t in shown["tensors"]] == [(f"t{i}", [i + 1]) for i in range(5)]
    (tmp_path / "m-00003-of-00003.gguf").unlink()
    failed = run_localai("inspect", first, check=False)
    assert failed.returncode != 0 and b"m-00003-of-00003.gguf" in failed.stderr


def test_safetensors_single_and_sharded(tmp_path):
    arrays = {
        "a": np.ones((2, 3), np.float32),
        "b": np.ones((4,), np.float16),
        "scalar": np.array(1, np.int64),
        "bytes": np.ones((3, 1), np.uint8),
        "none": np.ones((0, 7), np.float64),
        "flags": np.ones((2,), bool),
        "i8": np.ones((2,), np.int8),
        "i16": np.ones((2,), np.int16),
        "i32": np.ones((2,), np.int32),
    }
    names = {"float32": "F32", "float16": "F16", "float64": "F64", "uint8": "U8", "bool": "BOOL"}
    expected = {
        n: {
            "name": n,
            "type": names.get(str(a.dtype), str(a.dtype).replace("int", "I")),
            "shape": list(a.shape),
            "bytes": a.nbytes,
        }
        for n, a in arrays.items()
    }
    (tmp_path / "config.json").write_text('{"model_type": "gemma3", "hidden_size": 8}')
    save_file(arrays, tmp_path / "model.safetensors", metadata={"format": "np"})
    shown = run_json("inspect", tmp_path, "--json")
    assert shown["format"] == "safetensors" and shown["architecture"] == "gemma3"
    assert shown["metadata"] == {"model_type": "gemma3", "hidden_size": 8, "__metadata__": {"format": "np"}}
    assert {t["name"]: t for t in shown["tensors"]} == expected

    (tmp_path / "model.safetensors").unlink()
    shards = {f"model-{i + 1:05}-of-00003.safetensors": dict(list(arrays.items())[i::3]) for i in range(3)}
    for name, part in shards.items():
        save_file(part, tmp_path / name)
    weight_map = {tensor: name for name, part in shards.items() for tensor in part}
    index = tmp_path / "model.safetensors.index.json"
    index.write_text(json.dumps({"metadata": {"total_size": 1}, "weight_map": weight_map}))
    shown = run_json("inspect", tmp_path, "--json")
    assert {t["name"]: t for t in shown["tensors"]} == expected

    index.write_text(json.dumps({"weight_map": {**weight_map, "ghost": "model-00001-of-00003.safetensors"}}))
    failed = run_localai("inspect", tmp_path, check=False)
    assert failed.returncode != 0 and b"'ghost'" in failed.stderr


def write_one_safetensors(path, kind, size):
    """numpy lacks these types, so the header is written here by the format's own rules."""
    header = json.dumps({"w": {"dtype": kind, "shape": [2, 2], "data_offsets": [0, size]}}).encode()
    path.write_bytes(struct.pack("<Q", len(header)) + header + bytes(size))


@pytest.mark.parametrize("kind, size", [("BF16", 8), ("F8_E4M3", 4), ("F8_E5M2", 4)])
def test_small_floats_in_safetensors(kind, size, tmp_path):
    write_one_safetensors(tmp_path / "w.safetensors", kind, size)
    shown = run_json("inspect", tmp_path / "w.safetensors", "--json")
    assert shown["tensors"] == [{"name": "w", "type": kind, "shape": [2, 2], "bytes": size}]


def test_a_safetensors_type_that_is_not_supported_is_named_with_its_tensor(tmp_path):
    write_one_safetensors(tmp_path / "w.safetensors", "F4", 2)
    failed = run_localai("inspect", tmp_path / "w.safetensors", check=False)
    assert failed.returncode != 0 and b"tensor 'w': dtype F4 is not supported" in failed.stderr


def inspect_broken(path):
    """The exit status; run_localai fails the test when a signal ended it."""
    done = run_localai("inspect", path, "--json", check=False, timeout=60)
    if done.returncode == 0:
        json.loads(done.stdout)
    else:
        lines = done.stderr.decode().splitlines()
        assert len(lines) == 1 and str(path) in lines[0], lines
        assert not done.stdout
    return done.returncode


def in_parallel(paths):
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        return list(pool.map(inspect_broken, paths))


@pytest.fixture(params=["gguf", "safetensors"])
def small_file(request, tmp_path):
    """A small valid file and where its last tensor byte ends."""
    path = tmp_path / f"small.{request.param}"
    if request.param == "gguf":
        write_gguf(path)
    else:
        save_file({"a": np.ones((4, 4), np.float32), "b": np.ones(3, np.float16)}, path)
    return path


def test_truncated_files_are_refused(small_file, tmp_path):
    whole = small_file.read_bytes()
    sizes = sorted({*range(1, 60), *random.Random(1).sample(range(60, len(whole) - 40), 60), len(whole) - 40})
    if small_file.suffix == ".safetensors":
        sizes = [size for size in sizes if size < len(whole)]
    paths = []
    for size in sizes:
        paths.append(tmp_path / f"cut{size}{small_file.suffix}")
        paths[-1].write_bytes(whole[:size])
    for path, status in zip(paths, in_parallel(paths), strict=True):
        assert status != 0, path.name


def test_flipped_bytes_end_in_an_answer_or_an_error(small_file, tmp_path):
    whole = small_file.read_bytes()
    chance = random.Random(2)
    paths = []
    for number in range(120):
        broken = bytearray(whole)
        for _ in range(chance.randint(1, 4)):  # mostly in the header, where it hurts
            broken[chance.randrange(min(len(whole), 400 if number % 2 else len(whole)))] = chance.randrange(256)
        paths.append(tmp_path / f"flip{number}{small_file.suffix}")
        paths[-1].write_bytes(broken)
    statuses = in_parallel(paths)
    assert any(status != 0 for status in statuses)


def test_hostile_counts_are_refused_in_little_memory(tmp_path):
    """2^40 and more of anything: a named error, without room for what the file claims."""
    path = tmp_path / "huge.gguf"
    for tensors, entries in ((2**40, 0), (2**64 - 1, 1), (0, 2**40), (1, 2**63)):
        path.write_bytes(b"GGUF" + struct.pack("<IQQ", 3, tensors, entries) + bytes(64))
        assert b"is more than a file of 88 bytes can hold" in run_localai("inspect", path, check=False).stderr


def test_special_files_are_refused_at_once(tmp_path):
    fifo = tmp_path / "fifo.gguf"
    os.mkfifo(fifo)
    for path in (fifo, "/dev/zero"):
        failed = run_localai("inspect", path, check=False, timeout=20)
        assert failed.returncode != 0 and b"not a regular file" in failed.stderr
