"""Getting the model, and knowing what it is."""

from typing import Final

from autoglm_operator.decide.reasons import Reason
from autoglm_operator.decide.signatures.row import Outlook, row

_TOKEN: Final = "give a token that may read it in spec.model.tokenSecretRef"  # noqa: S105  # advice, not a secret
_NETWORK: Final = (
    "check DNS and egress from the namespace, name a mirror in spec.model.hubEndpoint, or let spec.warmStart.mode Full "
    "download the model once"
)

MODEL: Final = (
    row(
        Reason.MODEL_GATED, Outlook.PERMANENT,
        r"is restricted and you are not in the authorized list|[Yy]our request to access model .* is awaiting a review",
        "{model} is gated and the account of the token has no access",
        "ask for access on the model's page, then change the spec; or use the token of an account that has it in "
        "spec.model.tokenSecretRef",
    ),
    row(
        Reason.MODEL_GATED, Outlook.PERMANENT,
        r"Cannot access gated repo|You are trying to access a gated repo|GatedRepoError"
        r"|Access to model .* is restricted|Repo model \S+ is gated",
        "{model} is gated and the hub does not give it to this deployment",
        "accept its terms on the model's page and " + _TOKEN,
    ),
    row(
        Reason.HUB_TOKEN_REFUSED, Outlook.PERMANENT,
        r"Invalid credentials in Authorization header|Invalid user token",
        "the hub refuses the token",
        "put a valid token into the Secret of spec.model.tokenSecretRef, then change the spec",
    ),
    row(
        Reason.MODEL_NOT_FOUND, Outlook.PERMANENT,
        r"Revision Not Found for url|is not a valid git identifier \(branch name, tag name or commit id\)",
        "{model} has no revision {revision}",
        "correct spec.model.revision",
    ),
    row(
        Reason.MODEL_NOT_FOUND, Outlook.PERMANENT,
        r"Repository Not Found for url|is not a local folder and is not a valid model identifier"
        r"|RepositoryNotFoundError|The request model: \S+ does not exist",
        "the hub has no model {model}, or does not show it to this deployment",
        "correct spec.model.source; if it is private, " + _TOKEN,
    ),
    row(
        Reason.MODEL_NOT_FOUND, Outlook.PERMANENT,
        r"Repo id must be in the form|HFValidationError",
        "{model} is neither a folder with a model nor an id on the hub",
        "correct spec.model.source",
    ),
    row(
        Reason.HUB_RATE_LIMITED, Outlook.PASSING,
        r"429 Too Many Requests[^\n]*(?:\n[^\n]*)?[Rr]etry after (?P<wait>\d+) seconds",
        "the hub limits the rate of requests from this address and asks to wait {wait} s",
        "wait, or let spec.warmStart.mode Full download the model once for all pods",
    ),
    row(
        Reason.HUB_RATE_LIMITED, Outlook.PASSING,
        r"429 Too Many Requests|429 Client Error|HTTP Error 429|Too Many Requests for url",
        "the hub limits the rate of requests from this address",
        "wait, or let spec.warmStart.mode Full download the model once for all pods",
    ),
    row(
        Reason.MODEL_FILES_MISSING, Outlook.PERMANENT,
        r"outgoing traffic has been disabled|offline mode is enabled|OfflineModeIsEnabled",
        "{model} is not in the cache and the engine may not download it",
        "set spec.warmStart.mode to Full or Hybrid, or correct the path in spec.model.source.pvc",
    ),
    row(
        Reason.HUB_UNREACHABLE, Outlook.PASSING,
        r"We couldn't connect to '|(?:couldn't|could not|Can't|cannot) (?:connect to|reach|resolve) [^\n]{0,40}"
        r"(?:huggingface|modelscope)|trying to locate the files? on the Hub"
        r"|(?:huggingface\.co|hf\.co|hf-mirror\.com|modelscope\.cn)[^\n]*(?:Max retries exceeded|Name or service not "
        r"known|Temporary failure in name resolution|Connection refused|Network is unreachable|timed out)"
        r"|(?:Failed to resolve|Max retries exceeded)[^\n]*(?:huggingface\.co|hf\.co|hf-mirror\.com|modelscope\.cn)"
        r"|50[234] Server Error: [^\n]*(?:huggingface\.co|hf\.co|hf-mirror\.com|modelscope\.cn)",
        "the hub cannot be reached from the pod",
        _NETWORK,
    ),
    row(
        Reason.MODEL_FILES_MISSING, Outlook.PERMANENT,
        r"does not appear to have (?:a file named|files named) (?P<file>\S+?)\.? (?:Checkout|or)",
        "{model} has no file {file}",
        "correct spec.model.source or spec.model.revision",
    ),
    row(
        Reason.REMOTE_CODE_NEEDED, Outlook.PERMANENT,
        r"`trust_remote_code=True`|contains custom code which must be executed to correctly load",
        "{model} runs code of its own and that is not allowed",
        "read that code; if you trust it, pin spec.model.revision and set spec.model.trustRemoteCode",
    ),
    row(
        Reason.MODEL_UNSUPPORTED, Outlook.PERMANENT,
        r"Model architectures \[(?P<architecture>[^\]]+)\] are not supported for now"
        r"|Model architecture (?P<gone>\S+) (?:was supported in vLLM until|is not supported in-tree anymore)",
        "this engine has no implementation of {model}",
        "choose another spec.engine.version or spec.engine.type",
    ),
    row(
        Reason.MODEL_UNSUPPORTED, Outlook.PERMANENT,
        r"does not recognize this architecture|Unrecognized model in |failed to be inspected\. Please check the logs",
        "this engine does not know the architecture of {model}",
        "choose a newer spec.engine.version, or another spec.engine.type",
    ),
    row(
        Reason.MODEL_FILES_MISSING, Outlook.PERMANENT,
        r"Can't load tokenizer for|Couldn't instantiate the backend tokenizer|Cannot find any model weights"
        r"|Can't load the configuration of|Can't load image processor for|Can't load feature extractor for"
        r"|(?:No such file or directory|NotFoundError)[^\n]*(?:config|tokenizer)\S*\.json|Entry Not Found for url",
        "files of {model} are missing: configuration, tokenizer or weights",
        "complete the folder of spec.model.source, or correct spec.model.revision",
    ),
    row(
        Reason.MODEL_FILES_MISSING, Outlook.OUTSIDE,
        r"SafetensorError|Error while deserializing header|MetadataIncompleteBuffer|PytorchStreamReader failed",
        "a file of the weights of {model} is damaged or was not downloaded to its end",
        "remove it from the cache (spec.warmStart.cache) or from spec.model.source.pvc, so that it is fetched again",
    ),
    # vLLM says so of every failure to read the model, a lost connection too; its cause stands further up.
    row(
        Reason.MODEL_NOT_FOUND, Outlook.OUTSIDE,
        r"Invalid repository ID or local directory specified",
        "there is no model {model}: neither a folder with a config.json nor an id that the hub shows",
        "correct spec.model.source; if it is private, " + _TOKEN,
    ),
)  # fmt: skip
