from __future__ import annotations

import json
import types

import pytest

from onnxprune.providers.placement import Kernel, Placement, read_assignment, read_kernels


def _event(name, dur, *, cat="Node", provider="P", op="Conv"):
    return {"cat": cat, "name": name, "dur": dur, "args": {"op_name": op, "provider": provider}}


def test_profile_gives_the_quartile_after_the_first_run(tmp_path):
    events = [_event("a_kernel_time", dur) for dur in (900, 40, 10, 30, 20, 90)]
    events += [_event("a_fence_before", 5), _event("model_run", 7, cat="Session"), {"cat": "x"}]
    path = tmp_path / "profile.json"
    path.write_text(json.dumps(events))
    assert read_kernels(path, runs=6) == (Kernel("a", "Conv", "P", 20.0),)


def test_kernel_in_a_loop_counts_all_its_passes(tmp_path):
    path = tmp_path / "profile.json"
    path.write_text(json.dumps([_event("a_kernel_time", dur) for dur in (9, 9, 1, 2)]))
    assert read_kernels(path, runs=2)[0].us == 3.0


def test_kernel_that_ran_in_some_runs_only_is_averaged(tmp_path):
    path = tmp_path / "profile.json"
    path.write_text(json.dumps([_event("a_kernel_time", 8)]))
    assert read_kernels(path, runs=4)[0].us == 2.0


def test_shares_come_from_kernels_where_nodes_are_not_known():
    kernels = (Kernel("a", "Conv", "P", 1.0), Kernel("b", "Conv", "Q", 1.0))
    assert Placement(None, kernels).shares() == {"P": 0.5, "Q": 0.5}
    assert Placement({"P": ("a",)}, kernels).shares() == {"P": 1.0}
    assert Placement(None).shares() == {}


def test_assignment_is_grouped_by_provider():
    def part(provider, *names):
        nodes = [types.SimpleNamespace(name=name) for name in names]
        return types.SimpleNamespace(ep_name=provider, get_nodes=lambda: nodes)

    session = types.SimpleNamespace(
        get_provider_graph_assignment_info=lambda: [part("P", "a"), part("Q", "b"), part("P", "c")]
    )
    assert read_assignment(session) == {"P": ("a", "c"), "Q": ("b",)}


@pytest.mark.parametrize("failing", [True, False])
def test_versions_that_do_not_tell(failing):
    def read():
        raise RuntimeError

    session = types.SimpleNamespace()
    if failing:
        session.get_provider_graph_assignment_info = read
    assert read_assignment(session) is None
