"""A picture as text for programs that lay graphs out: Graphviz and Mermaid. All texts are quoted, whatever they hold."""

from __future__ import annotations

from collections.abc import Iterator

from .picture import FLOW, TRIGGER, Arrow, Figure, Picture

_DOT_SHAPES = {TRIGGER: "cds", "switch": "diamond", "merge": "invtriangle", "wait": "octagon", "delay": "octagon"}
_DOT_STYLES = {"back": "style=dashed, constraint=false", "error": "color=red", "undo": "style=dotted"}
_MERMAID_SHAPES = {TRIGGER: (">", "]"), "switch": ("{", "}"), "wait": ("[[", "]]"), "delay": ("[[", "]]"), "merge": ("([", "])")}
_MERMAID_ARROWS = {"forward": "-->", "back": "-.->", "error": "-.->", "undo": "-.->"}


def dot(picture: Picture) -> str:
    """A Graphviz digraph; boxes are clusters."""
    names = {figure.id: f"n{number}" for number, figure in enumerate(picture.figures)}
    clusters = {box.key: f"cluster_{number}" for number, box in enumerate(picture.boxes)}
    lines = [f"digraph {_quoted(picture.title)} {{", "  rankdir=LR; compound=true; node [shape=box, fontname=sans-serif];"]
    lines += _dot_box(picture, FLOW, names, clusters, "  ")
    lines += (f"  {_dot_arrow(picture, arrow, names, clusters)};" for arrow in picture.arrows)
    return "\n".join([*lines, "}"])


def _dot_box(picture: Picture, key: str, names: dict[str, str], clusters: dict[str, str], indent: str) -> Iterator[str]:
    for figure in picture.figures:
        if figure.box == key:
            shape = _DOT_SHAPES.get(figure.kind, "box")
            yield f"{indent}{names[figure.id]} [label={_quoted(_label(figure))}, shape={shape}];"
    for box in picture.boxes:
        if box.parent == key:
            yield f"{indent}subgraph {clusters[box.key]} {{ label={_quoted(box.caption)};"
            yield from _dot_box(picture, box.key, names, clusters, indent + "  ")
            yield indent + "}"


def _dot_arrow(picture: Picture, arrow: Arrow, names: dict[str, str], clusters: dict[str, str]) -> str:
    options = [f"label={_quoted(_arrow_label(arrow))}"] if _arrow_label(arrow) else []
    options += [_DOT_STYLES[arrow.kind]] if arrow.kind in _DOT_STYLES else []
    source = arrow.source
    if source in clusters:
        # Graphviz draws between nodes only: the arrow starts at one inside the box and is cut off at its border.
        options.append(f"ltail={clusters[source]}")
        source = _inside(picture, source)
    return f"{names[source]} -> {names[arrow.target]}" + (f" [{', '.join(options)}]" if options else "")


def _inside(picture: Picture, key: str) -> str:
    boxes = [key]
    for box in boxes:
        boxes += [inner.key for inner in picture.boxes if inner.parent == box]
    return next(figure.id for figure in picture.figures if figure.box in boxes)


def mermaid(picture: Picture) -> str:
    """A Mermaid flowchart; boxes are subgraphs."""
    names = {figure.id: f"n{number}" for number, figure in enumerate(picture.figures)}
    boxes = {box.key: f"b{number}" for number, box in enumerate(picture.boxes)}
    lines = ["flowchart LR", *_mermaid_box(picture, FLOW, names, boxes, "  ")]
    for arrow in picture.arrows:
        label = f'|"{_escaped(_arrow_label(arrow))}"|' if _arrow_label(arrow) else ""
        lines.append(f"  {(names | boxes)[arrow.source]} {_MERMAID_ARROWS[arrow.kind]}{label} {names[arrow.target]}")
    return "\n".join(lines)


def _mermaid_box(picture: Picture, key: str, names: dict[str, str], boxes: dict[str, str], indent: str) -> Iterator[str]:
    for figure in picture.figures:
        if figure.box == key:
            left, right = _MERMAID_SHAPES.get(figure.kind, ("[", "]"))
            yield f'{indent}{names[figure.id]}{left}"{_escaped(_label(figure))}"{right}'
    for box in picture.boxes:
        if box.parent == key:
            yield f'{indent}subgraph {boxes[box.key]}["{_escaped(box.caption)}"]'
            yield from _mermaid_box(picture, box.key, names, boxes, indent + "  ")
            yield indent + "end"


def _label(figure: Figure) -> str:
    return "\n".join(filter(None, [figure.id, figure.type, figure.gist, ", ".join(figure.policies)]))


def _arrow_label(arrow: Arrow) -> str:
    port = "" if arrow.port == "out" else arrow.port
    return " ".join(filter(None, [port, f"if {arrow.condition}" if arrow.condition else ""]))


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'


def _escaped(text: str) -> str:
    """Mermaid knows no backslash: quotes and what reads as markup become character codes, `#` first."""
    for character, code in (("#", "#35;"), ('"', "#quot;"), ("<", "#lt;"), (">", "#gt;"), ("\n", "<br>")):
        text = text.replace(character, code)
    return text
