"""What the tests of the dashboards share."""

import pytest

from autoglm_dashboards import cli
from autoglm_dashboards.panels import Json


@pytest.fixture(params=sorted(cli.dashboards()))
def board(request) -> Json:
    return cli.dashboards()[request.param]


@pytest.fixture
def panels(board) -> list[Json]:
    """Every panel, those in folded rows too."""
    every = (each for panel in board["panels"] for each in (panel, *panel.get("panels", ())))
    return [panel for panel in every if panel["type"] != "row"]


@pytest.fixture
def queried(panels) -> list[Json]:
    """The panels that ask for something."""
    return [panel for panel in panels if panel["type"] != "text"]
