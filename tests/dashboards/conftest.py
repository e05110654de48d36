"""What the tests of the dashboards share."""

import pytest

from autoglm_dashboards import cli
from autoglm_dashboards.panels import Json


@pytest.fixture(params=sorted(cli.dashboards()))
def board(request) -> Json:
    return cli.dashboards()[request.param]


@pytest.fixture
def panels(board) -> list[Json]:
    return [panel for panel in board["panels"] if panel["type"] != "row"]
