"""The modules under test, compiled as they stand by mypyc: the same definitions, some twenty times faster.

mypyc comes with mypy and needs setuptools and a C compiler. Where it cannot work, the modules run as plain Python.
"""

import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BUILD = ROOT / ".local/bench/compiled"
SIMULATOR = "autoglm_simulator"
OPERATOR = "autoglm_operator"
_NATIVE = (
    *(f"{SIMULATOR}/replay/{name}.py" for name in ("settings", "traffic", "plant", "fluid", "hpa", "path", "run")),
    f"{SIMULATOR}/replay/peers/*.py",
    f"{OPERATOR}/decide/law/*.py",
    f"{OPERATOR}/cli/replay_law.py",
)


_PARTS = (
    (ROOT / "simulator/src" / SIMULATOR, "replay/*.py"),
    (ROOT / "simulator/src" / SIMULATOR, "replay/peers/*.py"),
    (ROOT / "operator/src" / OPERATOR, "decide/law/*.py"),
    (ROOT / "operator/src" / OPERATOR, "cli/replay_law.py"),
)
_STAMP = BUILD / "sources.sha256"


def compile_modules() -> bool:
    """Build the modules and put them in front of the installed ones; return whether that worked.

    What was built from the same sources is used again.
    """
    sources = {
        BUILD / package.name / source.relative_to(package): source
        for package, pattern in _PARTS
        for source in sorted(package.glob(pattern))
    }
    digest = hashlib.sha256(b"".join(source.read_bytes() for source in sources.values())).hexdigest()
    if not (_STAMP.exists() and _STAMP.read_text() == digest):
        if not _build(sources):
            return False
        _STAMP.write_text(digest)
    sys.path.insert(0, str(BUILD))
    return True


def _build(files: dict[Path, Path]) -> bool:
    shutil.rmtree(BUILD, ignore_errors=True)
    for target, source in files.items():
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, target)
        for folder in target.relative_to(BUILD).parents[:-1]:
            (BUILD / folder / "__init__.py").touch()
    (BUILD / "mypy.ini").write_text("[mypy]\n")  # or it finds the repository's, with plugins that are not needed here
    sources = [str(path.relative_to(BUILD)) for pattern in _NATIVE for path in sorted(BUILD.glob(pattern))]
    done = subprocess.run(
        [sys.executable, "-m", "mypyc", *sources], cwd=BUILD, check=False, capture_output=True, text=True
    )
    if done.returncode:
        shutil.rmtree(BUILD, ignore_errors=True)
        print(f"not compiled, so this takes about twenty times as long: {done.stdout[-300:]}{done.stderr[-300:]}")
        return False
    return True
