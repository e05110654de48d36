"""What the engine was asked for and cannot do; it took nothing from a GPU yet."""

from typing import Final

from autoglm_operator.decide.reasons import Reason
from autoglm_operator.decide.signatures.row import Outlook, row

ARGUMENTS: Final = (
    row(
        Reason.ARGUMENT_REJECTED, Outlook.PERMANENT,
        r"error: unrecognized arguments: (?P<argument>.{1,200})",
        "the engine does not know the argument {argument}",
        "take it out of spec.engine.extraArgs, or set spec.engine.version to the version that the image really holds",
    ),
    row(
        Reason.ARGUMENT_REJECTED, Outlook.PERMANENT,
        r"error: argument (?P<argument>\S+): (?P<why>.{1,200})",
        "the engine refuses the argument {argument}: {why}",
        "correct it in spec.engine.extraArgs, or set spec.engine.version to the version that the image really holds",
    ),
    row(
        Reason.CONTEXT_TOO_LONG, Outlook.PERMANENT,
        r"User-specified (?:max_model_len|context_length) \((?P<asked>\d+)\) is greater than the derived "
        r"(?:max_model_len|context_length) \([^\d)]*(?P<most>\d+)",
        "a context of {asked} tokens is asked for and {model} is made for {most}",
        "set spec.model.contextLength to at most {most}",
    ),
    row(
        Reason.QUANTIZATION_UNSUPPORTED, Outlook.PERMANENT,
        r"The quantization method (?P<method>\S+) is not supported for the current GPU\. Minimum capability: "
        r"(?P<least>\d+)\. Current capability: (?P<have>\d+)",
        "the GPU cannot run {method}: it has compute capability {have} and {least} is needed",
        "choose another spec.engine.quantization, or a newer spec.resources.gpu.product",
    ),
    row(
        Reason.QUANTIZATION_UNSUPPORTED, Outlook.PERMANENT,
        r"Quantization scheme is not supported for the current GPU\. (?:Min|Required) capability: (?P<least>\d+)\. "
        r"Current capability: (?P<have>\d+)",
        "the GPU cannot run the quantization of {model}: it has compute capability {have} and {least} is needed",
        "choose another spec.engine.quantization, or a newer spec.resources.gpu.product",
    ),
    row(
        Reason.QUANTIZATION_UNSUPPORTED, Outlook.PERMANENT,
        r"Quantization method specified in the model config \((?P<has>[^)]+)\) does not match the quantization method "
        r"specified in the `quantization` argument \((?P<asked>[^)]+)\)",
        "{model} is quantized with {has} and {asked} is asked for",
        "set spec.engine.quantization to {has}, or leave it out",
    ),
    row(
        Reason.QUANTIZATION_UNSUPPORTED, Outlook.PERMANENT,
        r"Unknown quantization method: (?P<method>[\w.-]+)",
        "this engine does not know the quantization {method}",
        "choose another spec.engine.quantization, or a newer spec.engine.version",
    ),
    row(
        Reason.DTYPE_UNSUPPORTED, Outlook.PERMANENT,
        r"Bfloat16 is only supported on GPUs with compute capability of at least",
        "the GPU has no bfloat16",
        "set spec.model.dtype to float16",
    ),
    row(
        Reason.DTYPE_UNSUPPORTED, Outlook.PERMANENT,
        r"torch\.(?P<dtype>\w+) is not supported for quantization method (?P<method>\S+)\.",
        "the quantization {method} does not work with {dtype}",
        "set spec.model.dtype to float16 or auto",
    ),
    row(
        Reason.PARALLELISM_UNSUPPORTED, Outlook.PERMANENT,
        r"Total number of attention heads \((?P<heads>\d+)\) must be divisible by tensor parallel size \((?P<tp>\d+)\)",
        "{heads} attention heads cannot be split over {tp} GPUs",
        "set spec.resources.parallelism.tensor to a number that divides {heads}",
    ),
    row(
        Reason.PARALLELISM_UNSUPPORTED, Outlook.PERMANENT,
        r"World size \((?P<world>\d+)\) is larger than the number of available GPUs \((?P<have>\d+)\)",
        "{world} GPUs are needed for the parallelism and the container sees {have}",
        "make spec.resources.gpu.count agree with spec.resources.parallelism",
    ),
    row(
        Reason.LORA_REJECTED, Outlook.PERMANENT,
        r"LoRA rank (?P<rank>\d+) is greater than max_lora_rank",
        "a LoRA adapter has rank {rank}",
        "set spec.engine.lora.maxRank to at least {rank}",
    ),
)  # fmt: skip
