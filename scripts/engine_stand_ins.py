"""Stand-ins for what the engines' argument parsers import but do not use.

`install` makes every package of HEAVY and every module of ENGINE_STAND_INS importable; each attribute of
theirs is an empty class. It is run by the interpreter of the scratch environment, so it imports nothing of ours.
"""

import abc
import importlib
import importlib.abc
import importlib.machinery
import importlib.metadata
import inspect
import sys
import types
import typing
from pathlib import Path
from typing import Any, Final

#: Packages of hundreds of megabytes, or ones that only serving needs.
HEAVY: Final = frozenset(
    """
    torch torchvision torchaudio torchcodec torchao transformers tokenizers triton safetensors gguf huggingface_hub
    openai_harmony partial_json_parser pybase64 pydantic_extra_types librosa soundfile soxr scipy av cv2 cpuinfo
    blake3 diskcache llguidance lmformatenforcer xgrammar mistral_common runai_model_streamer uvloop xxhash cbor2
    python_multipart IPython dill setproctitle sgl_kernel interegular compressed_tensors einops outlines ijson
    json_repair tiktoken lxml uvicorn watchfiles model_hosting_container_standards depyf flashinfer sentencepiece
    prometheus_fastapi_instrumentator torchada decord datasets anthropic mcp aiodns grpc google pycountry six lark
    build ninja zstandard tabulate pandas matplotlib py_spy fastsafetensors
    """.split()  # noqa: SIM905  # one line for each would hide the rest
)
#: Modules of the engines that are compiled, or that run models and register kernels when they are imported.
ENGINE_STAND_INS: Final = frozenset(
    [
        "vllm._C",
        "vllm._C_stable_libtorch",
        "vllm._moe_C",
        "sglang.srt.distributed",
        "sglang.srt.configs",
    ]
)
#: Attributes whose absence says which hardware there is not.
MISSING: Final = frozenset({"torch.npu", "triton.runtime"})
VERSION_OF_STAND_INS: Final = "99.0.0"


def _ignore(self: Any, *_: Any) -> Any:
    return self


def _never(_: Any, *__: Any) -> bool:
    return False


def _zero(_: Any) -> int:
    return 0


class _Meta(abc.ABCMeta):
    """Makes each attribute of a stand-in class when it is asked for: one more stand-in class."""

    def __getattr__(cls, name: str) -> Any:
        if name.startswith("__") and name.endswith("__"):
            raise AttributeError(name)
        made = _stand_in(name, f"{cls.__module__}.{cls.__qualname__}")
        type.__setattr__(cls, name, made)
        return made

    def __call__(cls, *arguments: Any, **options: Any) -> Any:
        if len(arguments) == 1 and not options and isinstance(arguments[0], types.FunctionType | type):
            return arguments[0]  # used as a decorator
        return type.__call__(cls)

    def register(cls, *_: Any, **__: Any) -> Any:
        """Accept what is registered with a class of a missing package."""
        return None

    def __getitem__(cls, _: Any) -> Any:
        return cls

    def __setitem__(cls, _: Any, __: Any) -> None:
        """Accept an entry in a table of a missing package."""

    def __or__(cls, other: Any) -> Any:
        return cls if isinstance(other, _Meta) else typing.Union[cls, other]  # noqa: UP007  # at run time

    def __ror__(cls, other: Any) -> Any:
        return typing.Union[other, cls]  # noqa: UP007  # at run time

    def __iter__(cls) -> Any:
        return iter(())


class _StandIn(metaclass=_Meta):
    """Base of every stand-in; false, empty, and equal to 0 where a number is wanted."""

    def __init__(self, *_: Any, **__: Any) -> None:
        pass

    def __init_subclass__(cls, **_: Any) -> None:
        pass

    @classmethod
    def __get_pydantic_core_schema__(cls, _: Any, __: Any) -> Any:
        core_schema = importlib.import_module("pydantic_core").core_schema
        return core_schema.is_instance_schema(cls)

    def __getattr__(self, name: str) -> Any:
        return getattr(type(self), name)

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        return type(self)(*arguments, **options)

    def __iter__(self) -> Any:
        return iter(())

    def __enter__(self) -> Any:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def __radd__(self, other: Any) -> Any:
        return other if isinstance(other, str) else self

    def __format__(self, _: str) -> str:
        return "stand-in"


def _give_operators() -> None:
    """Let stand-ins and their classes take part in arithmetic and comparisons at import time."""
    arithmetic = [
        "add",
        "sub",
        "rsub",
        "mul",
        "rmul",
        "truediv",
        "floordiv",
        "mod",
        "pow",
        "rpow",
        "and",
        "rand",
        "neg",
        "invert",
    ]
    operators: dict[str, Any] = {f"__{name}__": _ignore for name in arithmetic}
    operators |= {f"__{name}__": _never for name in ("bool", "lt", "le", "gt", "ge", "contains")}
    operators |= {f"__{name}__": _zero for name in ("len", "int", "index")}
    for name, function in operators.items():
        setattr(_Meta, name, function)
        setattr(_StandIn, name, function)
    for owner, name in ((_Meta, "radd"), (_StandIn, "getitem"), (_StandIn, "or"), (_StandIn, "ror")):
        setattr(owner, f"__{name}__", _ignore)


def _stand_in(name: str, module: str) -> Any:
    return _Meta(name, (_StandIn,), {"__module__": module})


def _infer_schema(function: Any, *_: Any, **__: Any) -> str:
    """Return as many outputs as `function` has: torch's own is called for each kernel that vLLM declares."""
    outputs = ["Tensor"] * str(inspect.signature(function).return_annotation).count("Tensor")
    return "() -> " + (outputs[0] if len(outputs) == 1 else f"({', '.join(outputs)})")


#: What the engines compute with when they are imported.
GIVEN: Final[dict[str, Any]] = {
    "torch.library.infer_schema": _infer_schema,
    "torch.cuda.is_available": lambda: False,
}


class _Module(types.ModuleType):
    """A stand-in for a module."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.__path__: list[str] = []

    def __getattr__(self, name: str) -> Any:
        full = f"{self.__name__}.{name}"
        if name == "__version__":
            return VERSION_OF_STAND_INS
        if full in MISSING or (name.startswith("__") and name.endswith("__")):
            raise AttributeError(name)
        made = GIVEN.get(full) or _stand_in(name, self.__name__)
        setattr(self, name, made)
        return made


class _Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds stand-ins for the packages of HEAVY and for ENGINE_STAND_INS, and for nothing else."""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> importlib.machinery.ModuleSpec | None:  # noqa: ARG002
        parent = name.rpartition(".")[0]
        inside = isinstance(sys.modules.get(parent), _Module)
        if not (inside or name in ENGINE_STAND_INS or name in HEAVY):
            return None
        return importlib.machinery.ModuleSpec(name, self, is_package=True)

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> types.ModuleType:
        return _Module(spec.name)

    def exec_module(self, module: types.ModuleType) -> None:
        """Do nothing: a stand-in makes its attributes when they are asked for."""


def install(sources: Path) -> None:
    """Make the engine in `sources` importable."""
    _give_operators()
    sys.path.insert(0, str(sources))
    sys.meta_path.insert(0, _Finder())
    real = importlib.metadata.version
    given = {"version": lambda name: VERSION_OF_STAND_INS if name in HEAVY else real(name)}
    vars(importlib.metadata).update(given)
