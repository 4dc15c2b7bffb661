"""Writes `interchange.json` beside itself: files as NumPy and Python's `csv` and `zipfile` write and read them.

    python3 interchange.py

Made with Python 3.11 and NumPy 2.4. What is said to be readable is read by NumPy here, too, before it is written down.
"""

import base64
import csv
import fractions
import io
import json
import pathlib
import random
import struct
import sys
import zipfile
import zlib

import numpy


def base64_of(data):
    return base64.b64encode(data).decode()


# Arrays. Those of other types are widened to one of five, or to bool, without rounding.

WIDENED = {"b1": "bool", "i1": "int32", "i2": "int32", "i4": "int32", "i8": "int64", "u1": "int32", "u2": "int32",
           "u4": "int64", "u8": "uint64", "f2": "float32", "f4": "float32", "f8": "float64"}


def values(kind):
    if kind == "b1":
        return numpy.array([True, False, False, True, True, False])
    dtype = numpy.dtype(kind)
    if dtype.kind in "iu":
        limits = numpy.iinfo(dtype)
        return numpy.array([0, 1, limits.max, limits.min, limits.max - 2, 77], dtype)
    limits = numpy.finfo(dtype)
    return numpy.array([0.1, -0.0, limits.max, -limits.smallest_subnormal, numpy.inf, numpy.nan], dtype)


def array_entry(name, data):
    array = numpy.load(io.BytesIO(data))
    kind = array.dtype.str[1:]
    widened = numpy.ascontiguousarray(array).astype(WIDENED[kind]).reshape(-1)
    bits = {"float32": "u4", "float64": "u8"}.get(WIDENED[kind])
    numbers = widened.view(bits) if bits else widened.astype("u1") if kind == "b1" else widened
    return {"name": name, "bytes": base64_of(data), "shape": list(array.shape), "type": WIDENED[kind],
            # Floating point as bits; all as text, since readers of JSON take numbers for doubles.
            "numbers": [str(number) for number in numbers.tolist()]}


def npy(array, version=None):
    file = io.BytesIO()
    numpy.lib.format.write_array(file, array, version=version)
    return file.getvalue()


def with_header(header, data):
    text = header.encode()
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text + data


def arrays():
    for kind in WIDENED:
        plain = values(kind)
        for order in "<>":
            typed = plain.astype(plain.dtype.newbyteorder(order))
            yield array_entry(f"{order}{kind}", npy(typed.reshape(2, 3)))
            yield array_entry(f"{order}{kind} in Fortran order", npy(numpy.asfortranarray(typed.reshape(3, 2))))
        described = "{'descr': '%s', 'fortran_order': False, 'shape': (6,), }"
        for order in ["=", "|", ""]:
            yield array_entry(f"{order}{kind}", with_header(described % (order + kind), plain.tobytes()))
    yield array_entry("a single number", npy(numpy.float32(1.5)))
    yield array_entry("no numbers", npy(numpy.zeros((3, 0, 2), "f4")))
    yield array_entry("64 axes", npy(numpy.ones((1,) * 64, "f4")))
    yield array_entry("three axes in Fortran order", npy(numpy.asfortranarray(numpy.arange(24.0).reshape(2, 3, 4))))
    ones = numpy.asfortranarray(numpy.arange(6, dtype="i2").reshape(1, 2, 1, 3, 1))
    yield array_entry("axes of size 1 in Fortran order", npy(ones))
    for version in [(1, 0), (2, 0), (3, 0)]:
        yield array_entry(f"version {version[0]}", npy(numpy.arange(3, dtype="i4"), version))


def refused_arrays():
    record = numpy.zeros(2, [("größe", "f4"), ("y", "i4")])
    text = io.BytesIO()
    numpy.lib.format.write_array(text, numpy.array([None, 1], object), allow_pickle=True)
    return {
        "complex": npy(numpy.ones(2, "c8")), "objects": text.getvalue(), "text": npy(numpy.array(["ab", "c"])),
        "byte strings": npy(numpy.array([b"ab", b"c"])), "dates": npy(numpy.zeros(2, "M8[D]")),
        "durations": npy(numpy.zeros(2, "m8[s]")), "records": npy(record, (3, 0)), "raw bytes": npy(numpy.zeros(2, "V4")),
        "long double": npy(numpy.ones(2, "g")),
    }


# Archives.

ONE = npy(numpy.array([1.5, 2], "f4"))
TWO = npy(numpy.array([[7], [8]], "i8"))


def archive(*entries, comment=b"", stream=None):
    """A zip file: entries are (name, bytes, method)."""
    file = io.BytesIO() if stream is None else stream
    with zipfile.ZipFile(file, "w") as target:
        for name, data, method in entries:
            info = zipfile.ZipInfo(name)
            info.compress_type = method
            target.writestr(info, data)
        target.comment = comment
    return file.getvalue()


class Unseekable(io.BytesIO):
    """Makes zipfile write sizes after the data (a data descriptor)."""

    def seekable(self):
        return False

    def seek(self, *arguments):
        raise io.UnsupportedOperation

    def tell(self):
        raise io.UnsupportedOperation


def by_hand(entries, zip64=False, local=lambda offset: offset):
    """A zip file: entries are dictionaries; with `zip64`, everything that may be in a zip64 record is there only."""
    result, directory = b"", b""
    for entry in entries:
        name, data, method = entry["name"].encode(), entry["stored"], entry["method"]
        size, crc = entry["size"], entry["crc"]
        offset = entry.get("offset", len(result))
        big = 0xFFFF_FFFF
        stored, declared, where = (big, big, big) if zip64 else (len(data), size, offset)
        extra = struct.pack("<HHQQQ", 1, 24, size, len(data), offset) if zip64 else b""
        common = struct.pack("<HHHHHIIIH", 45, entry.get("flags", 0), method, 0, 33, crc, stored, declared, len(name))
        directory += (b"PK\x01\x02" + struct.pack("<H", 45) + common + struct.pack("<HHHHII", len(extra), 0, 0, 0, 0, where)
                      + name + extra)
        if "offset" not in entry:
            local_extra = struct.pack("<HHQQ", 1, 16, size, len(data)) if zip64 else b""
            local_name = entry.get("local name", entry["name"]).encode()
            result += b"PK\x03\x04" + common + struct.pack("<H", len(local_extra)) + local_name + local_extra + data
    start = len(result)
    result += directory
    count = len(entries)
    if zip64:
        end = len(result)
        result += b"PK\x06\x06" + struct.pack("<QHHIIQQQQ", 44, 45, 45, 0, 0, count, count, len(directory), start)
        result += b"PK\x06\x07" + struct.pack("<IQI", 0, end, 1)
        return result + b"PK\x05\x06" + struct.pack("<HHHHIIH", 0, 0, 0xFFFF, 0xFFFF, 0xFFFF_FFFF, 0xFFFF_FFFF, 0)
    return result + b"PK\x05\x06" + struct.pack("<HHHHIIH", 0, 0, count, count, len(directory), start, 0)


def stored(name, data, **more):
    return {"name": name, "stored": data, "method": 0, "size": len(data), "crc": zlib.crc32(data), **more}


def deflated(name, data, **more):
    return {"name": name, "stored": zlib.compress(data, 9, -15), "method": 8, "size": len(data), "crc": zlib.crc32(data),
            **more}


def savez(save):
    file = io.BytesIO()
    save(file, one=numpy.load(io.BytesIO(ONE)), two=numpy.load(io.BytesIO(TWO)))
    return file.getvalue()


def archives():
    """Archives that have the arrays `one` and `two`."""
    entries = [("one.npy", ONE, 0), ("two.npy", TWO, 8)]
    yield "savez", savez(numpy.savez)
    yield "savez_compressed", savez(numpy.savez_compressed)
    yield "zip64 directory", by_hand([stored("one.npy", ONE), deflated("two.npy", TWO)], zip64=True)
    yield "sizes after the data", archive(*entries, stream=Unseekable())
    yield "a folder", archive(("folder/", b"", 0), *entries)
    yield "other files", archive(("read me.txt", b"arrays", 8), *entries, ("empty", b"", 0))
    yield "a comment", archive(*entries, comment=b"made by hand")
    no_effort = zlib.compressobj(0, zlib.DEFLATED, -15)
    raw = no_effort.compress(ONE) + no_effort.flush()
    yield "deflated without effort", by_hand([{**deflated("one.npy", ONE), "stored": raw}, stored("two.npy", TWO)])


def checked_archives():
    for name, data in archives():
        read = numpy.load(io.BytesIO(data))
        assert (read["one"] == numpy.load(io.BytesIO(ONE))).all() and (read["two"] == numpy.load(io.BytesIO(TWO))).all()
        yield {"name": name, "bytes": base64_of(data)}


def refused_archives():
    one = stored("one.npy", ONE)
    small = deflated("one.npy", ONE)
    zeros = deflated("one.npy", bytes(1_000_000))
    yield "bzip2", archive(("one.npy", ONE, zipfile.ZIP_BZIP2))
    yield "LZMA", archive(("one.npy", ONE, zipfile.ZIP_LZMA))
    yield "encrypted", by_hand([{**one, "flags": 1}])
    yield "twice", by_hand([one, one])
    yield "overlap", by_hand([one, {**stored("one.npy", ONE), "offset": 0}])
    yield "bomb", by_hand([{**small, "size": 1 << 30}])
    yield "more than said", by_hand([{**zeros, "size": 500_000}])
    yield "less than said", by_hand([{**zeros, "size": 1_000_001}])
    yield "wrong checksum", by_hand([{**small, "crc": 1}])
    yield "cut stream", by_hand([{**small, "stored": small["stored"][:-4]}])
    yield "longer stream", by_hand([{**small, "stored": small["stored"] + b"abc"}])
    yield "damaged stream", by_hand([{**small, "stored": b"\xff" * 8 + small["stored"]}])
    yield "other local name", by_hand([{**one, "local name": "two.npy"}])
    yield "two sizes", by_hand([{**one, "size": len(ONE) + 1}])
    yield "not an array", by_hand([stored("one.npy", b"1,2\n")])
    yield "NUL in a name", by_hand([stored("one\0.npy", ONE)])
    whole = by_hand([one, stored("two.npy", TWO)])
    yield "fewer than said", whole[:-14] + struct.pack("<HH", 3, 3) + whole[-10:]
    yield "several parts", whole[:-18] + struct.pack("<HH", 1, 1) + whole[-14:]


# Names of columns, and numbers.

def names(random_numbers):
    """First lines with quotation marks, and what Python's csv reads of them."""
    pieces = ['a', 'b', '"', '""', ',', ' ', '\n', '\r\n', 'é', '\t', ';', "'"]
    while True:
        fields = []
        for _ in range(random_numbers.randint(1, 4)):
            field = "".join(random_numbers.choice(pieces) for _ in range(random_numbers.randint(1, 6)))
            fields.append(field)
        if len(set(fields)) < len(fields) or not any(character in "".join(fields) for character in "ab"):
            continue
        line = io.StringIO()
        csv.writer(line, quoting=csv.QUOTE_ALL, lineterminator="\n").writerow(fields)
        text = line.getvalue() + ",".join("1" for _ in fields) + "\n"
        read = list(csv.reader(io.StringIO(text, newline=""), strict=True))
        assert read[0] == fields
        yield {"text": text, "names": fields}


def nearest_float32(text):
    """The bits of the nearest number of single precision, ties to even, in exact arithmetic; none if beyond its range."""
    exact = fractions.Fraction(text)
    if exact == 0:
        return 0x8000_0000 if text.startswith("-") else 0
    magnitude = abs(exact)
    exponent = max(-126, magnitude.numerator.bit_length() - magnitude.denominator.bit_length())
    if exponent > -126 and fractions.Fraction(2) ** exponent > magnitude:
        exponent -= 1
    steps = round(magnitude / fractions.Fraction(2) ** (exponent - 23))  # ties to even
    bits = steps if exponent == -126 and steps < 1 << 23 else (exponent + 126 << 23) + steps
    if bits >= 0x7F80_0000:
        return None
    return bits | (0x8000_0000 if exact < 0 else 0)


def numbers(random_numbers):
    texts = ["0", "-0", "+.5", "5.", "1e0", "1E+2", "3.4028235e38", "3.4028236e38", "-3.4028235677973366e38", "1e39",
             "1.4e-45", "7.006492321624085e-46", "7.006492321624086e-46", "1e-46", "1.1754942807573643e-38",
             "16777217", "16777216.999999999", "16777217.000000001", "33554434", "33554435", "9007199791611905",
             "0.1", "123456789012345678901234567890", "0." + "0" * 300 + "1", "1" + "0" * 38, "1" + "0" * 39,
             "8.5899345910e9", "1." + "0" * 400 + "1", "1e-400", "1e400", "1e99999999999999999999",
             "000000000000000000000000000001.5", "1e000000000000000000001"]
    for _ in range(300):
        # Numbers half way between two of single precision, and their neighbours.
        bits = random_numbers.randrange(0x7F00_0000)
        low, high = (fractions.Fraction(float(numpy.uint32(bits + step).view("f4"))) for step in (0, 1))
        middle = (low + high) / 2
        if middle.denominator > 1 << 40 or middle > 10 ** 30:
            continue
        places = middle.denominator.bit_length() - 1
        digits = str(middle.numerator * 5 ** places)
        texts += [f"{digits}e-{places}", f"{digits}1e-{places + 1}", f"{int(digits) * 10 - 1}e-{places + 1}"]
    for _ in range(300):
        digits = "".join(random_numbers.choice("0123456789") for _ in range(random_numbers.randint(1, 25)))
        point = random_numbers.randint(0, len(digits))
        texts.append(f"{random_numbers.choice(['', '-', '+'])}{digits[:point]}.{digits[point:]}"
                     f"{random_numbers.choice(['', 'e', 'E-', 'e+'])}".rstrip("eE+-") + f"e{random_numbers.randint(-50, 40)}")
    for text in texts:
        exponent = text.lower().partition("e")[2]
        if exponent and abs(int(exponent)) > 10_000:
            yield {"text": text, "bits": None}
        else:
            yield {"text": text, "bits": nearest_float32(text.rstrip(".") if text.endswith(".") else text)}


def main():
    random_numbers = random.Random(0)
    many_names = names(random_numbers)
    result = {
        "arrays": list(arrays()),
        "refusedArrays": [{"name": name, "bytes": base64_of(data)} for name, data in refused_arrays().items()],
        "archives": list(checked_archives()),
        "refusedArchives": [{"name": name, "bytes": base64_of(data)} for name, data in refused_archives()],
        "names": [next(many_names) for _ in range(100)],
        "numbers": list(numbers(random_numbers)),
    }
    path = pathlib.Path(__file__).with_suffix(".json")
    path.write_text(json.dumps(result, indent=0, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    sys.exit(main())
