"""Every dashboard keeps the rules of Grafana's dashboard linter, and some of our own."""

import re

from autoglm_dashboards import cli

MOST_QUERIES = 25
GRID_COLUMNS = 24


def test_a_dashboard_has_a_stable_identity_and_cannot_be_edited_in_place(board):
    assert re.fullmatch(r"autoglm-[a-z-]+", board["uid"])
    assert "id" not in board  # Grafana gives it; a fixed one overwrites another dashboard
    assert board["editable"] is False
    assert board["tags"] == ["autoglm"]
    assert {need["id"] for need in board["__requires"]} >= {"grafana", "prometheus", "stat", "timeseries"}
    assert board["__inputs"] == []  # a data source is chosen by a variable, so a provisioned copy needs nothing
    assert 39 <= board["schemaVersion"] <= 42  # what Grafana 11 and 12 read


def test_panel_ids_are_unique(board):
    ids = [each["id"] for panel in board["panels"] for each in (panel, *panel.get("panels", ()))]
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


def test_the_judging_row_is_on_the_first_screen(board):
    tiles = [panel for panel in board["panels"] if panel["type"] == "stat"]
    assert len({panel["gridPos"]["y"] for panel in tiles}) == 1
    assert tiles[0]["gridPos"]["y"] <= 5


def test_every_panel_says_what_it_shows(panels):
    titles = [panel["title"] for panel in panels]
    assert len(set(titles)) == len(titles)
    for panel in panels:
        assert panel["title"].strip()
        assert len(panel["description"]) > 40, panel["title"]
        assert panel["description"].endswith("."), panel["title"]


def test_every_panel_has_a_unit_and_starts_at_zero(queried):
    for panel in queried:
        defaults = panel["fieldConfig"]["defaults"]
        assert defaults["unit"], panel["title"]
        assert defaults["min"] == 0, panel["title"]


def test_a_share_of_a_capacity_ends_at_one(queried):
    for panel in queried:
        if panel["fieldConfig"]["defaults"]["unit"] == "percentunit" and panel["type"] == "timeseries":
            assert panel["fieldConfig"]["defaults"]["max"] == 1, panel["title"]


def test_colours_judge_only_where_a_judgement_is_meant(queried):
    for panel in queried:
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


def test_every_query_goes_to_the_chosen_data_source(queried):
    source = {"type": "prometheus", "uid": "${datasource}"}
    for panel in queried:
        assert panel["datasource"] == source, panel["title"]
        assert panel["targets"], panel["title"]
        assert all(target["datasource"] == source for target in panel["targets"]), panel["title"]


def test_queries_of_a_panel_have_their_own_letter_and_a_legend(queried):
    for panel in queried:
        letters = [target["refId"] for target in panel["targets"]]
        assert len(set(letters)) == len(letters), panel["title"]
        assert all(target["legendFormat"] for target in panel["targets"]), panel["title"]


def test_a_tile_asks_for_one_moment_and_a_graph_for_a_range(queried):
    for panel in queried:
        for target in panel["targets"]:
            assert target["instant"] is (panel["type"] != "timeseries"), panel["title"]
            assert target["range"] is not target["instant"], panel["title"]


def test_silence_is_not_shown_as_a_value(queried):
    for panel in queried:
        defaults = panel["fieldConfig"]["defaults"]
        assert defaults["noValue"] == "No data", panel["title"]
        matches = [mapping["options"]["match"] for mapping in defaults["mappings"]]
        assert matches == ["nan"], panel["title"]
        assert defaults.get("custom", {"spanNulls": False})["spanNulls"] is False, panel["title"]


#: Dashboards with lines for each pod.
ONE_DEPLOYMENT = {"autoglm-autoscaling", "autoglm-benchmarks", "autoglm-deployment", "autoglm-gpu"}


def test_variables_choose_the_data_source_first_and_follow_the_time_range(board):
    source, *others = (each for each in board["templating"]["list"] if each["type"] != "textbox")
    assert (source["type"], source["name"], source["query"]) == ("datasource", "datasource", "prometheus")
    assert [variable["name"] for variable in others] == ["cluster", "namespace", "deployment", "job", "instance"]
    for variable in others:
        assert variable["datasource"]["uid"] == "${datasource}"
        assert variable["refresh"] == 2
        single = variable["name"] == "deployment" and board["uid"] in ONE_DEPLOYMENT
        assert (variable["multi"], variable["includeAll"]) == (not single, not single)
        assert variable["description"]
        assert variable["query"]["query"] == variable["definition"]


def test_dashboards_lead_to_each_other_and_keep_what_was_chosen(board):
    links = board["links"]
    assert all(link["includeVars"] and link["keepTime"] for link in links)
    assert [link["tags"] for link in links if link.get("asDropdown")] == [board["tags"]]
    back = [link["url"] for link in links if link["type"] == "link"]
    assert back == ([] if board["uid"] == "autoglm-overview" else ["/d/autoglm-overview"])


def test_links_in_cells_lead_to_a_dashboard_about_the_row(board):
    uids = {each["uid"] for each in cli.dashboards().values()}
    for panel in board["panels"]:
        for override in panel.get("fieldConfig", {}).get("overrides", []):
            for link in (each for item in override["properties"] if item["id"] == "links" for each in item["value"]):
                path, _, query = link["url"].partition("?")
                assert path.removeprefix("/d/") in uids
                assert "var-namespace=${__data.fields.Namespace}" in query
                assert "var-deployment=${__data.fields.Deployment}" in query
                assert "${__url_time_range}" in query


def test_a_table_shows_what_its_queries_ask_for(board):
    for panel in (each for each in board["panels"] if each["type"] == "table"):
        merge, kept, organized = panel["transformations"]
        assert (merge["id"], kept["id"], organized["id"]) == ("merge", "filterFieldsByName", "organize")
        names = organized["options"]["renameByName"]
        assert list(names) == kept["options"]["include"]["names"]
        configured = [override["matcher"]["options"] for override in panel["fieldConfig"]["overrides"]]
        assert configured == list(names.values())
        letters = {name.removeprefix("Value #") for name in names if name.startswith("Value #")}
        assert letters <= {target["refId"] for target in panel["targets"]}


def test_the_overview_asks_at_most_25_queries_and_no_subquery():
    panels = cli.dashboards()["overview.json"]["panels"]
    queries = [target["expr"] for panel in panels for target in panel.get("targets", ())]
    assert 10 < len(queries) <= MOST_QUERIES
    assert not [query for query in queries if re.search(r"\[[^\]]*:[^\]]*\]", query)]
