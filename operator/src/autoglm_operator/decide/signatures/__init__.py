"""The one table of what engines write when they fail, with what it means and what to do.

The texts are those of the sources: vLLM 0.12 and 0.33, SGLang 0.5.6 and 0.5.23, torch 2, transformers 4 and 5,
huggingface_hub 0.36 and 2.4, NCCL 2. Each row is held by a log in `tests/unit/operator/failures/`.
"""

from typing import Final

from autoglm_operator.decide.signatures.arguments import ARGUMENTS
from autoglm_operator.decide.signatures.machine import MACHINE
from autoglm_operator.decide.signatures.memory import GPU_MEMORY
from autoglm_operator.decide.signatures.model import MODEL
from autoglm_operator.decide.signatures.row import Outlook, Signature

__all__ = ["SIGNATURES", "Outlook", "Signature"]

#: The most telling first: what a log says further down does not count once one of these is in it.
SIGNATURES: Final = (*ARGUMENTS, *GPU_MEMORY, *MODEL, *MACHINE)
