"""The bare pipeline decides little, but what it decides must be right: a ceiling that skips nodes is none."""

from benchmarks.shapes import SHAPES, event_of, nodes_of


def test_a_chain_executes_each_node_once():
    assert executed("chain", 3) == nodes_of("chain", 3) == 3


def test_a_fan_executes_first_items_and_last():
    assert executed("fan", 5) == nodes_of("fan", 5) == 7


def test_a_completion_that_comes_twice_leads_to_nothing():
    chain, fan = SHAPES["chain"](3), SHAPES["fan"](2)
    assert chain.take(0, {"n": 1}) and chain.take(0, {"n": 1}) == ()
    assert fan.take(0, event_of("fan", 2)) and fan.take(0, event_of("fan", 2)) == ()
    assert fan.take(1, 1) == () and fan.take(1, 1) == ()
    assert fan.take(2, 2) == ((3, [1, 2]),)


def executed(shape, size):
    run, waiting, count = SHAPES[shape](size), [(0, event_of(shape, size))], 0
    while waiting:
        index, value = waiting.pop(0)
        count += 1
        waiting += run.take(index, value) or ()
    return count
