import ipaddress
from dataclasses import replace

import pytest

from localcluster.errors import LocalClusterError
from localcluster.spec import Addresses, Options, State, free_slot, read_state, write_state


@pytest.mark.parametrize("name", ["", "a", "Big", "9a", "a_b", "a-", "x" * 33, "../etc"])
def test_unusable_names_are_refused(name):
    with pytest.raises(LocalClusterError, match="is not usable"):
        Options(name=name)


def test_negative_counts_are_refused():
    with pytest.raises(LocalClusterError, match="--kwok -1"):
        Options(kwok=-1)


def test_interface_names_fit_the_kernel():
    assert max(len(Addresses(127).bridge), len(Addresses(127).uplink)) <= 15


def test_a_slot_avoids_networks_in_use_and_slots_taken():
    used = [ipaddress.IPv4Network("10.214.0.0/30"), ipaddress.IPv4Network("10.213.2.128/25")]
    assert free_slot(used, {1}) == 3


def test_no_slot_left_is_said():
    with pytest.raises(LocalClusterError, match="no free network"):
        free_slot([ipaddress.IPv4Network("10.0.0.0/8")], set())


def test_networks_of_two_slots_are_apart():
    assert not any(a.overlaps(b) for a in Addresses(0).networks() for b in Addresses(1).networks())


def test_the_state_file_holds_all(state):
    options = replace(state.options, apiserver_arguments=("--v=2",))
    written = replace(state, options=options)
    write_state(written)
    assert read_state("unit") == written
    assert State.from_json(written.to_json()).options == options


def test_no_state_where_there_is_no_cluster():
    assert read_state("absent") is None
