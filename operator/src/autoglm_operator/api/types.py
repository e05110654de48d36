"""What fields of the API are made of: patterns, durations, and the base of every model."""

import re
from datetime import UTC, datetime
from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

DURATION_PATTERN: Final = r"^([1-9][0-9]{0,5})(ms|s|m|h)$"
CPU_PATTERN: Final = r"^([0-9]+m|[0-9]+(\.[0-9]{1,3})?)$"
BYTES_PATTERN: Final = r"^[0-9]+((\.[0-9]{1,3})?(k|M|G|T|Ki|Mi|Gi|Ti))?$"
DNS_NAME_PATTERN: Final = r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"
MODEL_ID_PATTERN: Final = r"^[A-Za-z0-9][A-Za-z0-9._-]*/[A-Za-z0-9][A-Za-z0-9._-]*$"
REVISION_PATTERN: Final = r"^[A-Za-z0-9][A-Za-z0-9._-]*$"
ADAPTER_NAME_PATTERN: Final = r"^[A-Za-z0-9][A-Za-z0-9._-]*$"
SERVED_NAME_PATTERN: Final = r"^[A-Za-z0-9][A-Za-z0-9._/-]*$"
IMAGE_PATTERN: Final = r"^[a-z0-9][A-Za-z0-9._:/@-]*$"
PATH_PATTERN: Final = r"^[A-Za-z0-9][A-Za-z0-9._-]*(/[A-Za-z0-9][A-Za-z0-9._-]*)*$"
#: 1 to 65535.
_PORT: Final = "([1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5])"
_HOST: Final = rf"^https?://[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?(:{_PORT})?"
ENDPOINT_PATTERN: Final = rf"{_HOST}(/[A-Za-z0-9._/-]*)?$"
URL_PATTERN: Final = rf"{_HOST}(/[A-Za-z0-9._~%/-]*)?$"
#: An endpoint of the cluster itself, by the name of a Service; the first group is its namespace.
IN_CLUSTER_PATTERN: Final = r"^https?://[a-z0-9-]+[.]([a-z0-9-]+)[.]svc([.]cluster[.]local)?(:[0-9]+)?(/.*)?$"
BUCKET_PATTERN: Final = r"^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$"
REGION_PATTERN: Final = r"^[a-z0-9]([a-z0-9-]*[a-z0-9])?$"
LABEL_VALUE_PATTERN: Final = r"^[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?$"
LABEL_KEY_PATTERN: Final = r"^([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?$"
MIG_PROFILE_PATTERN: Final = r"^[1-7]g\.[0-9]{1,3}gb(\+(me|gfx|me\.all))?$"
ENVIRONMENT_NAME_PATTERN: Final = r"^[A-Za-z_][A-Za-z0-9_]*$"
#: One word of a command line. A line break has no use there, and logs could be forged with it.
ARGUMENT_PATTERN: Final = r"^[^\x00-\x1f\x7f]+$"
VERSION_PATTERN: Final = r"^[0-9]+\.[0-9]+(\.[0-9]+)?(\.?(rc|post)[0-9]+)?$"
#: Five fields; what they may hold is left to the CronJob or the scheduler that reads them.
CRON_PATTERN: Final = r"^([0-9A-Za-z*/,-]+ ){4}[0-9A-Za-z*/,-]+$"
TIME_ZONE_PATTERN: Final = r"^[A-Za-z][A-Za-z0-9_+-]*(/[A-Za-z0-9_+-]+)*$"

_SECONDS_PER_UNIT: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}


def seconds(duration: str) -> float:
    """Return the length of a duration such as `60ms`, `2s`, `5m` or `1h`, in seconds.

    Raises:
        ValueError: `duration` is not a whole positive number with one of those units.
    """
    found = re.fullmatch(DURATION_PATTERN, duration)
    if found is None:
        raise ValueError(f"duration {duration!r}: expected a positive whole number and a unit, such as 60ms, 2s, 5m")
    return int(found[1]) * _SECONDS_PER_UNIT[found[2]]


def rfc3339(time: float) -> str:
    """Return seconds since the epoch as Kubernetes writes a time: `2026-11-21T14:26:20Z`."""
    return datetime.fromtimestamp(time, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def micro_time(time: float) -> str:
    """Return seconds since the epoch as Kubernetes writes a MicroTime: `2026-11-21T14:26:20.500000Z`."""
    return datetime.fromtimestamp(time, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


class ApiModel(BaseModel):
    """Base of everything read from the API: camelCase outside, and fields of newer versions are ignored."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="ignore", frozen=True)


Duration = Annotated[str, Field(pattern=DURATION_PATTERN, max_length=16)]
