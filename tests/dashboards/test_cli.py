"""What is written to the repository is what the code says."""

import json

import pytest

from autoglm_dashboards import cli


@pytest.fixture
def root(tmp_path):
    for folder in ("dashboards", "charts/autoglm-operator"):
        (tmp_path / folder).mkdir(parents=True)
    return tmp_path


def test_the_files_of_the_repository_are_up_to_date(pytestconfig, capsys):
    assert cli.main(["--check"], root=pytestconfig.rootpath) == 0, capsys.readouterr().err


def test_both_copies_are_written_and_then_left_alone(root):
    assert cli.main([], root=root) == 0
    own = root / "dashboards/overview.json"
    copy = root / "charts/autoglm-operator/files/dashboards/overview.json"
    assert own.read_bytes() == copy.read_bytes()
    assert json.loads(own.read_text())["uid"] == "autoglm-overview"
    before = own.stat().st_mtime_ns
    assert cli.main([], root=root) == 0
    assert own.stat().st_mtime_ns == before
    assert cli.main(["--check"], root=root) == 0


def test_check_names_what_is_out_of_date_and_writes_nothing(root, capsys):
    cli.main([], root=root)
    stale = root / "dashboards/overview.json"
    stale.write_text("{}")
    assert cli.main(["--check"], root=root) == 1
    assert "out of date: dashboards/overview.json; run `make generate`" in capsys.readouterr().err
    assert stale.read_text() == "{}"


def test_outside_the_repository_it_says_where_to_run(tmp_path, capsys):
    with pytest.raises(SystemExit):
        cli.main([], root=tmp_path)
    assert "has no dashboards, charts/autoglm-operator: run it in the root" in capsys.readouterr().err
