"""A running service over tiny random models, each with a real tokenizer."""

import os
import pathlib
import subprocess
import sys

import httpx
import pytest
import torch
import transformers
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

ROOT = pathlib.Path(__file__).resolve().parents[3]
TEMPLATE = (
    "{% for t in tools or [] %}[tool {{ t.function.name }}]{% endfor %}"
    "{% for m in messages %}<{{ m.role }}>{{ m.content }}\n{% endfor %}<assistant>"
)
SMALL = {
    "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "max_position_embeddings": 256, "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0,
}


# Words for the tokenizer. They stay as they are: another vocabulary makes other models, and other answers.
CORPUS = [
    "The sea is calm tonight, and the tide is full; the moon lies fair upon the straits.",
    "A model reads a text as a row of tokens and says which token it expects to come next.",
    "Hello there! How are you today? One, two, three, four: a longer text than the first.",
    "Greedy decoding takes the most probable token of every step until a stop text or the end.",
]


def train_tokenizer() -> transformers.PreTrainedTokenizerFast:
    """Byte-level BPE: every text can be written, ids are parts of real words."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=512, special_tokens=["<pad>", "<s>", "</s>"], initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(CORPUS, trainer)
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", bos_token="<s>", eos_token="</s>", chat_template=TEMPLATE
    )


def save(folder: pathlib.Path, model, tokenizer) -> None:
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


@pytest.fixture(scope="session")
def models_dir(tmp_path_factory) -> pathlib.Path:
    folder = tmp_path_factory.mktemp("models")
    tokenizer = train_tokenizer()
    vocab = len(tokenizer)
    torch.manual_seed(1)
    configs = {
        "phi-3.5-mini-instruct": transformers.Phi3Config(vocab_size=vocab, **SMALL),
        "tiny-gemma": transformers.GemmaConfig(vocab_size=vocab, head_dim=16, **SMALL),
        # An architecture that the native engine does not have.
        "tiny-olmo2": transformers.Olmo2Config(vocab_size=vocab, **SMALL),
        "granite-4.0-h-micro": transformers.GraniteMoeHybridConfig(
            vocab_size=vocab, layer_types=["mamba", "attention"], num_local_experts=0, shared_intermediate_size=128,
            mamba_n_heads=4, mamba_d_head=32, mamba_d_state=16, mamba_n_groups=1, mamba_expand=2, **SMALL,
        ),
    }
    for name, config in configs.items():
        save(folder / name, transformers.AutoModelForCausalLM.from_config(config), tokenizer)
    encoder = transformers.BertConfig(vocab_size=vocab, **{k: v for k, v in SMALL.items() if k != "num_key_value_heads"})
    save(folder / "tiny-bert", transformers.BertModel(encoder), tokenizer)
    return folder


class Running:
    """The service as a process, on a port that the system chose."""

    def __init__(self, models_dir, **env):
        command = [sys.executable, "-m", "localai_transformers", "--port", "0"]
        settings = {"DEVICE": "cpu", "TRANSFORMERS_MODELS_DIR": str(models_dir), "OMP_NUM_THREADS": "2"}
        path = os.pathsep.join([str(ROOT / "services/transformers"), os.environ.get("PYTHONPATH", "")])
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, text=True, env={**os.environ, **settings, "PYTHONPATH": path, **env}
        )
        line = self.process.stdout.readline()
        assert line.startswith("ready at http://127.0.0.1:"), line
        self.url = line.split()[-1]
        self.client = httpx.Client(base_url=self.url, timeout=120)

    def post(self, path, **body):
        return self.client.post(path, json=body)

    def stop(self):
        self.client.close()
        self.process.terminate()
        assert self.process.wait(timeout=30) in (0, -15)


@pytest.fixture(scope="session")
def service(models_dir):
    running = Running(models_dir)
    yield running
    running.stop()
