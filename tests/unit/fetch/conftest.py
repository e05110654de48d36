"""A fake hub for each test, and the download as a function and as a process."""

import json
import os
import random
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.unit.fetch.fake_hub import MODEL, Hub, running

from autoglm_fetch.model import Outcome, fetch
from autoglm_fetch.pace import Pace
from autoglm_fetch.source import Kind, Source
from autoglm_fetch.web import Web


@pytest.fixture
def hub() -> Iterator[Hub]:
    with running(Hub()) as served:
        yield served


@pytest.fixture
def get(hub: Hub, tmp_path: Path) -> Callable[..., Outcome]:
    """Download from the fake hub to `tmp_path/model`, with pauses of milliseconds."""

    def run(
        kind: Kind = Kind.HUGGING_FACE,
        *,
        token: str | None = None,
        deadline: float = 30.0,
        folder: Path = tmp_path / "model",
    ) -> Outcome:
        pace = Pace(deadline, rng=random.Random(1), first_pause=0.01)
        model, endpoint = (f"{hub.url}/models/tiny", "") if kind is Kind.URL else (MODEL, hub.url)
        branch = {Kind.HUGGING_FACE: "main", Kind.MODEL_SCOPE: "master", Kind.URL: ""}[kind]
        with Web(token, pace, 4) as web:
            return fetch(Source(kind, model, branch, endpoint), folder, web, 4)

    return run


@dataclass
class Ended:
    """How a process ended: its exit status, its last word and its logs."""

    status: int
    report: dict[str, Any]
    logs: str


@pytest.fixture
def process(hub: Hub, tmp_path: Path) -> Callable[..., Ended]:
    """Run the program as a Job does."""

    def run(*words: str, prefix: tuple[str, ...] = (), env: dict[str, str] | None = None) -> Ended:
        report = tmp_path / "termination-log"
        report.unlink(missing_ok=True)
        command = [*prefix, sys.executable, "-m", "autoglm_fetch", "get", "--source", "huggingface", "--model", MODEL]
        command += ["--endpoint", hub.url, "--folder", str(tmp_path / "model"), "--report", str(report), *words]
        done = subprocess.run(
            command, env={**os.environ, **(env or {})}, capture_output=True, text=True, timeout=60, check=False
        )
        word = json.loads(report.read_text()) if report.exists() else {}
        return Ended(done.returncode, word, done.stderr)

    return run


def contents(folder: Path) -> dict[str, bytes]:
    """Return what is in a model's folder, without our notes."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.relative_to(folder).parts[0] not in {".fetch", ".complete"}
    }
