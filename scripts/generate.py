"""Write what is generated from the code: `make generate`; with `--check`, say what is out of date instead."""

import subprocess
import sys
from pathlib import Path

import yaml

from autoglm_dashboards import cli
from autoglm_operator.api import names
from autoglm_operator.api.crd import HEADER, custom_resource_definition
from autoglm_operator.api.kinds import KINDS
from diagnosis_page import diagnosis_page
from metric_names import known, problems
from metrics_page import metrics_page
from reference import api_page

ROOT = Path(__file__).resolve().parent.parent


class _Dumper(yaml.SafeDumper):
    """Writes indented lists, as Kubernetes' own generators do, and no anchors."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:  # noqa: ARG002  # PyYAML's
        super().increase_indent(flow, indentless=False)

    def ignore_aliases(self, data: object) -> bool:  # noqa: ARG002  # PyYAML's
        return True


def outputs() -> dict[Path, str]:
    """Return the generated files by their path from the root."""
    made: dict[Path, str] = {}
    for kind in KINDS:
        crd = HEADER + yaml.dump(custom_resource_definition(kind), Dumper=_Dumper, sort_keys=False, width=120)
        file = f"{names.GROUP}_{kind.names.plural}.yaml"
        made |= {Path("crds", file): crd, Path("charts/autoglm-operator/files/crds", file): crd}
        made[Path("docs/reference", f"{kind.names.singular}.md")] = api_page(kind)
    made[Path("docs/reference/metrics.md")] = metrics_page()
    made[Path("docs/reference/diagnosis.md")] = diagnosis_page()
    return made


def _content(path: Path) -> str | None:
    return path.read_text() if path.exists() else None


def main(arguments: list[str]) -> int:
    """Write the files, or with `--check` return 1 if one differs."""
    check = arguments == ["--check"]
    if unknown := problems(cli.outputs(), known()):
        sys.stderr.write("\n".join((*unknown, "")))
        return 1
    stale = [path for path, text in outputs().items() if _content(ROOT / path) != text]
    if check and stale:
        sys.stderr.write(f"out of date: {', '.join(map(str, stale))}; run `make generate`\n")
        return 1
    for path in stale:
        (ROOT / path).parent.mkdir(parents=True, exist_ok=True)
        (ROOT / path).write_text(outputs()[path])
    dashboards = [str(ROOT / ".venv/bin/autoglm-dashboards"), *arguments]
    return subprocess.run(dashboards, cwd=ROOT, check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
