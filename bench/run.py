"""Run every benchmark; one that fails is named at the end and makes the exit status 1."""

import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
SCRIPTS = (
    "render.py",
    "metrics.py",
    "tracing.py",
    "operator_scale.py",
    "decide.py",
    "metrics_api.py",
    "scrape.py",
    "reaction.py",
    "simulator/published.py",
    "simulator/real_vllm.py",
    "agent.py",
    "client.py",
    "dashboards.py",
    "demo.py",
)


def main() -> int:
    """Run them one after the other: side by side they would measure each other."""
    failed = []
    for number, script in enumerate(SCRIPTS, 1):
        print(f"\n[{number}/{len(SCRIPTS)}] {script}", flush=True)
        if subprocess.run([sys.executable, str(HERE / script)], check=False).returncode:
            failed.append(script)
    if failed:
        print(f"failed: {', '.join(failed)}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
