"""The ledger's two counts are what every recovery figure rests on."""

from benchmarks import ledger


def test_an_activation_that_was_executed_twice_is_one_duplicate(tmp_path):
    executions = written(tmp_path, "run-1 0 1 10 100", "run-1 1 1 10 110", "run-1 0 1 11 120", "run-2 0 1 11 130")
    assert ledger.duplicates(executions) == 1


def test_two_attempts_of_an_activation_are_executions_of_the_same_thing(tmp_path):
    executions = written(tmp_path, "run-1 0.3 1 10 100", "run-1 0.3 2 10 200")
    assert ledger.duplicates(executions) == 1


def test_an_execution_counts_as_repeated_only_if_it_began_after_a_completion_was_on_disk(tmp_path):
    executions = written(tmp_path, "run-1 0 1 10 100", "run-1 0 1 11 140", "run-1 0 1 12 160", "run-2 0 1 12 170")
    assert ledger.reexecuted(executions, {("run-1", "0"): 150}) == 1


def test_a_line_that_a_killed_process_left_unfinished_is_no_execution(tmp_path):
    (tmp_path / "ledger").write_text("run-1 0 1 10 100\nrun-1 1 1 1")
    assert [execution.activation for execution in ledger.read(tmp_path / "ledger")] == ["0"]


def test_no_ledger_no_executions(tmp_path):
    assert ledger.read(tmp_path / "ledger") == []


def written(folder, *lines):
    file = folder / "ledger"
    file.write_text("".join(f"{line}\n" for line in lines))
    return ledger.read(file)
