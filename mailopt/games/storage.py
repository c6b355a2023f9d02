"""Strict reading and atomic writing of JSON and NPZ files with a ``format`` and ``version`` header.

Knows nothing of games. Reading never runs code from a file (NPZ without pickle) and fails closed: duplicate keys,
unknown fields, NaN, booleans as numbers and truncated files are errors.
"""

from __future__ import annotations

import io
import json
import lzma
import math
import re
import struct
import zipfile
import zlib
from collections.abc import Callable, Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from mailopt.errors import InvalidNumber, MalformedFile, UnsupportedVersion
from mailopt.games.numbers import Exact, FloatArray, Index, Number
from mailopt_solvers.files import replacing

T = TypeVar("T")
_MAX_DIGITS = 4000  # of an exact number; Python itself converts up to 4300
_MAX_NUMBER = 10**_MAX_DIGITS
_MAX_BYTES = 2**33  # of one array
_RATIONAL = re.compile(rf"-?[0-9]{{1,{_MAX_DIGITS}}}(/[0-9]{{1,{_MAX_DIGITS}}})?", re.ASCII)
_NPZ_ERRORS = (  # whatever zipfile, its decompressors and numpy raise on damaged content that is already in memory
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    struct.error,
    EOFError,
    ValueError,
    KeyError,
    TypeError,
    SyntaxError,
    RuntimeError,
    OSError,
    OverflowError,
    MemoryError,
)
_REQUIRED: Any = object()


def is_npz(path: str | Path) -> bool:
    """Whether the suffix says NPZ; any other but ``.json`` is an error."""
    suffix = Path(path).suffix.lower()
    if suffix not in (".json", ".npz"):
        raise MalformedFile(f"{path}: the suffix must be .json or .npz")
    return suffix == ".npz"


class JsonFields:
    """The fields of a JSON file, each to be taken once."""

    def __init__(self, fields: dict[str, object]) -> None:
        self._fields = fields

    def take(self, key: str, read: Callable[[Any, str], T], *, default: Any = _REQUIRED) -> T:
        """Take a field and read it with ``read(value, place)``."""
        if key not in self._fields:
            if default is _REQUIRED:
                raise MalformedFile(f"field {key!r} is missing")
            return default  # type: ignore[no-any-return]
        return read(self._fields.pop(key), key)

    def finish(self) -> None:
        """Raise if a field was not taken."""
        if self._fields:
            raise MalformedFile(f"unknown field {next(iter(self._fields))!r}")


def read_json(path: str | Path, expected: str, version: int) -> JsonFields:
    """Read a JSON file and check its header."""

    def unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
        found: dict[str, object] = {}
        for key, value in pairs:
            if key in found:
                raise MalformedFile(f"field {key!r} is given twice")
            found[key] = value
        return found

    def constant(name: str) -> object:
        raise MalformedFile(f"{name} is not a number")

    try:
        text = Path(path).read_text(encoding="utf-8")
        content = json.loads(text, object_pairs_hook=unique, parse_constant=constant)
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise MalformedFile(f"not JSON, or truncated: {error}") from None
    except RecursionError:
        raise MalformedFile("nested too deeply") from None
    except MalformedFile:
        raise
    except ValueError as error:  # an integer with more digits than Python converts
        raise MalformedFile(str(error)) from None
    if not isinstance(content, dict):
        raise MalformedFile(f"expected a JSON object, got {type(content).__name__}")
    _check_header(content.pop("format", None), content.pop("version", None), expected, version)
    return JsonFields(content)


def write_json(path: str | Path, name: str, version: int, fields: Mapping[str, object]) -> None:
    """Write a JSON file with one list entry on a line, whole or not at all."""
    lines = []
    for key, value in {"format": name, "version": version, **fields}.items():
        if isinstance(value, list) and value and isinstance(value[0], list):
            entries = ",\n  ".join(json.dumps(plain(entry), allow_nan=False) for entry in value)
            lines.append(f" {json.dumps(key)}: [\n  {entries}\n ]")
        else:
            lines.append(f" {json.dumps(key)}: {json.dumps(plain(value), allow_nan=False)}")
    with replacing(path) as file:
        file.write(("{\n" + ",\n".join(lines) + "\n}\n").encode())


def plain(value: object) -> object:
    """Turn numbers into what JSON can hold: fractions into strings ``"n/d"``, whole doubles into integers."""
    if isinstance(value, Fraction):
        return _written(value)
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return int(value)
    return [plain(item) for item in value] if isinstance(value, list) else value


def items(value: object, where: str) -> list[Any]:
    """Insist on a list."""
    if not isinstance(value, list):
        raise MalformedFile(f"{where}: expected a list, got {value!r:.80}")
    return value


def positive(value: object, where: str) -> int:
    """Insist on an integer of at least 1."""
    if type(value) is not int or value < 1:
        raise MalformedFile(f"{where}: expected an integer of at least 1, got {value!r:.80}")
    return value


def number(value: object, where: str) -> Number:
    """Insist on a JSON number or an exact string ``"n"`` or ``"n/d"``."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return value
    if isinstance(value, str) and _RATIONAL.fullmatch(value):
        try:
            return Fraction(value)
        except ZeroDivisionError:
            raise MalformedFile(f"{where}: {value!r} has denominator 0") from None
    raise MalformedFile(f"{where}: expected a number or an exact string such as '1/3', got {value!r:.80}")


class NpzFields:
    """The arrays of an NPZ file, each to be taken once."""

    def __init__(self, arrays: dict[str, npt.NDArray[Any]]) -> None:
        self._arrays = arrays

    def __contains__(self, key: str) -> bool:
        return key in self._arrays

    def part(self, prefix: str) -> NpzFields:
        """Take all arrays whose names begin so, under the rest of their names."""
        names = [key for key in self._arrays if key.startswith(prefix)]
        return NpzFields({key.removeprefix(prefix): self._arrays.pop(key) for key in names})

    def take(self, key: str, kinds: str, *dimensions: int) -> npt.NDArray[Any]:
        """Take an array, insisting on dtype kinds and number of dimensions."""
        if key not in self._arrays:
            raise MalformedFile(f"array {key!r} is missing")
        array = self._arrays.pop(key)
        if array.dtype.kind not in kinds or array.ndim not in dimensions:
            raise MalformedFile(f"array {key!r} has dtype {array.dtype} and shape {array.shape}")
        return array

    def take_integer(self, key: str) -> int:
        """Take a single integer."""
        return int(self.take(key, "iu", 0))

    def take_exact(
        self, key: str, *dimensions: int, index_length: int | None = None
    ) -> tuple[FloatArray, dict[Index, Fraction]]:
        """Take an array of doubles and its exact rationals, written by :func:`put`."""
        doubles = self.take(key, "f", *dimensions)
        exact: dict[Index, Fraction] = {}
        if f"{key}_exact_index" in self:
            indices = self.take(f"{key}_exact_index", "iu", 2)
            values = self.take(f"{key}_exact_value", "U", 1)
            length = doubles.ndim if index_length is None else index_length
            if indices.shape != (values.size, length):
                raise MalformedFile(f"{key}_exact_index has shape {indices.shape}")
            if index_length is None and not ((indices >= 0) & (indices < np.array(doubles.shape))).all():
                raise MalformedFile(f"{key}_exact_index is out of range")
            for index, value in zip(map(tuple, indices.tolist()), values.tolist(), strict=True):
                fraction = Fraction(number(value, f"{key}_exact_value"))
                if index in exact or (index_length is None and _nearest(fraction) != doubles[index]):
                    raise MalformedFile(
                        f"{key}_exact_index has {index} twice, or {value:.80} stands beside another number"
                    )
                exact[index] = fraction
        return doubles, exact

    def finish(self) -> None:
        """Raise if an array was not taken."""
        if self._arrays:
            raise MalformedFile(f"unknown array {next(iter(self._arrays))!r}")


def read_npz(path: str | Path, expected: str, version: int) -> NpzFields:
    """Read an NPZ file and check its header.

    Nothing is allocated before the sizes that an array declares are found to be those that the archive stores, and
    an archive whose directory does not account for every byte is refused: a damaged directory loses arrays unseen.
    """
    content = Path(path).read_bytes()
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            entries = archive.infolist()
            _require_no_gaps(content, entries, archive.start_dir)
            arrays: dict[str, npt.NDArray[Any]] = {}
            for info in entries:
                key = info.filename.removesuffix(".npy")
                if key in arrays:
                    raise ValueError(f"array {key!r} is given twice")
                arrays[key] = _read_npy(archive, info)
        name, number_ = (arrays.pop(key) for key in ("format", "version"))
    except _NPZ_ERRORS as error:
        raise MalformedFile(f"not an NPZ archive of plain arrays, or damaged: {error!r:.200}") from None
    _check_header(
        name.item() if name.ndim == 0 else None,
        number_.item() if number_.ndim == 0 else None,
        expected,
        version,
    )
    return NpzFields(arrays)


def _require_no_gaps(content: bytes, entries: list[zipfile.ZipInfo], end: int) -> None:
    """Raise unless the entries lie one behind the other from the first byte to the directory."""
    position = 0
    for info in sorted(entries, key=lambda entry: entry.header_offset):
        if info.header_offset != position:
            raise ValueError(f"the directory does not account for the bytes from {position} on")
        lengths = struct.unpack_from("<HH", content, position + 26)  # of name and extra field of the local header
        position += 30 + sum(lengths) + info.compress_size
    if position != end:
        raise ValueError(f"the directory does not account for the bytes from {position} on")


def _read_npy(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> npt.NDArray[Any]:
    with archive.open(info) as file:
        kind = np.lib.format.read_magic(file)
        reader = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}[kind]
        shape, fortran_order, dtype = reader(file)
        if dtype.hasobject:
            raise ValueError(f"{info.filename} holds Python objects")
        stored = info.file_size - file.tell()
        if stored > _MAX_BYTES or math.prod(shape) * dtype.itemsize != stored:
            raise ValueError(f"{info.filename} declares shape {shape} of {dtype} but stores {stored} bytes")
        flat = np.frombuffer(file.read(), dtype=dtype)
        return flat.reshape(shape, order="F" if fortran_order else "C")


def write_npz(path: str | Path, name: str, version: int, arrays: Mapping[str, npt.ArrayLike]) -> None:
    """Write an NPZ file, whole or not at all."""
    content: dict[str, Any] = {"format": np.array(name), "version": np.int64(version), **arrays}
    with replacing(path) as file:
        np.savez_compressed(file, allow_pickle=False, **content)


def put(arrays: dict[str, npt.ArrayLike], key: str, doubles: FloatArray, exact: Exact) -> None:
    """Add an array of doubles and its exact rationals."""
    arrays[key] = doubles
    if exact:
        arrays[f"{key}_exact_index"] = np.array(list(exact), dtype=np.int64).reshape(len(exact), -1)
        arrays[f"{key}_exact_value"] = np.array([_written(fraction) for fraction in exact.values()])


def _written(fraction: Fraction) -> str:
    if max(abs(fraction.numerator), fraction.denominator) >= _MAX_NUMBER:
        raise InvalidNumber(f"a number with more than {_MAX_DIGITS} digits cannot be written")
    return str(fraction)


def _nearest(fraction: Fraction) -> float:
    try:
        return float(fraction)
    except OverflowError:
        return math.inf


def _check_header(name: object, version: object, expected: str, supported: int) -> None:
    if name != expected:
        raise MalformedFile(f"format is {name!r}, expected {expected!r}")
    if type(version) is not int:
        raise MalformedFile(f"version is {version!r}, expected an integer")
    if version != supported:
        raise UnsupportedVersion(f"version {version} is not supported, this release reads version {supported}")
