"""Every dashboard keeps the rules of Grafana's dashboard linter, and some of our own."""

import re

GRID_COLUMNS = 24


def test_a_dashboard_has_a_stable_identity_and_cannot_be_edited_in_place(board):
    assert re.fullmatch(r"autoglm-[a-z-]+", board["uid"])
    assert "id" not in board  # Grafana gives it; a fixed one overwrites another dashboard
    assert board["editable"] is False
    assert board["tags"] == ["autoglm"]
    assert 39 <= board["schemaVersion"] <= 42  # what Grafana 11 and 12 read


def test_panel_ids_are_unique(board):
    ids = [panel["id"] for panel in board["panels"]]
    assert len(set(ids)) == len(ids)


def test_panels_lie_on_the_grid_and_do_not_overlap(board):
    taken = {}
    for panel in board["panels"]:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= GRID_COLUMNS, panel["title"]
        for x in range(place["x"], place["x"] + place["w"]):
            for y in range(place["y"], place["y"] + place["h"]):
                assert (x, y) not in taken, f"{panel['title']} over {taken[(x, y)]}"
                taken[(x, y)] = panel["title"]


def test_the_first_row_fits_the_first_screen(board):
    tiles = [panel for panel in board["panels"] if panel["type"] == "stat"]
    assert {panel["gridPos"]["y"] for panel in tiles} == {1}


def test_every_panel_says_what_it_shows(panels):
    titles = [panel["title"] for panel in panels]
    assert len(set(titles)) == len(titles)
    for panel in panels:
        assert panel["title"].strip()
        assert len(panel["description"]) > 40, panel["title"]
        assert panel["description"].endswith("."), panel["title"]


def test_every_panel_has_a_unit_and_starts_at_zero(panels):
    for panel in panels:
        defaults = panel["fieldConfig"]["defaults"]
        assert defaults["unit"], panel["title"]
        assert defaults["min"] == 0, panel["title"]


def test_a_share_of_a_capacity_ends_at_one(panels):
    for panel in panels:
        if panel["fieldConfig"]["defaults"]["unit"] == "percentunit" and panel["type"] == "timeseries":
            assert panel["fieldConfig"]["defaults"]["max"] == 1, panel["title"]


def test_colours_judge_only_where_a_judgement_is_meant(panels):
    for panel in panels:
        steps = panel["fieldConfig"]["defaults"]["thresholds"]["steps"]
        values = [step["value"] for step in steps]
        assert values[0] is None, panel["title"]
        assert values[1:] == sorted(set(values[1:])), panel["title"]
        if len(steps) == 1:
            assert steps[0]["color"] == "blue", f"{panel['title']}: a fact in a judging colour"
        else:
            assert {step["color"] for step in steps} <= {"green", "orange", "red"}, panel["title"]
        if panel["type"] == "timeseries":
            drawn = panel["fieldConfig"]["defaults"]["custom"]["thresholdsStyle"]["mode"]
            assert (drawn != "off") == (len(steps) > 1), panel["title"]


def test_every_query_goes_to_the_chosen_data_source(panels):
    source = {"type": "prometheus", "uid": "${datasource}"}
    for panel in panels:
        assert panel["datasource"] == source, panel["title"]
        assert panel["targets"], panel["title"]
        assert all(target["datasource"] == source for target in panel["targets"]), panel["title"]


def test_queries_of_a_panel_have_their_own_letter_and_a_legend(panels):
    for panel in panels:
        letters = [target["refId"] for target in panel["targets"]]
        assert len(set(letters)) == len(letters), panel["title"]
        assert all(target["legendFormat"] for target in panel["targets"]), panel["title"]


def test_a_tile_asks_for_one_moment_and_a_graph_for_a_range(panels):
    for panel in panels:
        for target in panel["targets"]:
            assert target["instant"] is (panel["type"] == "stat"), panel["title"]
            assert target["range"] is not target["instant"], panel["title"]


def test_silence_is_not_shown_as_a_value(panels):
    for panel in panels:
        defaults = panel["fieldConfig"]["defaults"]
        assert defaults["noValue"] == "No data", panel["title"]
        matches = [mapping["options"]["match"] for mapping in defaults["mappings"]]
        assert matches == ["nan"], panel["title"]
        assert defaults.get("custom", {"spanNulls": False})["spanNulls"] is False, panel["title"]


def test_variables_choose_the_data_source_first_and_follow_the_time_range(board):
    source, *others = board["templating"]["list"]
    assert (source["type"], source["name"], source["query"]) == ("datasource", "datasource", "prometheus")
    assert [variable["name"] for variable in others] == ["namespace", "deployment", "job"]
    for variable in others:
        assert variable["datasource"]["uid"] == "${datasource}"
        assert variable["refresh"] == 2
        assert variable["multi"]
        assert variable["includeAll"]
        assert variable["description"]
        assert variable["query"]["query"] == variable["definition"]
