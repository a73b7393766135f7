"""Owns the rewriting of a source file: each mutant goes behind a switch, so that one build has all of them.

An expression with mutants becomes `match chosen(&[1, 2]) { None => the expression, Some(1) => one mutant, Some(2) => another, .. }`.
Nothing can be switched in a constant.
"""

import collections
import dataclasses
import re
from collections.abc import Iterable, Iterator

import tree_sitter
import tree_sitter_rust

PARSER = tree_sitter.Parser(tree_sitter.Language(tree_sitter_rust.language()))
SWITCH = "crate::switch::chosen"
# What has its value before the program runs. A closure in it runs later.
CONSTANTS = ("const_item", "static_item", "array_type")
MARK = re.compile(rb"/\*mutant (\d+)\*/(.*?)/\*end \1\*/", re.DOTALL)


@dataclasses.dataclass(frozen=True)
class Mutant:
    """A change to the code, as `cargo mutants --list --json` describes it: its place is a line and a column, counted from 1."""

    number: int
    name: str
    file: str
    genre: str
    replacement: str
    line: int
    column: int

    @property
    def room(self) -> str:
        """Returns the part of src/ that it is in."""
        return self.file.split("/")[1].removesuffix(".rs")


def walk(node: tree_sitter.Node) -> Iterator[tree_sitter.Node]:
    yield node
    for child in node.children:
        yield from walk(child)


def text(node: tree_sitter.Node | None) -> str:
    assert node and node.text is not None
    return node.text.decode()


def is_constant(node: tree_sitter.Node) -> bool:
    """Tells whether the compiler evaluates a node."""
    while node.parent and node.type != "closure_expression":
        node = node.parent
        if node.type in CONSTANTS or node.type == "function_item" and re.match(r"(pub\S* )?const ", text(node)):
            return True
    return False


def places(root: tree_sitter.Node) -> Iterator[tuple[str, int, tree_sitter.Node]]:
    """Finds what cargo-mutants can change: the kind of change, its first byte, and the node."""
    for node in walk(root):
        field = node.child_by_field_name
        match node.type:
            case "binary_expression" | "compound_assignment_expr":
                yield "BinaryOperator", field("operator").start_byte, node
            case "let_chain":
                for operator in node.children:
                    yield "BinaryOperator", operator.start_byte, node
            case "unary_expression":
                yield "UnaryOperator", node.start_byte, node
            case "function_item" if body := field("body"):
                first = next((child for child in body.named_children if not child.is_extra), None)
                if first:
                    yield "FnValue", first.start_byte, body
            case "match_arm":
                yield "MatchArm", node.start_byte, node.parent.parent
            case "match_pattern" if guard := field("condition"):
                yield "MatchArmGuard", guard.start_byte, guard
            case "field_initializer" | "shorthand_field_initializer":
                yield "StructField", node.start_byte, node.parent.parent


def mutated(mutant: Mutant, start: int, node: tree_sitter.Node) -> str:
    """Returns the expression that the mutant, whose first byte is `start`, puts in the place of `node`."""
    match mutant.genre:
        case "BinaryOperator":
            left, right = node.child_by_field_name("left"), node.child_by_field_name("right")
            return f"{text(left)} {mutant.replacement} {text(right)}"
        case "UnaryOperator":
            return text(node)[1:]
        case "MatchArm" | "StructField":
            whole, at = node.text, start - node.start_byte
            part = next(part for part in node.child_by_field_name("body").children if part.start_byte == start)
            return (whole[:at] + whole[at + len(part.text) :].removeprefix(b",")).decode()
        case _:
            return mutant.replacement


class Source:
    """A source file and what is switched in it.

    `constant` are the numbers of those that cannot be switched, `wrong` those that the language has no meaning for: `||` beside a `let`.
    """

    def __init__(self, content: bytes, mutants: Iterable[Mutant]) -> None:
        self.content = content
        self.root = PARSER.parse(content).root_node
        self.switched: dict[int, list[tuple[int, str]]] = collections.defaultdict(list)
        self.constant: set[int] = set()
        self.wrong: set[int] = set()
        lines = content.decode().split("\n")
        starts = [0]
        for line in lines:
            starts.append(starts[-1] + len(line.encode()) + 1)
        nodes = {(genre, start): node for genre, start, node in places(self.root)}
        for mutant in mutants:
            start = starts[mutant.line - 1] + len(lines[mutant.line - 1][: mutant.column - 1].encode())
            node = nodes.get((mutant.genre, start))
            if node is None or is_constant(node):
                self.constant.add(mutant.number)
            elif node.type == "let_chain":
                self.wrong.add(mutant.number)
            else:
                self.switched[node.id].append((mutant.number, mutated(mutant, start, node)))

    def rewritten(self, dropped: set[int]) -> bytes:
        """Returns the file with a switch for each mutant that is not dropped."""
        return self._render(self.root, dropped).encode()

    def _render(self, node: tree_sitter.Node, dropped: set[int]) -> str:
        parts, at = [], node.start_byte
        for child in node.children:
            parts += [self.content[at : child.start_byte].decode(), self._render(child, dropped)]
            at = child.end_byte
        plain = "".join(parts) + self.content[at : node.end_byte].decode()
        mutants = [(number, code) for number, code in self.switched.get(node.id, []) if number not in dropped]
        return self._switch(node, plain, mutants) if mutants else plain

    def _switch(self, node: tree_sitter.Node, plain: str, mutants: list[tuple[int, str]]) -> str:
        here = ", ".join(str(number) for number, _ in mutants)
        chosen = f"{SWITCH}(&[{here}])"
        opening, closing = {"block": ("{ ", " }"), "match_expression": ("", "")}.get(node.type, ("(", ")"))
        returned = node.parent.child_by_field_name("return_type") if node.type == "block" else None
        if returned and returned.type == "abstract_type":
            # the mutant is another type: both are boxed
            boxed = f"Box<dyn {text(returned).removeprefix('impl ')} + '_>"
            plain, mutants = f"Box::new({plain}) as {boxed}", [(number, f"Box::new({code})") for number, code in mutants]
        arms = [f"None => {plain}"]
        arms += [f"Some({number}) => /*mutant {number}*/{{ {code} }}/*end {number}*/" for number, code in mutants]
        return f"{opening}match {chosen} {{ {', '.join(arms)}, Some(_) => unreachable!() }}{closing}"


def marked(content: bytes) -> list[tuple[range, int]]:
    """Returns where each mutant is in a rewritten file, in bytes."""
    return [(range(found.start(), found.end()), int(found[1])) for found in MARK.finditer(content)]
