"""A GGUF file without its tokenizer.

transformers needs minutes for a quarter of a million tokens that a comparison of logits never looks
at. Tensors and hyperparameters stay byte for byte as they are.
"""

import struct

_SIZES = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
_STRING, _ARRAY = 8, 9


def _skip_value(data, at, kind):
    """The offset past a metadata value of this type."""
    if kind in _SIZES:
        return at + _SIZES[kind]
    if kind == _STRING:
        return at + 8 + struct.unpack_from("<Q", data, at)[0]
    assert kind == _ARRAY, kind
    element, count = struct.unpack_from("<IQ", data, at)
    at += 12
    if element in _SIZES:
        return at + _SIZES[element] * count
    for _ in range(count):
        at = _skip_value(data, at, element)
    return at


def _skip_tensor_info(data, at):
    at += 8 + struct.unpack_from("<Q", data, at)[0]
    rank = struct.unpack_from("<I", data, at)[0]
    return at + 4 + 8 * rank + 4 + 8


def _entry_u32(key, value):
    return struct.pack("<Q", len(key)) + key.encode() + struct.pack("<II", 4, value)


def write_slim_gguf(source, target, vocab_size):
    """Copies `source`, leaving out arrays under "tokenizer." and stating the vocabulary's size."""
    data = source.read_bytes()
    magic, version, tensors, entries = struct.unpack_from("<4sIQQ", data)
    assert magic == b"GGUF" and version == 3
    kept, architecture, alignment = [], None, 32
    at = 24
    for _ in range(entries):
        begin = at
        length = struct.unpack_from("<Q", data, at)[0]
        key = data[at + 8 : at + 8 + length].decode()
        kind = struct.unpack_from("<I", data, at + 8 + length)[0]
        value = at + 12 + length
        at = _skip_value(data, value, kind)
        if key == "general.architecture":
            architecture = data[value + 8 : at].decode()
        if key == "general.alignment":
            alignment = struct.unpack_from("<I", data, value)[0]
        if not (key.startswith("tokenizer.") and kind in (_ARRAY, _STRING)) and not key.endswith(".vocab_size"):
            kept.append(data[begin:at])
    kept.append(_entry_u32(f"{architecture}.vocab_size", vocab_size))
    infos = at
    for _ in range(tensors):
        at = _skip_tensor_info(data, at)
    header = struct.pack("<4sIQQ", magic, version, tensors, len(kept)) + b"".join(kept) + data[infos:at]
    with open(target, "wb") as out:
        out.write(header + b"\0" * (-len(header) % alignment))
        out.write(memoryview(data)[at + (-at % alignment) :])
