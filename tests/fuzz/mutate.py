"""Mutations of bytes that know nothing of the format, and odd values for mutations that do."""

from collections.abc import Callable, Sequence
from random import Random

ODD_INTS = (0, 1, -1, 2, 3, 4, 7, 8, 15, 16, 255, 256, 32767, 32768, -32768, 65535, 65536, 2**31 - 1, -(2**31), 2**32)
ODD_FLOATS = (0.0, -0.0, 1.0, -1.0, 0.5, 1e-45, 1e-5, 1e5, 3.4e38, -3.4e38, float("nan"), float("inf"), float("-inf"))
ODD_NUMBERS = (
    *(
        "0",
        "-1",
        "1",
        "nan",
        "NaN",
        "inf",
        "-inf",
        "1e400",
        "-0",
        "1e-400",
        "0x10",
        "1_000",
        "٣",
        "",
        " ",
        "--1",
        "1.5",
    ),
    *("9" * 30, "4294967324", "2147483648", "-2147483649", "18446744073709551616", "700000000", "1e3", "1,5", "999999"),
)
ODD_TEXTS = (
    *("", " ", "\t", "\0", "a\0b", "%s%n%s%n", "%d", "../../../etc/passwd", "/etc/passwd", "LIST", "LOCAL", "<script>"),
    *("=cmd|' /C calc'!A0", "'; DROP TABLE", "Müller^Jörg", "\u202e\u0000", "😀" * 50, "\x1b[31m", "\ufeff", "A" * 300),
)
Bytes = bytes | bytearray


def odd_int(rng: Random, bits: int, *, signed: bool = True) -> int:
    """An interesting integer that fits."""
    value = rng.choice((*ODD_INTS, rng.getrandbits(bits), rng.randrange(64))) & ((1 << bits) - 1)
    return value - (1 << bits) if signed and value >= 1 << (bits - 1) else value


def odd_float(rng: Random) -> float:
    """An interesting float."""
    return rng.choice((*ODD_FLOATS, rng.uniform(-1e4, 1e4), float(rng.randrange(1000))))


def mutate_bytes(rng: Random, content: bytes, others: Sequence[bytes], *, first: int = 0) -> tuple[bytes, str]:
    """One to four mutations, more of them near the start, where headers are.

    Args:
        rng: Decides all.
        content: What is mutated.
        others: Further files, to splice with.
        first: Bytes before this one stay as they are.
    """
    head, body, said = content[:first], bytearray(content[first:]), []
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        change = rng.choice(_CHANGES)
        body = bytearray(change(rng, body, rng.choice(others) if others else bytes(body)))
        said.append(change.__name__.strip("_"))
    return head + bytes(body), f"bytes: {', '.join(said)}"


def _place(rng: Random, length: int) -> int:
    return rng.randrange(min(length, 512) if rng.random() < 0.6 else length) if length else 0


def _span(rng: Random, length: int) -> tuple[int, int]:
    start = _place(rng, length)
    return start, min(length, start + rng.choice((1, 2, 4, 16, 100, 1000)))


def _flip(rng: Random, body: bytearray, _: Bytes) -> Bytes:
    for _ in range(rng.choice((1, 1, 2, 8))):
        if body:
            body[_place(rng, len(body))] ^= 1 << rng.randrange(8)
    return body


def _overwrite(rng: Random, body: bytearray, _: Bytes) -> Bytes:
    size = rng.choice((1, 2, 4, 8))
    start = _place(rng, len(body))
    value = (rng.choice(ODD_INTS) & ((1 << 8 * size) - 1)).to_bytes(size, rng.choice(("little", "big")))
    body[start : start + size] = value
    return body


def _insert(rng: Random, body: bytearray, _: Bytes) -> Bytes:
    start = _place(rng, len(body))
    piece = rng.choice((rng.randbytes(rng.choice((1, 4, 64))), b"\0" * 32, b"\n", rng.choice(ODD_TEXTS).encode()))
    return bytes(body[:start]) + piece + bytes(body[start:])


def _delete(rng: Random, body: bytearray, _: Bytes) -> Bytes:
    start, end = _span(rng, len(body))
    del body[start:end]
    return body


def _double(rng: Random, body: bytearray, _: Bytes) -> Bytes:
    start, end = _span(rng, len(body))
    return bytes(body[:end]) + bytes(body[start:])


def _truncate(rng: Random, body: bytearray, _: Bytes) -> Bytes:
    cut = rng.choice((_place(rng, len(body)), max(0, len(body) - rng.choice((1, 4, 8, 100)))))
    return body[:cut]


def _splice(rng: Random, body: bytearray, other: Bytes) -> Bytes:
    cut, begin = _place(rng, len(body)), _place(rng, len(other))
    return bytes(body[:cut]) + bytes(other[rng.choice((cut, begin)) :])


_CHANGES: tuple[Callable[[Random, bytearray, Bytes], Bytes], ...] = (
    *(_flip, _flip, _overwrite, _overwrite, _insert, _delete, _double, _truncate, _splice),
)
