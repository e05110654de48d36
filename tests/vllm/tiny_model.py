"""Writes a language model so small that a CPU serves it in real time, and whose every answer is known.

It is a Llama of two layers with real weights in the files that real models have. Each byte is a token with a random
code of plus and minus ones; the layers add nothing to it, and the head is made so that the code of a byte is nearest to
that of the byte that follows it in the recitation. After a line break the model therefore recites the alphabet, a line
for each round, until it has said as many tokens as it was asked for: an answer of which a token was lost is not equal
to `recitation()`.
"""

import argparse
import json
import string
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

SERVED_NAME: Final = "tiny-llama"
#: Longest context that the model claims, in tokens; far more than any cache here holds.
MAX_POSITION: Final = 1 << 20
_LINE: Final = string.ascii_lowercase + "\n"
_SPECIAL: Final = ("<s>", "</s>")
_BYTES: Final = 256
_VOCABULARY: Final = len(_SPECIAL) + _BYTES
_SEED: Final = 7
#: A line for each message; the line break at the end starts the recitation.
_CHAT_TEMPLATE: Final = "{% for message in messages %}{{ message['role'] }}: {{ message['content'] }}\n{% endfor %}"


@dataclass(frozen=True)
class Shape:
    """How large the model is; its answers are the same in any size."""

    hidden: int = 64
    intermediate: int = 128
    layers: int = 2
    heads: int = 2
    key_value_heads: int = 1
    head: int = 32


TINY: Final = Shape()


def recitation(tokens: int) -> str:
    """Return what the model answers to a prompt that ends with a line break."""
    return (_LINE * (tokens // len(_LINE) + 1))[:tokens]


def config(shape: Shape = TINY) -> dict[str, Any]:
    """Return what is in `config.json`."""
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "dtype": "bfloat16",
        "vocab_size": _VOCABULARY,
        "hidden_size": shape.hidden,
        "intermediate_size": shape.intermediate,
        "num_hidden_layers": shape.layers,
        "num_attention_heads": shape.heads,
        "num_key_value_heads": shape.key_value_heads,
        "head_dim": shape.head,
        "hidden_act": "silu",
        "rms_norm_eps": 1e-5,
        "max_position_embeddings": MAX_POSITION,
        "rope_theta": 10000.0,
        "tie_word_embeddings": False,
        "bos_token_id": 0,
        "eos_token_id": 1,
    }


def write(folder: Path, shape: Shape = TINY) -> None:
    """Write the model into `folder`, the same bytes each time."""
    folder.mkdir(parents=True, exist_ok=True)
    _dump(folder / "config.json", config(shape))
    _dump(folder / "tokenizer.json", _tokenizer())
    _dump(folder / "tokenizer_config.json", _tokenizer_config())
    (folder / "model.safetensors").write_bytes(_safetensors(_weights(shape)))


def _dump(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n")


def _symbols() -> list[str]:
    """Return the character that byte-level tokenizers write for each byte: itself where it can be seen."""
    seen = {*range(ord("!"), ord("~") + 1), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    unseen = iter(range(_BYTES, 2 * _BYTES))
    return [chr(byte if byte in seen else next(unseen)) for byte in range(_BYTES)]


def _tokenizer() -> dict[str, Any]:
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": False, "use_regex": False}
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [{"id": number, "content": word, **flags} for number, word in enumerate(_SPECIAL)],
        "normalizer": None,
        "pre_tokenizer": byte_level,
        "post_processor": None,
        "decoder": byte_level,
        "model": {
            "type": "BPE",
            "vocab": {word: number for number, word in enumerate((*_SPECIAL, *_symbols()))},
            "merges": [],
        },
    }


def _tokenizer_config() -> dict[str, Any]:
    return {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": _SPECIAL[0],
        "eos_token": _SPECIAL[1],
        "model_max_length": MAX_POSITION,
        "clean_up_tokenization_spaces": False,
        "chat_template": _CHAT_TEMPLATE,
    }


def _weights(shape: Shape) -> dict[str, np.ndarray]:
    random = np.random.default_rng(_SEED)

    def noise(*shape: int) -> np.ndarray:
        return random.standard_normal(shape, dtype=np.float32) / np.float32(np.sqrt(shape[-1]))

    codes = random.choice(np.array([-1, 1], dtype=np.float32), size=(_VOCABULARY, shape.hidden))
    follower = np.arange(_VOCABULARY)
    line = np.array([len(_SPECIAL) + ord(character) for character in _LINE])
    follower[line] = np.roll(line, -1)
    head = np.empty_like(codes)
    head[follower] = codes
    tensors = {
        "model.embed_tokens.weight": codes,
        "model.norm.weight": np.ones(shape.hidden, np.float32),
        "lm_head.weight": head,
    }
    for number in range(shape.layers):
        layer = f"model.layers.{number}"
        tensors |= {
            f"{layer}.input_layernorm.weight": np.ones(shape.hidden, np.float32),
            f"{layer}.post_attention_layernorm.weight": np.ones(shape.hidden, np.float32),
            f"{layer}.self_attn.q_proj.weight": noise(shape.heads * shape.head, shape.hidden),
            f"{layer}.self_attn.k_proj.weight": noise(shape.key_value_heads * shape.head, shape.hidden),
            f"{layer}.self_attn.v_proj.weight": noise(shape.key_value_heads * shape.head, shape.hidden),
            f"{layer}.self_attn.o_proj.weight": np.zeros((shape.hidden, shape.heads * shape.head), np.float32),
            f"{layer}.mlp.gate_proj.weight": noise(shape.intermediate, shape.hidden),
            f"{layer}.mlp.up_proj.weight": noise(shape.intermediate, shape.hidden),
            f"{layer}.mlp.down_proj.weight": np.zeros((shape.hidden, shape.intermediate), np.float32),
        }
    return tensors


def _safetensors(tensors: dict[str, np.ndarray]) -> bytes:
    """Return a safetensors file: length of the header, header, then the tensors as bfloat16."""
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    body = b""
    for name, tensor in tensors.items():
        # The upper half of a float32 is that number as bfloat16, cut off instead of rounded.
        data = (tensor.view(np.uint32) >> 16).astype("<u2").tobytes()
        header[name] = {"dtype": "BF16", "shape": list(tensor.shape), "data_offsets": [len(body), len(body + data)]}
        body += data
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + body


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Write the tiny model of the vLLM tests.")
    parser.add_argument("folder", type=Path, help="where to write it")
    write(parser.parse_args().folder)
