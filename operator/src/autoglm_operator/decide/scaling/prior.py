"""How fast a replica is believed to be before anybody has seen one, by its model and GPU: pure.

A decoding step reads every weight once, and the cache of each sequence; a prompt token costs two operations for each
parameter that it uses:

```
decode_base          weights on a GPU / bandwidth, and what a step takes beside
decode_per_sequence  cache of one sequence / bandwidth, two operations a parameter, and what a sequence takes beside
prefill_per_token    two operations a parameter
```

It is a first guess within a factor of four, in which the fit to what the engines report stays.
"""

import math
from typing import Final

from autoglm_operator.api.v1alpha1 import DType, Spec
from autoglm_operator.decide.allocated import GpuFacts
from autoglm_operator.decide.fit import Architecture, Fit, architecture_of
from autoglm_operator.decide.fit.engines import rules
from autoglm_operator.decide.fit.estimate import Setup, estimate, kv_per_token
from autoglm_operator.decide.fit.fit import Case, case_of
from autoglm_operator.decide.fit.parameters import Mixture, Parameters
from autoglm_operator.decide.fit.weights import Weights
from autoglm_operator.decide.law.capacity import Speed

#: Share of the data sheet's bandwidth at which decoding reads memory: kernels reach about that at best.
_READS: Final = 0.85
#: Share of the data sheet's operations that prefill reaches: half with long prompts of a large model (15,928 tokens/s
#: of Qwen3-32B on two H100s, by llm-d's calibration), less than a tenth in the latencies published for models of 8B
#: (llm-d-inference-sim). What is believed is rather too low: too few replicas are worse than too many for some minutes.
_COMPUTES: Final = 0.2
#: Seconds of a step beside reading: published inter-token latencies of 7-8B models in 16 bits are 10-15 ms on an H100
#: and 25-35 ms on an L40S (llm-d-inference-sim), of which reading the weights takes 5 and 20.
_STEP_SECONDS: Final = 0.006
#: Seconds of each sequence in a step for scheduler, sampler and detokenizer: what is left of the 0.15 ms of a published
#: 8B model on an H100.
_SEQUENCE_SECONDS: Final = 0.0001
#: Tokens of context of a sequence, on average: 1,000 of the prompt and half of 250 of the answer.
_CONTEXT: Final = 1125
#: Operations in 8 bits over those in 16 bits, on GPUs that have them.
_FP8_GAIN: Final = 2.0


def prior_of(spec: Spec, kv_tokens: int | None = None) -> Speed | None:
    """Return the speed of one replica; `None` if its model or GPU is not known.

    Args:
        spec: of the deployment.
        kv_tokens: that the KV cache of a replica holds, as its engines say; estimated while they do not.
    """
    gpu = spec.resources.gpu
    case = case_of(spec, GpuFacts(gpu.product), architecture_of(spec), "", None)
    if isinstance(case, Fit) or case.gpu.bandwidth is None or case.gpu.flops is None:
        return None
    value = 4 if spec.model.dtype is DType.FLOAT32 else 2
    weights = Weights(case.model, case.checkpoint, value)
    engine = rules(case.spec, case.gpu, case.version, case.model.vision)
    setup = Setup(case.spec, weights, engine, None)
    ranks = spec.resources.parallelism
    bandwidth = case.gpu.bandwidth * _READS
    # Of one data-parallel rank: its stages take turns for a token, and work at the same time on the tokens of a prompt.
    operations = case.gpu.flops * _COMPUTES * ranks.tensor * (_FP8_GAIN if _in_fp8(case) else 1.0)
    token = 2 * active_parameters(case.model) / operations
    cache = kv_per_token(case.spec, case.model) * case.model.layers * _CONTEXT
    return Speed(
        decode_base=_read(setup) / bandwidth + _STEP_SECONDS,
        decode_per_sequence=(cache / bandwidth + token + _SEQUENCE_SECONDS) / ranks.data,
        prefill_per_token=token / ranks.pipeline / ranks.data,
        max_batch=float(engine.sequences * ranks.data),
        kv_tokens=float(kv_tokens or estimate(setup).tokens * ranks.data) or math.inf,
    )


def active_parameters(model: Architecture) -> int:
    """Return the parameters that one token uses: all but the tables and the experts that it does not choose."""
    counts, mixture = Parameters.of(model), Mixture.of(model)
    chosen = 0.0
    if model.experts is not None:
        layers = model.layers - model.experts.dense_layers
        chosen = layers * (mixture.routed * model.experts.active / model.experts.count + mixture.shared)
    return round(counts.attention + counts.dense_ffn + chosen + model.vocabulary * model.hidden)


def _in_fp8(case: Case) -> bool:
    return case.checkpoint.activations and case.gpu.fp8


def _read(setup: Setup) -> float:
    """Return the bytes of weights that a step reads, one stage after the other: a full batch uses every expert."""
    model, weights, split = setup.model, setup.weights, setup.split
    dense = model.experts.dense_layers if model.experts else model.layers
    layers = model.layers * weights.attention(split.tensor)
    layers += dense * weights.inner(0, split) + (model.layers - dense) * weights.inner(model.layers, split)
    return layers + weights.table_bytes(split.tensor)
