"""The overview: are users well, is there room for them, why did it scale, and does the machinery work?"""

from typing import Final

from autoglm_dashboards import capacity, decisions, foreign, layout, machinery, scope, users
from autoglm_dashboards.layout import Section
from autoglm_dashboards.panels import Json

UID: Final = "autoglm-overview"


def dashboard() -> Json:
    """Return the overview dashboard."""
    return layout.dashboard(
        UID,
        "AutoGLM / Overview",
        "Users first: latency and errors, then capacity, the decisions of the autoscaler, and the operator itself. "
        f"Engine metrics as of vLLM {foreign.VLLM_VERSION} and SGLang {foreign.SGLANG_VERSION}.",
        scope.VARIABLES,
        (
            Section("Are users well?", users.PANELS),
            Section("Is there room for them?", capacity.PANELS),
            Section("Why did it scale, and on what evidence?", decisions.PANELS),
            Section("Does the operator work?", machinery.PANELS),
        ),
    )
