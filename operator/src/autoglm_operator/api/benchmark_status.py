"""`autoglm.io/v1alpha1` AutoGLMBenchmark: the status that the operator writes."""

from typing import Annotated

from pydantic import Field

from autoglm_operator.api.status import Condition
from autoglm_operator.api.types import ApiModel

_Time = Annotated[str, Field(max_length=32, json_schema_extra={"format": "date-time"})]


class Progress(ApiModel):
    """Of the run that is under way."""

    percent: Annotated[int, Field(ge=0, le=100, description="Of the whole run: for FindLimit of all its trials.")]
    ttft_p99: Annotated[
        str | None,
        Field(alias="ttftP99", max_length=16, description="Of requests that ended in the last seconds, such as 812ms."),
    ] = None
    itl_p99: Annotated[
        str | None, Field(alias="itlP99", max_length=16, description="Of the same requests: the mean of each.")
    ] = None
    search: Annotated[
        str | None, Field(max_length=128, description="Of FindLimit: such as limit between 4 and 8/s.")
    ] = None
    failed: Annotated[int, Field(ge=0, description="Requests that failed so far.")] = 0


class ResultRow(ApiModel):
    """One figure of the result."""

    name: Annotated[str, Field(max_length=64, description="Such as ttft_p99.")]
    value: Annotated[str, Field(max_length=32, description="Such as 812.4.")]
    unit: Annotated[str, Field(max_length=32, description="Such as ms; empty for counts and ratios.")] = ""


class Run(ApiModel):
    """The last run that ended."""

    job: Annotated[str, Field(max_length=253)]
    ended: _Time
    partial: Annotated[bool, Field(description="Whether it was cut short; its figures cover what was sent.")] = False
    verdict: Annotated[str, Field(max_length=1024, description="One sentence.")]
    comparison: Annotated[str | None, Field(max_length=1024, description="With the baseline, in one sentence.")] = None
    results: Annotated[tuple[ResultRow, ...], Field(max_length=64)] = ()
    report: Annotated[
        str | None,
        Field(max_length=512, description="Where the full report is: claim and folder, or s3://bucket/prefix."),
    ] = None
    sequence: Annotated[
        str | None, Field(max_length=80, description="Hash of the requests sent: alike for the same seed and spec.")
    ] = None


class BenchmarkStatus(ApiModel):
    """What is."""

    observed_generation: Annotated[int, Field(description="Generation of the spec this status is about.")] = -1
    job: Annotated[str | None, Field(max_length=253, description="The run that is under way.")] = None
    progress: Progress | None = None
    last_run: Run | None = None
    conditions: Annotated[tuple[Condition, ...], Field(max_length=16)] = ()
