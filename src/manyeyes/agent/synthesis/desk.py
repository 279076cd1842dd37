"""`desk`: a calculator and a table of numbers, as tools that really work; what the tools domain is practised on.

Report: §4.4.1 (precise tool calls).
"""

import ast
import operator
from collections.abc import Callable, Mapping
from fractions import Fraction

from manyeyes.agent.toolset import Functions, ToolResult, tool
from manyeyes.data.synthesis.thinking_tools import MISSING

LONGEST = 200
"""Characters of an expression."""
LARGEST = 10**30
"""Nobody can read a result beyond it."""
_TWO: dict[type[ast.operator], Callable[[Fraction, Fraction], Fraction]] = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv,
    ast.FloorDiv: lambda a, b: Fraction(a // b), ast.Mod: operator.mod,
}  # fmt: skip


def desk(entries: Mapping[str, str]) -> Functions:
    """The two tools.

    Args:
        entries: numbers by key.
    """

    @tool(repeatable=True)
    async def calculate(expression: str) -> ToolResult:
        """Works out a sum."""
        try:
            return ToolResult.of(written(worked_out(expression)))
        except (ValueError, ZeroDivisionError) as error:
            return ToolResult.failed("bad_arguments", str(error))

    @tool(repeatable=True)
    async def find(key: str) -> ToolResult:
        """Looks up a number."""
        return ToolResult.of(entries.get(key.strip(), MISSING))

    return Functions([calculate, find])


def worked_out(expression: str) -> Fraction:
    """The exact value of a sum: numbers, + - * / // %, parentheses.

    Raises:
        ValueError: it is something else, or its value is too large.
        ZeroDivisionError: a division by zero.

    Example:
        >>> worked_out("(347 + 58) / 5")
        Fraction(81, 1)
    """
    try:
        tree = ast.parse(expression.strip()[: LONGEST + 1], mode="eval")
    except (SyntaxError, RecursionError, MemoryError):
        tree = None
    if tree is None or len(expression) > LONGEST:
        raise ValueError(f"expected a sum of at most {LONGEST} characters, such as 347 + 58")
    if abs(value := _value(tree.body)) > LARGEST:
        raise ValueError("the result is too large")
    return value


def written(value: Fraction) -> str:
    """A number as people write it; up to six decimals.

    Example:
        >>> written(Fraction(5)), written(Fraction(-1, 4)), written(Fraction(1, 3))
        ('5', '-0.25', '0.333333')
    """
    whole, part = divmod(abs(millionths := round(value * 10**6)), 10**6)
    digits = f"{whole}.{part:06d}".rstrip("0").rstrip(".")
    return f"-{digits}" if millionths < 0 else digits


def _value(node: ast.expr) -> Fraction:
    match node:
        case ast.Constant(value=int() | float() as number) if not isinstance(number, bool):
            return Fraction(str(number))
        case ast.BinOp(left, symbol, right) if type(symbol) in _TWO:
            return _TWO[type(symbol)](_value(left), _value(right))
        case ast.UnaryOp(ast.USub(), inner):
            return -_value(inner)
        case ast.UnaryOp(ast.UAdd(), inner):
            return _value(inner)
    raise ValueError("expected numbers, + - * / // %, and parentheses")
