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
from pathlib import Path
from typing import Any, Final

import numpy as np

SERVED_NAME: Final = "tiny-llama"
#: Longest context that the model claims, in tokens; far more than any cache here holds.
MAX_POSITION: Final = 1 << 20
_LINE: Final = string.ascii_lowercase + "\n"
_SPECIAL: Final = ("<s>", "</s>")
_HIDDEN: Final = 64
_INTERMEDIATE: Final = 128
_LAYERS: Final = 2
_HEADS: Final = 2
_KEY_VALUE_HEADS: Final = 1
_HEAD: Final = 32
_BYTES: Final = 256
_VOCABULARY: Final = len(_SPECIAL) + _BYTES
_SEED: Final = 7
#: A line for each message; the line break at the end starts the recitation.
_CHAT_TEMPLATE: Final = "{% for message in messages %}{{ message['role'] }}: {{ message['content'] }}\n{% endfor %}"


def recitation(tokens: int) -> str:
    """Return what the model answers to a prompt that ends with a line break."""
    return (_LINE * (tokens // len(_LINE) + 1))[:tokens]


def config() -> dict[str, Any]:
    """Return what is in `config.json`."""
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "dtype": "bfloat16",
        "vocab_size": _VOCABULARY,
        "hidden_size": _HIDDEN,
        "intermediate_size": _INTERMEDIATE,
        "num_hidden_layers": _LAYERS,
        "num_attention_heads": _HEADS,
        "num_key_value_heads": _KEY_VALUE_HEADS,
        "head_dim": _HEAD,
        "hidden_act": "silu",
        "rms_norm_eps": 1e-5,
        "max_position_embeddings": MAX_POSITION,
        "rope_theta": 10000.0,
        "tie_word_embeddings": False,
        "bos_token_id": 0,
        "eos_token_id": 1,
    }


def write(folder: Path) -> None:
    """Write the model into `folder`, the same bytes each time."""
    folder.mkdir(parents=True, exist_ok=True)
    _dump(folder / "config.json", config())
    _dump(folder / "tokenizer.json", _tokenizer())
    _dump(folder / "tokenizer_config.json", _tokenizer_config())
    (folder / "model.safetensors").write_bytes(_safetensors(_weights()))


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


def _weights() -> dict[str, np.ndarray]:
    random = np.random.default_rng(_SEED)

    def noise(*shape: int) -> np.ndarray:
        return random.standard_normal(shape, dtype=np.float32) / np.float32(np.sqrt(shape[-1]))

    codes = random.choice(np.array([-1, 1], dtype=np.float32), size=(_VOCABULARY, _HIDDEN))
    follower = np.arange(_VOCABULARY)
    line = np.array([len(_SPECIAL) + ord(character) for character in _LINE])
    follower[line] = np.roll(line, -1)
    head = np.empty_like(codes)
    head[follower] = codes
    tensors = {
        "model.embed_tokens.weight": codes,
        "model.norm.weight": np.ones(_HIDDEN, np.float32),
        "lm_head.weight": head,
    }
    for number in range(_LAYERS):
        layer = f"model.layers.{number}"
        tensors |= {
            f"{layer}.input_layernorm.weight": np.ones(_HIDDEN, np.float32),
            f"{layer}.post_attention_layernorm.weight": np.ones(_HIDDEN, np.float32),
            f"{layer}.self_attn.q_proj.weight": noise(_HEADS * _HEAD, _HIDDEN),
            f"{layer}.self_attn.k_proj.weight": noise(_KEY_VALUE_HEADS * _HEAD, _HIDDEN),
            f"{layer}.self_attn.v_proj.weight": noise(_KEY_VALUE_HEADS * _HEAD, _HIDDEN),
            f"{layer}.self_attn.o_proj.weight": np.zeros((_HIDDEN, _HEADS * _HEAD), np.float32),
            f"{layer}.mlp.gate_proj.weight": noise(_INTERMEDIATE, _HIDDEN),
            f"{layer}.mlp.up_proj.weight": noise(_INTERMEDIATE, _HIDDEN),
            f"{layer}.mlp.down_proj.weight": np.zeros((_HIDDEN, _INTERMEDIATE), np.float32),
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
