"""The rows of a table that a user made, read strictly enough that nothing is taken for what it is not."""

import csv
import io
from collections.abc import Iterator, Sequence
from pathlib import Path

from dcam_dist.errors import DataError, UsageError

MOST_BYTES = 256 << 20
MOST_COLUMNS = 1000


def csv_rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Line number, from 1, and cells without surrounding blanks of each row that is not blank, the header first.

    Raises:
        UsageError: When there is no such file.
        DataError: When it is no CSV in UTF-8, with or without a byte-order mark, or far too large. Names file and line.
    """
    reader = csv.reader(io.StringIO(_text(path), newline=""), strict=True)
    line = 1
    try:
        for cells in reader:
            stripped = [cell.strip() for cell in cells]
            if any(stripped):
                yield line, stripped
            line = reader.line_num + 1
    except csv.Error as error:
        raise DataError(f"{path}, line {reader.line_num}: not valid CSV ({error})") from None


def refuse_many_columns(path: Path, line: int, names: Sequence[str]) -> None:
    """Refuse a header that no person made.

    Raises:
        DataError: When it has more than ``MOST_COLUMNS`` columns.
    """
    if len(names) > MOST_COLUMNS:
        raise DataError(f"{path}, line {line}: {len(names)} columns, at most {MOST_COLUMNS} are read")


def refuse_shared_names(path: Path, line: int, names: Sequence[str]) -> None:
    """Refuse a header whose columns cannot be told apart.

    Raises:
        DataError: When a name is empty or, whatever its case, there twice.
    """
    folded = [name.casefold() for name in names]
    if "" in folded or len(set(folded)) != len(folded):
        raise DataError(f"{path}, line {line}: every column needs a name of its own")


def refuse_other_length(path: Path, line: int, names: Sequence[str], cells: Sequence[str]) -> None:
    """Refuse a row whose cells cannot be put under the columns.

    Raises:
        DataError: When it has more or fewer cells than there are columns.
    """
    if len(cells) != len(names):
        raise DataError(f"{path}, line {line}: {len(cells)} cells under {len(names)} columns")


def commas_hint(names: Sequence[str]) -> str:
    """What to add to the complaint that a column is missing, where another separator hides it; else empty."""
    return "; separate the columns by commas" if any(";" in name or "\t" in name for name in names) else ""


def _text(path: Path) -> str:
    try:
        with path.open("rb") as stream:
            content = stream.read(MOST_BYTES + 1)
        if len(content) > MOST_BYTES:
            raise DataError(f"{path}: more than {MOST_BYTES >> 20} MB, which is no case table")
        return content.decode("utf-8-sig")
    except FileNotFoundError:
        raise UsageError(f"{path}: no such file") from None
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not UTF-8 (byte {error.start}); save the table as CSV UTF-8") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({type(error).__name__})") from None
