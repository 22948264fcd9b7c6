"""Looking at one run: the tree, and the journal."""

from __future__ import annotations
import pytest, pathlib
from ..fleet.background_fleet import BackgroundFleet
from ..fleet.fleets import NODES
from .commands import Cli, sent, stands

CHILD = {"name": "child", "nodes": {"answer": {"type": "std::wait", "config": {"signal": "child"}}}}

@pytest.fixture(scope="module", autouse=True)
def flows(whole: BackgroundFleet) -> None:
    whole.do(whole.fleet.client.deploy(CHILD))
    whole.do(whole.fleet.client.deploy(pathlib.Path("/tmp/bigflow.yaml"), nodes=[NODES]))

def test_x(cli: Cli, whole: BackgroundFleet, capsys) -> None:
    import json, time
    run = sent(cli, "busy", json.dumps({"fails": 1, "items": [{"n": n} for n in range(20)]}))
    stands(whole, run, "running")
    time.sleep(1)
    out = [cli("runs", "show", run), cli("runs","list")]
    cli("runs","signal",run,"go","7")
    stands(whole, run, "failed")
    out += [cli("runs", "show", run), cli("runs","history",run), cli("runs","history",run, "-o","json"), cli("runs","show",run, "-o","json")]
    with capsys.disabled():
        for o in out: print(o.out[:6000], o.err)
