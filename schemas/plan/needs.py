"""Needs: what each selector of a node reads, found and checked before anything runs.

A selector's first word is a node, a trigger, a scope (its `error`), or one of `pipeline`, `trigger`, `run`, `trace_id`,
`iteration`. Anything else is an error here, with the nearest known name. So is a node whose output is not one value for the reader: one
inside a split body, seen from outside.
"""

from __future__ import annotations

from difflib import get_close_matches

from ..conditions import Condition
from ..errors import SelectorError
from ..flow.node_types import Kind, node_type, parse_config
from ..flow.problems import Path
from ..selectors import Selector, Template, compile_template, path_text
from .draft import ERROR, Draft
from .guards import DraftGuard, Guards
from .plan import NONE, ROOT, Binding, Need, Source
from .programs import conditions, program
from .regions import Regions

RESERVED = ("pipeline", "trigger", "run", "trace_id", "iteration")
_NEVER_A_FIELD = ("pipeline", "trigger", "run")
_EMPTY = compile_template(None)
_FIELDS = {"trigger": ("payload", "meta", "id", "type"), "run": ("id", "started_at")}


class Needs:
    """Compiles the values of one draft; reports problems into it."""

    def __init__(self, draft: Draft, regions: Regions, guards: Guards, order: list[int]) -> None:
        self.draft, self.regions = draft, regions
        self.triggers = {trigger.id for trigger in draft.flow.triggers}
        self.guard_of = {guard.id: guard for guard in guards.all}
        self.upstream = _upstream(draft, regions, order)

    def template(self, value: object, path: Path) -> Template | None:
        try:
            return compile_template(value)
        except SelectorError as error:
            self.draft.report("INVALID_SELECTOR", str(error), path + getattr(error, "path", ()), getattr(error, "hint", ""))
            return None

    def bind(self, value: object, path: Path, scope: int, reader: int = NONE) -> Binding | None:
        """The value compiled, with its needs as seen from `scope`; None if a selector in it is wrong."""
        template = self.template(value, path)
        if template is None:
            return None
        return self.bind_selectors(template, template.selectors, path, scope, reader)

    def bind_selectors(self, template: Template, selectors: tuple[Selector, ...], path: Path, scope: int, reader: int = NONE) -> Binding:
        needs: list[Need] = []
        roots: dict[str, int] = {}
        for selector in selectors:
            found = self._need(selector, path, scope, reader)
            if found is None:
                continue
            key = f"{selector.root}.{ERROR}" if found.source == Source.SCOPE else selector.root
            if key not in roots:
                roots[key] = len(needs)
                needs.append(found)
        return Binding(template, tuple(needs), roots)

    def bind_conditions(self, conditions: tuple[Condition, ...], path: Path, scope: int, reader: int = NONE) -> Binding:
        """What conditions read besides the value at hand, bound to no value of their own."""
        for condition in conditions:
            self._warn_of_selector_like(condition, path)
        selectors = tuple(dict.fromkeys(selector for condition in conditions for selector in condition.selectors))
        return self.bind_selectors(_EMPTY, selectors, path, scope, reader)

    def check_edges(self) -> None:
        """Check what edges' conditions read. An edge from or to a scope is drawn several times, and checked once."""
        declared = {edge.declared: edge.condition for edge in self.draft.edges if edge.condition is not None}
        for number, condition in declared.items():
            self.bind_conditions((condition,), ("edges", number, "condition"), ROOT)

    def _warn_of_selector_like(self, condition: Condition, path: Path) -> None:
        """Warn of `${node.field}` in a condition, where it is a path like any other. A key of a join's map is no mistake."""
        for reference in condition.selector_like:
            first = reference.path[0] if reference.path else None
            node = self.draft.by_id.get(str(first))
            if first not in _NEVER_A_FIELD and (node is None or self._is_joined(node)):
                continue
            text = path_text(reference.path)
            what = f"node {first!r}" if node is not None else "a selector"
            message = f"${{{text}}}: in a condition this is the path {text} of the value at hand, not {what}"
            hint = (
                f"if the path is meant, write `{text}`; what else is known can stand at `value:` of a condition with `type:` and `field:`"
            )
            self.draft.report("INVALID_SELECTOR", message, path, hint, warning=True)

    def _is_joined(self, node: int) -> bool:
        """Whether a node's value may travel in a map under the node's id."""
        return any(len(self.draft.nodes[edge.target].ins) > 1 for edge in self.draft.nodes[node].outs)

    def _need(self, selector: Selector, path: Path, scope: int, reader: int) -> Need | None:
        root, first = selector.root, selector.path[0] if selector.path else None
        if root == "pipeline":
            self._check_config(selector, path)
            return None
        if root == "iteration" and scope == ROOT:
            self._refuse(selector, "nothing repeats here", "`${iteration}` exists in the body of a loop or split", path)
        if root in ("trace_id", "iteration"):
            return None
        if root in _FIELDS:
            if first is not None and first not in _FIELDS[root]:
                known = ", ".join(f"${{{root}.{name}}}" for name in _FIELDS[root])
                self._refuse(selector, f"{root} has no field {first!r}", f"known: {known}", path)
            return Need(Source.TRIGGER if root == "trigger" else Source.RUN)
        if root in self.triggers:
            return Need(Source.EVENT, name=root)
        if root in self.guard_of and (first == ERROR or root not in self.draft.by_id):
            return self._scope_error(selector, path, scope)
        if root in self.draft.by_id:
            return self._output(selector, path, scope, reader)
        near = get_close_matches(root, [*self.draft.by_id, *self.triggers, *self.guard_of, *RESERVED], n=1)
        hint = (
            f"did you mean ${{{near[0]}…}}?"
            if near
            else "the first word names a node, or pipeline.config, trigger, run, trace_id, iteration"
        )
        self._refuse(selector, f"no node is called {root!r}", hint, path)
        return None

    def _check_config(self, selector: Selector, path: Path) -> None:
        config = self.draft.flow.config
        if not selector.path or selector.path[0] != "config":
            self._refuse(selector, "only `pipeline.config` can be read", "write ${pipeline.config.name}", path)
        elif len(selector.path) > 1 and selector.path[1] not in config:
            name = str(selector.path[1])
            near = get_close_matches(name, config, n=1)
            hint = f"did you mean ${{pipeline.config.{near[0]}}}?" if near else "add it to the flow's `config:`"
            self._refuse(selector, f"the flow's config has no {name!r}", hint, path)

    def _scope_error(self, selector: Selector, path: Path, scope: int) -> Need | None:
        guard = self.guard_of[selector.root]
        chain = self.regions.chain(scope)
        if not selector.path or selector.path[0] != ERROR:
            self._refuse(selector, f"scope {guard.id!r} has no field but `error`", f"write ${{{guard.id}.error.message}}", path)
            return None
        if guard.scope not in chain:
            self._refuse(selector, f"scope {guard.id!r} stands in a body that is not around this place", "", path)
            return None
        return Need(Source.SCOPE, guard.index, up=chain.index(guard.scope))

    def _output(self, selector: Selector, path: Path, scope: int, reader: int) -> Need | None:
        node = self.draft.nodes[self.draft.by_id[selector.root]]
        chain = self.regions.chain(scope)
        down: list[int] = []
        at = self.regions.innermost[node.index]
        while at not in chain:
            body = self.regions.bodies[at - 1]
            if self.draft.nodes[body.owner].kind == Kind.SPLIT:
                owner = self.draft.nodes[body.owner].id
                message = f"{node.id!r} runs once per item of {owner!r}: it has no single value out here"
                self._refuse(selector, message, f"read ${{{owner}}}: the list of the items' results", path)
                return None
            down.insert(0, body.owner)
            at = body.parent
        if reader != NONE and self.draft.nodes[reader].compensates == NONE and not self.upstream[reader] >> node.index & 1:
            message = f"${{{selector.text}}}: {node.id!r} does not come before {self.draft.nodes[reader].id!r}, so it may not have run yet"
            self.draft.report("INVALID_SELECTOR", message, path, "add an edge, or read a node on the way to here", warning=True)
        return Need(Source.NODE, node.index, chain.index(at), tuple(down))

    def _refuse(self, selector: Selector, message: str, hint: str, path: Path) -> None:
        self.draft.report("INVALID_SELECTOR", f"${{{selector.text}}}: {message}", path, hint)


def check_names(draft: Draft) -> None:
    """Report what is wrong with selectors by itself, in a flow whose graph is too broken to say what they would read."""
    inside = 1  # as if everything stood in one body, so that `${iteration}` is welcome
    regions = Regions([], [ROOT] * len(draft.nodes), [NONE, ROOT])
    scopes = [DraftGuard(index, name, scope, ROOT, []) for index, (name, scope) in enumerate(draft.flow.scopes.items())]
    needs = Needs(draft, regions, Guards(scopes, []), [])
    for node in draft.nodes:
        path: Path = ("nodes", node.id, "config")
        described = node_type(node.type)
        if node.definition is None:
            continue
        if described is not None and node.kind in (Kind.SWITCH, Kind.LOOP):
            config = parse_config(described, node.definition.config)
            needs.bind_conditions(conditions(program(node.kind, config)), path, inside)
        else:
            needs.bind(node.definition.config, path, inside)
    needs.check_edges()
    if draft.flow.outputs is not None:
        needs.bind(draft.flow.outputs, ("outputs",), ROOT)


def _upstream(draft: Draft, regions: Regions, order: list[int]) -> list[int]:
    """For each node the set of nodes before it, as the bits of an integer.

    A loop's body comes before the loop itself, whose conditions read the last iteration, and before what follows the loop.
    """
    bodies = {body.owner: sum(1 << index for index in body.nodes) for body in regions.bodies}
    before = [0] * len(draft.nodes)
    for index in order:
        own = before[index] | 1 << index
        for target in draft.forward(index):
            body = bodies.get(index, 0)
            before[target] |= own if body >> target & 1 else own | body
    for owner, body in bodies.items():
        before[owner] |= body
    return before
