"""`autoglm.io/v1alpha1` AutoGLMBenchmark: the spec a user writes."""

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from autoglm_operator.api.types import (
    BUCKET_PATTERN,
    ENDPOINT_PATTERN,
    PATH_PATTERN,
    REGION_PATTERN,
    SERVED_NAME_PATTERN,
    ApiModel,
    Duration,
)
from autoglm_operator.api.v1alpha1.references import ForbiddenNamespace, PvcSource

Rate = Annotated[float, Field(gt=0, le=100_000)]
Tokens = Annotated[int, Field(ge=1, le=1_000_000)]


class DeploymentRef(ApiModel):
    """An AutoGLMDeployment in the same namespace."""

    name: Annotated[str, Field(min_length=1, max_length=253, description="Name of the AutoGLMDeployment.")]
    namespace: ForbiddenNamespace = None


class ServiceRef(ApiModel):
    """A Service in the same namespace that speaks OpenAI's API."""

    name: Annotated[str, Field(min_length=1, max_length=253, description="Name of the Service.")]
    port: Annotated[int, Field(ge=1, le=65_535, description="Port of the Service.")]
    model: Annotated[str, Field(max_length=253, pattern=SERVED_NAME_PATTERN, description="Model to ask for.")]
    namespace: ForbiddenNamespace = None


class Target(ApiModel):
    """What is loaded: exactly one of these. Never an address, so that nobody's server is attacked from the cluster."""

    deployment_ref: DeploymentRef | None = None
    service_ref: ServiceRef | None = None


class ProfileType(StrEnum):
    """How requests arrive."""

    CONSTANT = "Constant"
    STEP = "Step"
    RAMP = "Ramp"
    SPIKE = "Spike"
    POISSON = "Poisson"
    BURSTY = "Bursty"
    CONCURRENCY = "Concurrency"
    TRACE = "Trace"
    FIND_LIMIT = "FindLimit"


class Profile(ApiModel):
    """How requests arrive: all but Concurrency send at times fixed beforehand, whatever the server does."""

    type: ProfileType
    rate: Annotated[
        Rate | None,
        Field(description="Requests a second; where Step, Ramp and Spike start, and where FindLimit begins to look."),
    ] = None
    peak_rate: Annotated[
        Rate | None,
        Field(description="Where Step and Ramp end; the top of Spike, in the middle third; the most FindLimit tries."),
    ] = None
    steps: Annotated[int | None, Field(ge=2, le=100, description="Steps of Step.")] = None
    burstiness: Annotated[
        float | None,
        Field(gt=0, le=100, description="Coefficient of variation of the gaps of Bursty; 1 is Poisson, 3 very bursty."),
    ] = None
    concurrency: Annotated[
        int | None, Field(ge=1, le=10_000, description="Clients of Concurrency, each with one request at a time.")
    ] = None
    trace: Annotated[
        PvcSource | None, Field(description="File of Trace: an Azure CSV or a Mooncake JSONL, told apart by content.")
    ] = None


class WorkloadType(StrEnum):
    """What a request asks."""

    SYNTHETIC = "Synthetic"
    PHONE_AGENT = "PhoneAgent"
    DATASET = "Dataset"


class Workload(ApiModel):
    """What requests ask; text and pictures are made on the spot from the seed."""

    type: WorkloadType = WorkloadType.SYNTHETIC
    prompt_tokens: Annotated[
        Tokens, Field(description="Mean length of the prompt of Synthetic; a trace brings its own.")
    ] = 512
    output_tokens: Annotated[Tokens, Field(description="Mean length of the answer of Synthetic.")] = 128
    variation: Annotated[
        float,
        Field(ge=0, le=3, description="Coefficient of variation of both lengths; 0 makes all requests alike."),
    ] = 0.0
    shared_prefix_tokens: Annotated[
        int, Field(ge=0, le=1_000_000, description="Tokens at the start that all prompts share, as a system prompt is.")
    ] = 0
    turns: Annotated[
        int, Field(ge=1, le=1000, description="Requests of a session, each with the conversation so far.")
    ] = 1
    dataset: Annotated[PvcSource | None, Field(description="JSONL file of Dataset: one request a line.")] = None


class BenchmarkObjective(ApiModel):
    """The latency that counts as good."""

    ttft_p99: Annotated[Duration | None, Field(alias="ttftP99", description="P99 of the time to first token.")] = None
    itl_p99: Annotated[Duration | None, Field(alias="itlP99", description="P99 of the inter-token latency.")] = None


class BaselineRef(ApiModel):
    """An AutoGLMBenchmark in the same namespace whose last report is compared with."""

    name: Annotated[str, Field(min_length=1, max_length=253, description="Name of the AutoGLMBenchmark.")]
    namespace: ForbiddenNamespace = None


class ReportClaim(ApiModel):
    """A PersistentVolumeClaim in the same namespace, written to."""

    claim_name: Annotated[str, Field(min_length=1, max_length=253, description="Name of the PersistentVolumeClaim.")]
    path: Annotated[
        str | None, Field(pattern=PATH_PATTERN, max_length=512, description="Folder of the reports in the volume.")
    ] = None
    namespace: ForbiddenNamespace = None


class BucketKeysRef(ApiModel):
    """A Secret in the same namespace: AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and, if need be, AWS_SESSION_TOKEN."""

    name: Annotated[str, Field(min_length=1, max_length=253, description="Name of the Secret.")]
    namespace: ForbiddenNamespace = None


class ReportBucket(ApiModel):
    """A bucket of S3, or of a server that speaks its API; reports go to `<prefix>/<namespace>/<name>/<run>/`."""

    bucket: Annotated[str, Field(pattern=BUCKET_PATTERN, max_length=63, description="Name of the bucket.")]
    prefix: Annotated[
        str | None, Field(pattern=PATH_PATTERN, max_length=200, description="Before everything that is written.")
    ] = None
    endpoint: Annotated[
        str | None,
        Field(
            pattern=ENDPOINT_PATTERN,
            max_length=253,
            description="URL of the server; AWS's own of the region unless given. With http only inside the cluster. "
            "If its host begins with the name of the bucket, the bucket is not put into the path.",
        ),
    ] = None
    region: Annotated[
        str, Field(pattern=REGION_PATTERN, max_length=63, description="That requests are signed for.")
    ] = "us-east-1"
    credentials_secret_ref: BucketKeysRef


class Report(ApiModel):
    """Where the full report goes (JSON, HTML and Markdown); the table in `status` comes in any case."""

    pvc: ReportClaim | None = None
    s3: ReportBucket | None = None


class BenchmarkSpec(ApiModel):
    """A load test: what is loaded, how, and what counts as good."""

    target: Target
    profile: Profile
    workload: Workload = Workload()
    duration: Annotated[Duration, Field(description="How long requests are sent; of each trial for FindLimit.")] = "2m"
    seed: Annotated[int, Field(ge=0, le=2**31 - 1, description="The same seed sends the same requests.")] = 1
    objective: Annotated[
        BenchmarkObjective | None,
        Field(description="Taken from the AutoGLMDeployment's `autoscaling.objective` unless given."),
    ] = None
    baseline: Annotated[
        BaselineRef | None,
        Field(description="Say whether this is better or worse; both keep reports on the same claim or in one bucket."),
    ] = None
    schedule: Annotated[
        str | None,
        Field(max_length=128, description='Run again and again: a cron line such as "0 3 * * *", in UTC.'),
    ] = None
    report: Report = Report()
