"""Pictures of the dashboards, without Grafana: each dashboard's JSON, drawn from answers of the demo's Prometheus.

The queries are sent as Grafana sends them; a small page draws rows, tiles, lines and tables, and Chromium without a
window takes the picture. The page says at its end that it is not Grafana. Needs `make demo` with a Prometheus beside
it, and `chromium`.
"""

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from autoglm_demo import grafana, monitoring
from autoglm_demo.promapi import Prometheus, QueryError, Series
from autoglm_demo.settings import OUTPUT, ROOT, SCRAPE_INTERVAL, Load, Target
from screens_table import json_number, table

Json = dict[str, Any]
_PAGE: Final = Path(__file__).parent / "screens"
_WIDTH: Final = 1600
_CELL: Final = 38
_AROUND: Final = 118
_PIXELS: Final = 700


def main() -> int:
    """Draw every dashboard, or those named, and return 1 if one could not be drawn."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help="such as overview; all if left out")
    parser.add_argument("--cluster", default=Target().cluster, help="whose Prometheus is asked; default %(default)s")
    parser.add_argument("--minutes", type=float, default=5, help="length of the range; default %(default)s")
    parser.add_argument("--end", type=float, help="its end in Unix time; default: when the demo's last traffic ended")
    parser.add_argument("--output", type=Path, default=ROOT / "docs/screens")
    arguments = parser.parse_args()
    url = monitoring.url(arguments.cluster)
    if url is None:
        parser.error(f"cluster {arguments.cluster} has no Prometheus: `autoglm-demo up --prometheus` first")
    files = sorted((ROOT / "dashboards").glob("*.json"))
    end = arguments.end or _end_of_load()
    scrape = grafana.duration_seconds(SCRAPE_INTERVAL)
    view = grafana.View(end - arguments.minutes * 60, end, _PIXELS, scrape)
    arguments.output.mkdir(parents=True, exist_ok=True)
    failed = []
    with Prometheus(url) as client:
        for file in files:
            if not arguments.names or file.stem in arguments.names:
                try:
                    content = picture(json.loads(file.read_text()), client, view)
                    take(content, arguments.output / f"{file.stem}.png")
                except (QueryError, ValueError) as error:
                    failed.append(file.stem)
                    print(f"{file.stem}: {error}")
    return 1 if failed else 0


@dataclass(frozen=True, slots=True)
class Look:
    """A dashboard as a person has set it: values of its variables, a range, and the times on its graphs."""

    title: str
    client: Prometheus
    view: grafana.View
    values: Mapping[str, str]
    times: Sequence[float]


def _end_of_load() -> float:
    """Return when the traffic of the last demo ended, or now if none is noted."""
    report = OUTPUT / "load.json"
    if not report.exists():
        return time.time()
    return min(time.time(), float(json.loads(report.read_text())["startedAt"]) + Load().duration)


def picture(dashboard: Json, client: Prometheus, view: grafana.View) -> Json:
    """Return what the page draws: the panels with their answers, on one grid of times."""
    values = grafana.variables(dashboard, client, view)
    step = view.interval
    start = view.start // step * step
    times = [start + step * number for number in range(int((view.end - start) // step) + 1)]
    look = Look(dashboard["title"], client, view, values, times)
    panels = [_panel(panel, look) for panel in dashboard["panels"]]
    begin, end = (datetime.fromtimestamp(moment, UTC) for moment in (view.start, view.end))
    empty = [panel["title"] for panel in panels if _is_empty(panel)]
    if empty:
        print(f"{dashboard['title']}: without data: {', '.join(empty)}")
    return {
        "title": dashboard["title"],
        "range": f"{begin:%Y-%m-%d %H:%M} to {end:%H:%M} UTC",
        "variables": _shown_variables(dashboard, values),
        "times": times,
        "marks": _marks(dashboard, look),
        "rows": max(panel["gridPos"]["y"] + panel["gridPos"]["h"] for panel in panels),
        "panels": panels,
    }


def _panel(panel: Json, look: Look) -> Json:
    values = look.values
    title = grafana.expand(panel.get("title", ""), values)
    if panel["type"] == "row":
        keep = {key: panel[key] for key in ("type", "gridPos")}
        return {**keep, "title": title, "collapsed": panel.get("collapsed", False), "panels": len(panel["panels"])}
    drawn = {key: panel.get(key) for key in ("type", "gridPos", "fieldConfig", "options", "transformations")}
    drawn |= {"title": title, "series": [], "table": {"columns": [], "rows": []}}
    answers: list[tuple[grafana.Query, list[Series]]] = [
        (query, ask(look.client, query)) for query in grafana.panel_queries(look.title, panel, values, look.view)
    ]
    if panel["type"] == "table":
        drawn["table"] = table(answers, panel.get("transformations", []))
    else:
        drawn["series"] = [_drawn(query, series, look.times) for query, found in answers for series in found]
    if panel["type"] == "text":
        drawn["options"] = {**panel["options"], "content": grafana.expand(panel["options"]["content"], values)}
    return drawn


def _is_empty(panel: Json) -> bool:
    return panel["type"] not in {"row", "text"} and not panel["series"] and not panel["table"]["rows"]


def ask(client: Prometheus, query: grafana.Query) -> list[Series]:
    """Return the answer to one query of a panel."""
    view = query.view
    if query.instant:
        return client.instant(query.expression, view.end)
    step = view.interval
    return client.range(query.expression, view.start // step * step, view.end // step * step, step)


def _drawn(query: grafana.Query, series: Series, times: Sequence[float]) -> Json:
    """Return one series as the page draws it; what JSON has no word for goes as text."""
    points = dict(series.points)
    values = [points.get(moment) for moment in times] if not query.instant else [series.points[-1][1]]
    return {
        "name": legend(query, series),
        "refId": query.reference,
        "values": [json_number(value) for value in values],
    }


def legend(query: grafana.Query, series: Series) -> str:
    """Return the name of a series: the legend with its labels filled in, or else the labels."""
    if query.legend and query.legend != "__auto":
        text = query.legend
        for label in set(_labels_in(text)):
            text = text.replace("{{" + label + "}}", series.labels.get(label.strip(), ""))
        return text
    labels = ", ".join(f'{key}="{value}"' for key, value in series.labels.items() if key != "__name__")
    return f"{series.labels.get('__name__', '')}{{{labels}}}" if labels else query.panel


def _labels_in(text: str) -> list[str]:
    return [part.partition("}}")[0] for part in text.split("{{")[1:]]


def _shown_variables(dashboard: Json, values: Mapping[str, str]) -> list[tuple[str, str]]:
    shown = []
    for variable in dashboard["templating"]["list"]:
        if variable.get("hide") != 2 and variable["type"] != "datasource":  # noqa: PLR2004  # Grafana's "hide all"
            value = values[variable["name"]]
            whole = value == variable.get("allValue")
            shown.append((variable.get("label") or variable["name"], "All" if whole else value.replace("\\", "")))
    return shown


def _marks(dashboard: Json, look: Look) -> list[Json]:
    """Return the moments at which an annotation of the dashboard begins."""
    marks = []
    for query, color in grafana.annotations(dashboard, look.values, look.view):
        for series in ask(look.client, query):
            before = 0.0
            for moment, value in series.points:
                if value > 0 and not before > 0:
                    marks.append({"time": moment, "color": color})
                before = value
    return marks


def take(content: Json, file: Path) -> None:
    """Draw a picture and write it as PNG.

    Raises:
        ValueError: there is no Chromium, or the page could not draw.
    """
    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if chromium is None:
        raise ValueError("there is no chromium: `apt-get install chromium`, or another Chrome in PATH")
    height = content["rows"] * _CELL + _AROUND
    with tempfile.TemporaryDirectory(prefix="autoglm-screens-") as folder:
        page = Path(folder, "page.html")
        page.write_text(_page(content))
        common = [chromium, "--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"]
        common += [f"--user-data-dir={folder}/profile", f"--window-size={_WIDTH},{height}"]
        # Twice: only the document tells whether the script came to its end.
        text = _output([*common, "--dump-dom", page.as_uri()])
        if "<title>drawn</title>" not in text:
            raise ValueError(f"the page did not come to its end; look at it: {_kept(page, file)}")
        _output([*common, f"--screenshot={file}", page.as_uri()])
    print(f"{file}")


def _kept(page: Path, file: Path) -> Path:
    kept = file.with_suffix(".html")
    shutil.copy(page, kept)
    return kept


def _output(command: list[str]) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=120).stdout


def _page(content: Json) -> str:
    def read(name: str) -> str:
        return (_PAGE / name).read_text()

    # A closing tag inside a label's value must not end the script.
    data = json.dumps(content, allow_nan=False).replace("</", "<\\/")
    style = read("vendor/uPlot.min.css") + read("page.css")
    script = "\n".join(map(read, ("vendor/uPlot.iife.min.js", "format.js", "page.js")))
    page = read("page.html").replace("/*STYLE*/", style).replace("/*SCRIPT*/", script)
    return page.replace("/*PICTURE*/null", data)


if __name__ == "__main__":
    sys.exit(main())
