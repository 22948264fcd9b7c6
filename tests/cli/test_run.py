"""`jetfleet run` as a user meets it: what is printed where, exit codes, and what happens when something goes wrong."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from jetfleet.schemas.cli import main

EXAMPLES = Path(__file__).parents[2] / "examples"
JETFLEET = str(Path(sys.executable).with_name("jetfleet"))

DOUBLE = """
name: double
inputs: {type: object, required: [n], properties: {n: {type: number}}}
nodes:
  twice: {type: std::aggregate, config: {operation: sum, source: {type: fields, fields: [n, n]}, output_field: n}}
  large: {type: std::switch, config: {expression: "n > 10"}}
  note: {type: std::log, config: {level: debug}}
edges: [{from: twice, to: large}, {from: large.true, to: note}]
"""
NESTED = """
name: nested
nodes:
  again: {type: std::loop, config: {max_iterations: 2}}
  each: {type: std::split, config: {field: $}}
  work: {type: std::set, config: {values: "${iteration}"}}
edges:
  - {from: again.continue, to: each}
  - {from: each.item, to: work}
  - {from: each.done, to: again, loop_back: true}
"""
WAITING = """
name: waiting
nodes: {ask: {type: std::wait, config: {hook_id: "order-${trace_id}", timeout_secs: 3600}}, yes: {type: std::log}}
edges: [{from: ask, to: yes}]
"""
TWO_TRIGGERS = """
name: two
triggers: {web: {type: webhook}, night: {type: cron, params: {schedule: "0 3 * * *"}}}
nodes: {by: {type: std::set, config: {values: "${trigger.id}"}}}
edges: [{from: web, to: by}, {from: night, to: by}]
"""
OWN = "name: own\nnodes: {a: {type: my.shout, timeout_ms: 1000}}\n"
OWN_NODES = "from jetfleet.workers import node\n\n@node('my.shout')\nasync def shout(text: str) -> str:\n    return text.upper()\n"


class Said:
    """What a call of the command came to."""

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, err
        assert "Traceback" not in out + err, err

    @property
    def result(self) -> dict[str, Any]:
        value: dict[str, Any] = json.loads(self.out)
        return value

    @property
    def results(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.out.splitlines()]


Run = Callable[..., Said]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """`jetfleet run FLOW --local …` for the text of a flow, in a folder of its own."""
    monkeypatch.chdir(tmp_path)

    def run(flow: str | bytes, *args: str) -> Said:
        Path("flow.yaml").write_bytes(flow if isinstance(flow, bytes) else flow.encode())
        capsys.readouterr()
        code = main(["run", "flow.yaml", "--local", *args])
        return Said(code, *capsys.readouterr())

    return run


def script(*args: str, input: bytes = b"", cwd: Path | None = None) -> Said:
    """The installed console script, as a shell starts it."""
    done = subprocess.run([JETFLEET, *args], input=input, capture_output=True, cwd=cwd, timeout=60)
    return Said(done.returncode, done.stdout.decode(), done.stderr.decode())


# --- results


def test_a_result_is_one_line_of_json_with_exactly_these_keys(tmp_path: Path) -> None:
    (tmp_path / "flow.yaml").write_text(DOUBLE)
    said = script("run", "flow.yaml", "--local", "-o", "json", "--input", '{"n": 4}', cwd=tmp_path)
    run_id = said.result["run_id"]
    assert said.code == 0
    assert said.out.count("\n") == 1
    assert said.result == {
        "run_id": run_id,
        "status": "completed",
        "output": None,
        "error": None,
        "nodes": {
            "twice": {"status": "completed", "port": "out", "attempts": 1, "output": {"n": 8.0}},
            "large": {"status": "completed", "port": "false", "attempts": 1, "output": {"n": 8.0}},
            "note": {"status": "skipped", "port": None, "attempts": 0, "output": None},
        },
        "records": 2,
    }
    assert list(said.result) == ["run_id", "status", "output", "error", "nodes", "records"]
    assert re.fullmatch(r"double-[0-9a-f]{8}-1", run_id)


def test_activations_in_loops_and_splits_are_listed_by_their_iterations(run: Run) -> None:
    said = run(NESTED, "-o", "json", "--input", "[7, 8]")
    assert list(said.result["nodes"]) == ["again", "each[0]", "work[0][0]", "work[0][1]", "each[1]", "work[1][0]", "work[1][1]"]
    assert said.result["output"] == [0, 1]


def test_a_failed_run_exits_with_1_and_tells_its_error(run: Run) -> None:
    failing = "name: f\nnodes: {a: {type: std::raise, config: {type: out_of_stock, message: nothing left, details: {n: 1}}}}\n"
    said = run(failing, "-o", "json")
    assert said.code == 1
    assert (said.result["status"], said.result["output"]) == ("failed", None)
    assert said.result["error"] == {
        "type": "out_of_stock", "message": "nothing left", "retryable": False, "node": "a", "attempts": 1, "details": {"n": 1},
    }  # fmt: skip
    assert "error: out_of_stock at a: nothing left" in run(failing).out


def test_the_table_shows_what_became_of_each_node(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    said = run(DOUBLE, "--input", '{"n": 4}', "--run-id", "order-7")
    lines = said.out.splitlines()
    assert lines[0].split() == ["NODE", "STATUS", "PORT", "ATTEMPTS", "OUTPUT"]
    assert [line.split() for line in lines[1:4]] == [
        ["twice", "completed", "out", "1", '{"n":8.0}'], ["large", "completed", "false", "1", '{"n":8.0}'], ["note", "skipped"],
    ]  # fmt: skip
    assert "run order-7 completed in " in said.out


def test_a_long_value_is_cut_to_the_terminal_and_what_looks_like_markup_is_shown_as_it_is(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    text = "[bold]" + "x" * 500 + "[/bold]"
    said = run("name: f\nnodes: {'a': {type: std::set, config: {values: '${trigger.payload}'}}}\n", "--input", json.dumps(text))
    assert max(map(len, said.out.splitlines()[:2])) <= 60
    assert '"[bold]xxx' in said.out.splitlines()[1]
    assert json.dumps(text) in said.out.splitlines()[-1], "the output is never cut"


def test_the_log_goes_to_standard_error(run: Run) -> None:
    logs = "name: f\nnodes: {a: {type: std::log, config: {message: hello there}}}\n"
    said = run(logs, "-o", "json")
    assert "hello there" in said.err
    assert "hello there" not in said.out
    assert "hello there" not in run(logs, "--log-level", "warn").err


# --- events


def test_an_event_comes_from_the_command_line_a_file_or_standard_input(run: Run) -> None:
    Path("event.json").write_text('{"n": 4}')
    piped = ("run", "flow.yaml", "--local", "-o", "json", "--input", "@-")
    for said in (
        run(DOUBLE, "-o", "json", "--input", '{"n": 4}'),
        run(DOUBLE, "-o", "json", "--input", "@event.json"),
        script(*piped, input=b'\xef\xbb\xbf{"n": 4}\n'),
    ):
        assert said.result["nodes"]["twice"]["output"] == {"n": 8.0}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "the input is no JSON"),
        ("hello", "a text needs its quotes"),
        ("NaN", "JSON has no NaN"),
        ("[" * 100_000, "nested too deeply"),
        ("@nothing.json", "nothing.json cannot be read: No such file"),
        ("@binary.json", "binary.json is not UTF-8"),
        ("@nothing.jsonl", "nothing.jsonl cannot be read: No such file"),
        ("@.", ". cannot be read: Is a directory"),
    ],
)
def test_an_event_that_cannot_be_read_is_a_usage_error(run: Run, text: str, message: str) -> None:
    Path("binary.json").write_bytes(b"\xff\xfe\x00")
    said = run(DOUBLE, "--input", text)
    assert (said.code, said.out) == (2, "")
    assert said.err.startswith("error: USAGE ")
    assert message in said.err


def test_an_event_that_the_flow_refuses_exits_with_1_and_says_why(run: Run) -> None:
    said = run(DOUBLE, "--input", '{"n": "four"}')
    assert (said.code, said.out) == (1, "")
    assert said.err.startswith("error: EVENT_REJECTED the event does not fit the inputs of flow 'double': n: ")


def test_several_triggers_need_one_to_be_named(run: Run) -> None:
    said = run(TWO_TRIGGERS)
    assert said.code == 2
    assert "several triggers: web, night; name one with --trigger" in said.err
    assert run(TWO_TRIGGERS, "--trigger", "night", "-o", "json").result["output"] == "night"
    said = run(TWO_TRIGGERS, "--trigger", "noon")
    assert (said.code, "has no trigger 'noon'; it has: web, night" in said.err) == (2, True)


# --- files of events


def lines(count: int) -> bytes:
    return b"".join(b'{"n": %d}\n' % number for number in range(count))


def test_each_line_of_a_file_is_a_run(run: Run) -> None:
    Path("events.jsonl").write_bytes(lines(50))
    said = run(DOUBLE, "--input", "@events.jsonl", "-o", "json")
    assert said.code == 0
    assert sorted(result["nodes"]["twice"]["output"]["n"] for result in said.results) == [2.0 * number for number in range(50)]


def test_a_bad_line_is_named_and_stops_nothing(run: Run) -> None:
    Path("events.jsonl").write_bytes(b'{"n": 1}\n{oops\n\n\xff\xfe\n{"m": 2}\n{"n": 3}')
    said = run(DOUBLE, "--input", "@events.jsonl", "-o", "json")
    assert said.code == 1
    told = {result["line"]: (result["status"], (result["error"] or {}).get("type")) for result in said.results}
    assert told == {
        1: ("completed", None), 2: ("refused", "invalid_json"), 4: ("refused", "invalid_json"),
        5: ("refused", "event_rejected"), 6: ("completed", None),
    }  # fmt: skip
    assert all(list(result)[-1] == "line" for result in said.results if result["status"] != "refused")
    refused = [line for line in said.err.splitlines() if line.startswith("refused")]
    assert [line.split(":")[1] for line in refused if line.startswith("refused:")] == [" line 2", " line 4", " line 5"]
    assert "is no JSON" in refused[0]
    assert "is not UTF-8" in refused[1]
    assert "EVENT_REJECTED" in refused[2]
    assert re.search(r"completed +2\n", said.err)
    assert re.search(r"refused +3\n", said.err)


def test_of_many_bad_lines_only_the_first_are_named(run: Run) -> None:
    Path("events.jsonl").write_bytes(b"oops\n" * 1_000 + lines(1))
    said = run(DOUBLE, "--input", "@events.jsonl")
    assert said.code == 1
    assert said.err.count("refused: line") == 5
    assert re.search(r"refused +1,000\n", said.err)


def test_failed_runs_are_counted_by_their_errors(run: Run) -> None:
    Path("events.jsonl").write_bytes(lines(30))
    risky = """
name: risky
nodes: {odd: {type: std::switch, config: {expression: "n > 9"}}, fail: {type: std::raise, config: {type: too_much, message: more than nine}}}
edges: [{from: odd.true, to: fail}]
"""
    said = run(risky, "--input", "@events.jsonl")
    assert said.code == 1
    assert re.search(r"completed +10\n", said.err)
    assert re.search(r"failed +20\n", said.err)
    assert "20 × fail: too_much: more than nine (first in line 11)" in said.err


def test_an_empty_file_of_events_is_no_failure(run: Run) -> None:
    Path("events.jsonl").write_bytes(b"\n\n")
    said = run(DOUBLE, "--input", "@events.jsonl")
    assert (said.code, said.out, said.err) == (0, "", "no events in events.jsonl\n")


def test_a_thousand_orders_end_with_a_summary(run: Run) -> None:
    said = run((EXAMPLES / "order_processing.yaml").read_text(), "--input", f"@{EXAMPLES / 'orders.jsonl'}")
    assert (said.code, said.out) == (0, "")
    assert re.search(r"completed +1,000\n", said.err)
    assert [line.split()[0] for line in said.err.splitlines()] == ["completed", "p50", "p99", "nodes/s", "runs/s"]


def test_at_a_terminal_a_bar_shows_how_far_it_is() -> None:
    master, terminal = os.openpty()
    command = [JETFLEET, "run", str(EXAMPLES / "order_processing.yaml"), "--local", "--input", f"@{EXAMPLES / 'orders.jsonl'}"]
    with subprocess.Popen(command, stderr=terminal, stdout=subprocess.DEVNULL, env={**os.environ, "TERM": "xterm"}) as process:
        os.close(terminal)
        shown = b""
        while chunk := _read(master):
            shown += chunk
        assert process.wait() == 0
    os.close(master)
    assert b"/1000" in shown
    assert b"p99" in shown


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 65_536)
    except OSError:  # the other end is closed
        return b""


def test_a_run_id_makes_no_sense_for_many_runs(run: Run) -> None:
    Path("events.jsonl").write_bytes(lines(2))
    assert run(DOUBLE, "--input", "@events.jsonl", "--run-id", "r1").code == 2


# --- waiting


def test_a_signal_from_the_command_line_answers_a_wait(run: Run) -> None:
    said = run(WAITING, "--run-id", "r7", "--signal", 'order-r7={"decision": "approve", "response": 5}', "-o", "json")
    assert said.code == 0
    assert said.result["output"]["response"] == 5


@pytest.mark.parametrize("text", ["order-7", "=7", "order-7=approve"])
def test_a_signal_that_is_none_is_a_usage_error(run: Run, text: str) -> None:
    said = run(WAITING, "--signal", text)
    assert (said.code, said.err.startswith("error: USAGE ")) == (2, True)


def test_virtual_time_skips_the_waiting(run: Run) -> None:
    said = run(WAITING, "--virtual-time")
    assert said.code == 0
    assert "in 1 h, " in said.out


@pytest.mark.parametrize("more", [(), ("--virtual-time",)])
def test_a_run_that_nobody_can_move_ends_with_its_reason(run: Run, more: tuple[str, ...]) -> None:
    said = run("name: f\nnodes: {w: {type: std::wait, config: {signal: go}}}\n", *more)
    assert said.code == 1
    assert "error: cancelled: nobody can move it: w waits for the signal go" in said.out
    assert "hint: send signals and answers with --signal" in said.err
    assert ("--virtual-time" in said.err) == (not more), "no use in recommending what is on already"


def test_in_a_file_too_a_run_that_nobody_can_move_holds_up_nothing(run: Run) -> None:
    Path("events.jsonl").write_bytes(lines(100))
    said = run("name: f\nnodes: {w: {type: std::wait, config: {signal: go}}}\n", "--input", "@events.jsonl")
    assert said.code == 1
    assert re.search(r"cancelled +100\n", said.err)


def test_a_detached_sub_flow_is_found_beside_the_flow_and_runs_to_its_end(run: Run) -> None:
    Path("other.yaml").write_text("name: other\nnodes: {a: {type: std::log, config: {message: the other one ran}}}\n")
    Path("broken.yaml").write_text("name: [")
    said = run("name: f\nnodes: {c: {type: std::subflow, config: {flow: other, detached: true}}}\n", "-o", "json", "--run-id", "r1")
    assert (said.code, said.result["output"]) == (0, {"run_id": "r1.c"})
    assert "the other one ran" in script("run", "flow.yaml", "--local").err


def interrupted(*args: str, cwd: Path) -> tuple[int, str]:
    """Exit code and standard error of a command that gets Ctrl-C as soon as it has said anything."""
    with subprocess.Popen([JETFLEET, *args], stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=cwd, text=True) as process:
        assert process.stderr is not None
        first = process.stderr.readline()
        process.send_signal(signal.SIGINT)
        _, rest = process.communicate(timeout=60)
    return process.returncode, first + rest


def test_ctrl_c_during_a_long_wait_ends_the_command_without_a_traceback(tmp_path: Path) -> None:
    (tmp_path / "flow.yaml").write_text(WAITING)
    code, err = interrupted("run", "flow.yaml", "--local", cwd=tmp_path)
    assert code == 130
    assert err.startswith("waiting: ask waits for the approval order-waiting-")
    assert "Traceback" not in err


def test_ctrl_c_in_a_node_that_hangs_ends_the_command_too(tmp_path: Path) -> None:
    (tmp_path / "flow.yaml").write_text("name: f\nnodes: {a: {type: x.hang}, b: {type: std::log, config: {message: begun}}}\n")
    (tmp_path / "hang.py").write_text(
        "import threading\nfrom jetfleet.workers import node\n\n@node('x.hang')\ndef hang():\n    threading.Event().wait()\n"
    )
    code, err = interrupted("run", "flow.yaml", "--local", "--nodes", "hang.py", cwd=tmp_path)
    assert (code, "Traceback" in err) == (130, False)


def test_a_reader_that_goes_away_ends_a_batch_without_noise(tmp_path: Path) -> None:
    (tmp_path / "flow.yaml").write_text(DOUBLE)
    (tmp_path / "events.jsonl").write_bytes(lines(2_000))
    command = [JETFLEET, "run", "flow.yaml", "--local", "--input", "@events.jsonl", "-o", "json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=tmp_path) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        err = process.stderr.read().decode()
        assert process.wait() == 1
    assert "Traceback" not in err
    assert "error" not in err


# --- own nodes and bad flows


@pytest.mark.parametrize("source", ["my_nodes.py", "./my_nodes.py"])
def test_own_nodes_come_from_a_file(run: Run, source: str) -> None:
    Path("my_nodes.py").write_text(OWN_NODES)
    said = run(OWN, "-o", "json", "--nodes", source, "--input", '"hello"')
    assert (said.code, said.result["output"]) == (0, "HELLO")


def test_own_nodes_come_from_a_module(tmp_path: Path) -> None:
    (tmp_path / "flow.yaml").write_text(OWN)
    (tmp_path / "my_nodes.py").write_text(OWN_NODES)
    said = script("run", "flow.yaml", "--local", "-o", "json", "--nodes", "my_nodes", "--input", '"hello"', cwd=tmp_path)
    assert (said.code, said.result["output"]) == (0, "HELLO")


def test_without_its_module_an_own_node_is_refused_with_a_hint(run: Run) -> None:
    said = run(OWN)
    assert (said.code, said.out) == (5, "")
    assert said.err.startswith("error: flow.yaml:2:19 INVALID_NODE_TYPE no node type `my.shout` is registered")
    assert "--nodes" in said.err


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        ("import no_such_library", "ModuleNotFoundError: No module named 'no_such_library'"),
        ("def (", "SyntaxError"),
        ("1 / 0", "ZeroDivisionError: division by zero"),
        ("raise SystemExit(3)", "SystemExit: 3"),
        ("from jetfleet.workers import node\n@node('std::mine')\ndef mine(): ...", "the prefix std:: belongs to the standard nodes"),
    ],
)
def test_nodes_that_cannot_be_loaded_are_a_usage_error_with_the_cause(run: Run, text: str, cause: str) -> None:
    Path("broken.py").write_text(text)
    said = run(OWN, "--nodes", "broken.py")
    assert said.code == 2
    assert said.err.startswith("error: USAGE ")
    assert cause in said.err


@pytest.mark.parametrize(
    "content",
    [
        b"", b"[1, 2]", b"name: [", b"\xff\xfe\x00", b"name: f\nversion: 1.0\n", b"name: f\nnodes:\n\ta: {}\n", b"nodes: {}",
        b"name: f\nnodes: {a: {type: std::log}, a: {type: std::log}}", b"name: f\nedges: [{from: a, to: b}]", b"name: " + b"[" * 300,
        b"name: f\nnodes: {a: {type: std::switch, config: {expression: 'n >'}}}", b"!!python/object:os.system {}",
    ],
)  # fmt: skip
def test_a_flow_that_is_none_exits_with_5(run: Run, content: bytes) -> None:
    said = run(content)
    assert (said.code, said.out, said.err.startswith("error: flow.yaml:")) == (5, "", True)


@pytest.mark.parametrize(
    "args",
    [
        ("nothing.yaml", "--local"),
        (".", "--local"),
        ("flow.yaml", "--virtual-time"),
        ("flow.yaml", "--local", "--id", "k"),
        ("flow.yaml", "--local", "--slots", "0"),
        (),
    ],
)
def test_a_call_that_makes_no_sense_exits_with_2_and_says_what_to_do(
    args: tuple[str, ...], run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("flow.yaml").write_text(DOUBLE)
    code = main(["run", *args])
    err = capsys.readouterr().err
    assert (code, err.startswith("error: USAGE ")) == (2, True)


# --- validate and graph know own nodes by the same option


def test_validate_checks_own_types_and_ports_against_the_named_modules(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("own_nodes.py").write_text(OWN_NODES)
    Path("good.yaml").write_text(OWN)
    Path("bad.yaml").write_text(
        "name: bad\nnodes: {a: {type: my.shout}, b: {type: my.shuot}, c: {type: std::log}}\nedges: [{from: a.loud, to: c}]\n"
    )
    assert main(["validate", "bad.yaml", "good.yaml"]) == 0, "nobody knows these types, so they are only warned about"
    assert "UNKNOWN_NODE_TYPE" in capsys.readouterr().out
    assert main(["validate", "good.yaml", "--nodes", "own_nodes.py"]) == 0
    assert "UNKNOWN_NODE_TYPE" not in capsys.readouterr().out
    assert main(["validate", "bad.yaml", "--nodes", "own_nodes.py"]) == 5
    said = capsys.readouterr().out
    assert "no node type `my.shuot` is registered" in said
    assert "did you mean `my.shout`?" in said
    assert "UNKNOWN_PORT" in said
    assert main(["graph", "good.yaml", "--nodes", "own_nodes.py"]) == 0
    assert main(["graph", "bad.yaml", "--nodes", "own_nodes.py"]) == 5
    assert main(["validate", "good.yaml", "--nodes", "nowhere.py"]) == 2
