"""The last pass: draft, regions and guards become an immutable plan.

Here edges get their home and their place in its cells, nodes their slots, selectors their needs, and joins, ends and rivals
are worked out, so that at run time nothing is searched for.
"""

from __future__ import annotations

import hashlib
import json
from array import array

from ..flow.node_types import Kind, NodeType, node_type, parse_config
from .collecting import collecting
from .draft import ERROR, Draft, DraftEdge, DraftNode, join_settings
from .guards import DraftGuard, Guards
from .needs import Needs
from .plan import ALL_DECIDED, NONE, ROOT, Binding, EdgeKind, Plan, PlanEdge, PlanGuard, PlanNode, PlanScope, PlanTrigger, at_level
from .programs import conditions, hidden_loop, program, task_template
from .regions import Regions
from .run_limits import run_limits


def assemble(draft: Draft, regions: Regions, guards: Guards, order: list[int]) -> Plan:
    needs = Needs(draft, regions, guards, order)
    nodes = [_node(draft, regions, guards, needs, node) for node in draft.nodes]
    scopes = _scopes(draft, regions, nodes)
    needs.check_edges()
    edges = _edges(draft, regions, guards, scopes)
    _connect(nodes, scopes, edges)
    _follow_queues(nodes, order)
    dead = _dead(draft, nodes, order)
    for scope in scopes:
        _finish(draft, regions, nodes, scope, dead)
    for scope in sorted(scopes, key=lambda scope: -scope.depth):
        inside = [nodes[index] for index in scope.nodes]
        scope.undoable = any(node.compensate != NONE or (node.body != NONE and scopes[node.body].undoable) for node in inside)
    for plan_node in nodes:
        if plan_node.kind == Kind.MERGE and plan_node.program.cancel_others:
            # In a parallel scope every branch that is not done is late, wherever else its edges may lead.
            branches = guards.all[plan_node.joins].members if plan_node.joins != NONE else _rivals(nodes, scopes, plan_node)
            plan_node.rivals = tuple(index for index in branches if index != plan_node.index)
    flow = draft.flow
    return Plan(
        name=flow.name,
        version=flow.version,
        digest=_digest(draft),
        nodes=tuple(nodes),
        edges=tuple(edges),
        scopes=tuple(scopes),
        guards=tuple(_guard(draft, edges, guard) for guard in guards.all),
        triggers=tuple(PlanTrigger(t.id, t.type.removeprefix("trigger::"), t.params, t.enabled) for t in flow.triggers),
        settings=flow.settings,
        payloads=flow.payloads,
        history=flow.history,
        config=flow.config,
        run_limits=run_limits(flow, needs),
        inputs=flow.inputs,
        outputs=None if flow.outputs is None else needs.bind(flow.outputs, ("outputs",), ROOT),
        description=flow.description,
        by_id={node.id: node.index for node in nodes},
        collecting=collecting(draft, needs),
    )


def _digest(draft: Draft) -> str:
    """The flow's digest; with the ports of own types in it where somebody described them, for they are part of the plan."""
    own = {node.type: node.ports for node in draft.nodes if node_type(node.type) is None and not node.open_ports}
    described = {type: ports for type, ports in sorted(own.items()) if ports != ["out", ERROR]}
    if not described:
        return draft.flow.digest
    return hashlib.sha256(f"{draft.flow.digest} {json.dumps(described)}".encode()).hexdigest()


def _node(draft: Draft, regions: Regions, guards: Guards, needs: Needs, node: DraftNode) -> PlanNode:
    plan_node = PlanNode(node.index, node.id, node.type, node.kind, tuple(node.ports), hidden=node.hidden)
    plan_node.scope = regions.innermost[node.index]
    plan_node.guard = guards.innermost[node.index]
    plan_node.compensates = node.compensates
    for body in regions.bodies:
        if body.owner == node.index:
            plan_node.body = body.index
    if node.definition is not None:
        _policies(draft, node, plan_node)
        _config(needs, node, plan_node)
        if plan_node.concurrency is not None and plan_node.concurrency.key is not None:
            key = plan_node.concurrency.key
            plan_node.concurrency_key = needs.bind(key, ("nodes", node.id, "concurrency", "key"), plan_node.scope, node.index)
    elif node.kind == Kind.LOOP:
        plan_node.program = hidden_loop(draft.flow.settings.limits.iterations)
    else:
        config = parse_config(_described(node), join_settings(draft.flow.scopes[node.id]))
        plan_node.config, plan_node.program = config, program(node.kind, config)
        plan_node.joins = next((guard.index for guard in guards.all if guard.id == node.id), NONE)
    return plan_node


def _described(node: DraftNode) -> NodeType:
    found = node_type(node.type)
    assert found is not None
    return found


def _policies(draft: Draft, node: DraftNode, plan_node: PlanNode) -> None:
    definition = node.definition
    assert definition is not None
    plan_node.enabled = definition.enabled
    plan_node.retry, plan_node.queue = definition.retry, definition.queue
    plan_node.timeout_ms = definition.timeout_ms
    plan_node.labels, plan_node.description = definition.labels, definition.description
    plan_node.concurrency = definition.concurrency
    if definition.compensate is not None:
        plan_node.compensate = draft.by_id[definition.compensate]


def _config(needs: Needs, node: DraftNode, plan_node: PlanNode) -> None:
    assert node.definition is not None
    raw = node.definition.config
    path = ("nodes", node.id, "config")
    entry = node_type(node.type)
    if entry is not None:
        plan_node.config = parse_config(entry, raw)
        raw = plan_node.config.model_dump(by_alias=True)
    if node.kind in (Kind.SWITCH, Kind.MERGE, Kind.SPLIT, Kind.LOOP):
        plan_node.program = program(node.kind, plan_node.config)
        bound: Binding | None = needs.bind_conditions(conditions(plan_node.program), path, plan_node.scope, node.index)
    else:
        bound = needs.bind(raw, path, plan_node.scope, node.index)
    if bound is not None:
        plan_node.template = task_template(plan_node.config, plan_node.program) or bound.template
        plan_node.needs, plan_node.roots = bound.needs, bound.roots


def _scopes(draft: Draft, regions: Regions, nodes: list[PlanNode]) -> list[PlanScope]:
    scopes = [PlanScope(ROOT, NONE, NONE, 0)]
    scopes += [PlanScope(body.index, body.parent, body.owner, body.depth, closing=body.closing) for body in regions.bodies]
    for scope in scopes:
        scope.nodes = tuple(node.index for node in nodes if node.scope == scope.index)
        scope.live = sum(1 for index in scope.nodes if nodes[index].compensates == NONE)
        for slot, index in enumerate(scope.nodes):
            nodes[index].slot = slot
    return scopes


def _edges(draft: Draft, regions: Regions, guards: Guards, scopes: list[PlanScope]) -> list[PlanEdge]:
    edges = []
    for index, edge in enumerate(draft.edges):
        kind, home = _kind_and_home(draft, regions, edge)
        mark = NONE
        if kind != EdgeKind.BACK:
            mark = 4 * scopes[home].size + scopes[home].edge_count
            scopes[home].edge_count += 1
        guard = next((guard.index for guard in guards.all if guard.id == edge.guard), NONE)
        edges.append(
            PlanEdge(
                index, kind, edge.source, edge.port, edge.target, _label(draft, edge), home, mark, edge.trigger, guard,
                edge.condition, edge.condition_text, _deferred(draft, regions, guards, edge, kind, home), edge.declared,
            )
        )  # fmt: skip
    return edges


def _kind_and_home(draft: Draft, regions: Regions, edge: DraftEdge) -> tuple[EdgeKind, int]:
    target_scope = regions.innermost[edge.target]
    if edge.kind == EdgeKind.BACK:
        return EdgeKind.BACK, next(body.index for body in regions.bodies if body.owner == edge.target)
    if edge.kind in (EdgeKind.ENTRY, EdgeKind.GUARD):
        return edge.kind, target_scope
    source_scope = regions.innermost[edge.source]
    if source_scope == target_scope:
        return EdgeKind.FORWARD, target_scope
    owned = target_scope != ROOT and regions.bodies[target_scope - 1].owner == edge.source
    return (EdgeKind.ENTRY if owned else EdgeKind.EXIT), target_scope


def _label(draft: Draft, edge: DraftEdge) -> str:
    """The source's id; `id.port` where one source feeds the same node over several ports."""
    if edge.source == NONE or draft.nodes[edge.source].hidden:
        return edge.label
    ports = {other.port for other in draft.nodes[edge.target].ins if other.source == edge.source}
    twice = len(ports) > 1 and draft.nodes[edge.target].definition is not None
    return f"{draft.nodes[edge.source].id}.{edge.port}" if twice else draft.nodes[edge.source].id


def _deferred(draft: Draft, regions: Regions, guards: Guards, edge: DraftEdge, kind: EdgeKind, home: int) -> int:
    """The outermost guard that the edge leaves, seen from its home; a body's edge leaves with the body's owner."""
    if kind not in (EdgeKind.FORWARD, EdgeKind.EXIT):
        return NONE
    source = edge.source
    while regions.innermost[source] != home:
        source = regions.bodies[regions.innermost[source] - 1].owner
    target_guards = set(guards.chain(guards.innermost[edge.target]))
    left = [guard for guard in guards.chain(guards.innermost[source]) if guard not in target_guards]
    return left[-1] if left else NONE


def _connect(nodes: list[PlanNode], scopes: list[PlanScope], edges: list[PlanEdge]) -> None:
    ins: list[list[PlanEdge]] = [[] for _ in nodes]
    outs: list[dict[str, list[PlanEdge]]] = [{} for _ in nodes]
    entries: list[list[PlanEdge]] = [[] for _ in scopes]
    exits: list[list[PlanEdge]] = [[] for _ in scopes]
    for edge in edges:
        if edge.kind != EdgeKind.BACK:
            ins[edge.target].append(edge)
        if edge.kind == EdgeKind.ENTRY:
            entries[edge.home].append(edge)
        elif edge.source != NONE:
            outs[edge.source].setdefault(edge.port, []).append(edge)
        if edge.kind in (EdgeKind.EXIT, EdgeKind.BACK):  # a way back may lead out of inner bodies first
            at = nodes[edge.source].scope
            while at != edge.home:
                exits[at].append(edge)
                at = scopes[at].parent
    for node in nodes:
        # The order of declaration is the order of a join's values, whatever the passes did to the list.
        node.ins = tuple(sorted(ins[node.index], key=lambda edge: (edge.declared < 0, edge.declared, edge.index)))
        node.outs = tuple(tuple(outs[node.index].get(port, ())) for port in node.ports)
        if node.kind == Kind.MERGE:
            node.join = {"any": 1, "count": node.program.count}.get(node.program.strategy, ALL_DECIDED)
    for scope in scopes:
        scope.entries, scope.exits = tuple(entries[scope.index]), tuple(exits[scope.index])
        scope.backs = tuple(edge for edge in edges if edge.kind == EdgeKind.BACK and edge.home == scope.index)


def _follow_queues(nodes: list[PlanNode], order: list[int]) -> None:
    """The queue of a switch or merge that names none: that of the task whose value it gets, else of the flow's first task.

    A worker decides it when the value lies elsewhere, and only where there are tasks of the flow are there sure to be workers for it.
    """
    makers: dict[int, PlanNode | None] = {NONE: next((node for node in nodes if node.kind == Kind.TASK), None)}
    for node in (nodes[index] for index in order):
        before = next((edge.source for edge in node.ins if edge.source != NONE), NONE)
        maker = makers[node.index] = node if node.kind == Kind.TASK else makers.get(before, makers[NONE])
        if node.kind in (Kind.SWITCH, Kind.MERGE) and node.queue is None and maker is not None:
            node.queue = maker.queue


def _dead(draft: Draft, nodes: list[PlanNode], order: list[int]) -> set[int]:
    """The nodes that can never run: those that are disabled, and those to which only these or disabled triggers lead.

    Where a trigger starts every run, so are those that only a run without one would start.
    """
    disabled = {trigger.id for trigger in draft.flow.triggers if not trigger.enabled}
    by_trigger = any(trigger.enabled for trigger in draft.flow.triggers)

    def never_comes(edge: PlanEdge) -> bool:
        alone = edge.kind == EdgeKind.ENTRY and edge.source == NONE and edge.trigger is None
        return edge.source in dead or edge.trigger in disabled or (alone and by_trigger)

    dead: set[int] = set()
    for index in order:
        ins = nodes[index].ins
        if not nodes[index].enabled or (ins and all(never_comes(edge) for edge in ins)):
            dead.add(index)
    return dead


def _finish(draft: Draft, regions: Regions, nodes: list[PlanNode], scope: PlanScope, dead: set[int]) -> None:
    size = scope.size
    cells = [0] * (4 * size + scope.edge_count)
    for index in scope.nodes:
        cells[size + nodes[index].slot] = len(nodes[index].ins)
    # Cells are bytes unless some join has more in-edges than a byte can count.
    widest = max((*cells, *(len(nodes[index].ports) for index in scope.nodes)), default=0)
    scope.cells = bytes(cells) if widest <= 255 else array("I", cells)
    scope.ends = _ends(draft, regions, nodes, scope, dead)


def _ends(draft: Draft, regions: Regions, nodes: list[PlanNode], scope: PlanScope, dead: set[int]) -> tuple[int, ...]:
    """The nodes whose values are the scope's value: those before the closing merge, else those that nothing follows."""
    found = []
    dead = dead | _idle_joins(nodes, scope)
    for index in scope.nodes:
        node = nodes[index]
        if node.compensates != NONE or index in dead:
            continue
        exits = (
            () if node.body == NONE else tuple(edge for edge in draft.edges if _leaves_body(draft, regions, edge, node.body, scope.index))
        )
        onward = _onward(node)
        if scope.closing != NONE:
            closes = any(edge.target == scope.closing for edge in onward) or any(edge.target == scope.closing for edge in exits)
            if closes:
                found.append(index)
        elif not any(edge.target not in dead and nodes[edge.target].scope == scope.index for edge in onward) and not exits:
            found.append(index)
    return tuple(found)


def _idle_joins(nodes: list[PlanNode], scope: PlanScope) -> set[int]:
    """The joins of parallel scopes that no edge leaves: there for the scopes' rules, but nodes of nobody, so they follow nothing."""
    idle: set[int] = set()
    joins = [nodes[index] for index in scope.nodes if nodes[index].joins != NONE]
    for _ in joins:  # one may stand in another
        idle.update(join.index for join in joins if all(edge.target in idle for edge in _onward(join)))
    return idle


def _onward(node: PlanNode) -> list[PlanEdge]:
    return [edge for port, group in zip(node.ports, node.outs, strict=True) if port != ERROR for edge in group]


def _leaves_body(draft: Draft, regions: Regions, edge: DraftEdge, body: int, outer: int) -> bool:
    return (
        edge.source != NONE
        and edge.kind == EdgeKind.FORWARD
        and body in regions.chain(regions.innermost[edge.source])
        and regions.innermost[edge.target] in regions.chain(outer)
    )


def _rivals(nodes: list[PlanNode], scopes: list[PlanScope], merge: PlanNode) -> tuple[int, ...]:
    """The nodes of the merge's scope whose every way on leads to the merge: what its `cancel_others` may cancel."""
    rivals: set[int] = set()
    waiting = [at_level(nodes, scopes, edge.source, merge.scope) for edge in merge.ins if edge.kind in (EdgeKind.FORWARD, EdgeKind.EXIT)]
    while waiting:
        index = waiting.pop()
        if index in rivals:
            continue
        onward = {edge.target for group in nodes[index].outs for edge in group}
        if nodes[index].body != NONE:
            onward |= {edge.target for edge in scopes[nodes[index].body].exits}
        if onward and onward <= rivals | {merge.index}:
            rivals.add(index)
            before = [edge.source for edge in nodes[index].ins if edge.kind in (EdgeKind.FORWARD, EdgeKind.EXIT)]
            waiting += [at_level(nodes, scopes, source, merge.scope) for source in before]
    return tuple(sorted(rivals))


def _guard(draft: Draft, edges: list[PlanEdge], guard: DraftGuard) -> PlanGuard:
    definition = guard.definition
    undo: tuple[str, tuple[int, ...]] | None = None
    if isinstance(definition.compensate, list):
        undo = ("list", tuple(draft.by_id[name] for name in definition.compensate))
    elif definition.compensate is not None:
        undo = (definition.compensate, ())
    completion = definition.completion if isinstance(definition.completion, str) else "all" if definition.completion is None else "at_least"
    return PlanGuard(
        guard.index,
        guard.id,
        guard.scope,
        guard.parent,
        tuple(guard.members),
        tuple(edge for edge in edges if edge.guard == guard.index),
        definition.retry,
        definition.timeout_ms,
        undo,
        definition.type,
        completion,
    )
