"""The sizes that CONTRIBUTING.md promises: of files and functions, at most and in the median."""

import ast
from pathlib import Path
from statistics import median

ROOT = Path(__file__).parents[2]
FILES = {
    file: file.read_text(encoding="utf-8")
    for part in ("dcam_dist", "benchmarks")
    for file in ROOT.glob(f"{part}/**/*.py")
}

FILE_LINES, FILE_MEDIAN = 400, 150
FUNCTION_LINES, FUNCTION_MEDIAN = 60, 12


def test_files_are_short():
    lines = {str(file.relative_to(ROOT)): len(text.splitlines()) for file, text in FILES.items()}
    assert lines
    assert {name: count for name, count in lines.items() if count > FILE_LINES} == {}
    assert median(lines.values()) <= FILE_MEDIAN


def test_functions_are_short():
    lines = {
        f"{file.relative_to(ROOT)}:{node.lineno} {node.name}": node.end_lineno - node.lineno + 1
        for file, text in FILES.items()
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }
    assert lines
    assert {name: count for name, count in lines.items() if count > FUNCTION_LINES} == {}
    assert median(lines.values()) <= FUNCTION_MEDIAN
