"""The demo from warm caches, as a user runs it: how long it takes and what its summary says."""

import json
import subprocess
import time

from harness import BIN, ROOT, record


def main() -> None:
    """Run the demo, take it down, and record both."""
    demo = str(BIN / "autoglm-demo")
    subprocess.run([demo, "down"], check=True)
    start = time.monotonic()
    subprocess.run([demo, "up"], check=True)
    duration = time.monotonic() - start
    subprocess.run([demo, "down"], check=True)
    summary = json.loads((ROOT / ".local/demo/summary.json").read_text())
    record("demo", {"make demo, warm caches, s": round(duration, 1), **summary})


if __name__ == "__main__":
    main()
