"""Just enough ELF (x86-64, System V ABI) to stand in for a shared library that is never really called."""

import struct
from collections.abc import Sequence

BUCKETS = 1021
RETURN_100 = b"\xb8\x64\x00\x00\x00\xc3"  # mov eax, 100; ret. 100 is CUDA_ERROR_NO_DEVICE

DT_NEEDED, DT_HASH, DT_STRTAB, DT_SYMTAB, DT_STRSZ, DT_SYMENT, DT_SONAME = 1, 4, 5, 6, 10, 11, 14
SHT_DYNSYM = 11


def undefined_symbols(library: bytes) -> set[str]:
    """Names that a shared library expects from others, versions left out."""
    section_table, _, _, _, _, entry_size, count = struct.unpack_from("<QIHHHHH", library, 0x28)
    headers = [struct.unpack_from("<IIQQQQIIQQ", library, section_table + i * entry_size) for i in range(count)]
    dynsym = next(header for header in headers if header[1] == SHT_DYNSYM)
    strings_at, strings_size = headers[dynsym[6]][4:6]
    strings = library[strings_at : strings_at + strings_size]
    symbols = struct.iter_unpack("<IBBHQQ", library[dynsym[4] : dynsym[4] + dynsym[5]])
    return {
        strings[name : strings.index(b"\0", name)].decode()
        for name, _info, _other, section, _value, _size in symbols
        if section == 0 and name
    }


def stand_in_library(soname: str, *, needed: str | None = None, symbols: Sequence[str] = ()) -> bytes:
    """Build a small shared library that the dynamic loader accepts under a name.

    Args:
        soname: the name that dependent libraries ask for, such as ``libnccl.so.2``.
        needed: another library that it pulls in.
        symbols: functions it defines; each returns 100.

    Returns:
        The bytes of the file: one loadable segment and a dynamic section.
    """
    names = bytearray(b"\0")

    def add_name(text: str) -> int:
        names.extend(text.encode() + b"\0")
        return len(names) - len(text) - 1

    soname_at = add_name(soname)
    needed_at = add_name(needed) if needed else None
    code_at = 64 + 2 * 56
    symbols_at = code_at + 8
    table = bytes(24) + b"".join(struct.pack("<IBBHQQ", add_name(s), 0x12, 0, 1, code_at, 6) for s in symbols)
    hash_at = symbols_at + len(table)
    hashes = _hash_table(symbols)
    names_at = hash_at + len(hashes)
    dynamic_at = -(-(names_at + len(names)) // 8) * 8
    entries = [(DT_SONAME, soname_at), (DT_HASH, hash_at), (DT_STRTAB, names_at), (DT_SYMTAB, symbols_at)]
    entries += [(DT_STRSZ, len(names)), (DT_SYMENT, 24)]
    entries += [] if needed_at is None else [(DT_NEEDED, needed_at)]
    dynamic = b"".join(struct.pack("<QQ", *entry) for entry in [*entries, (0, 0)])
    body = RETURN_100.ljust(8, b"\0") + table + hashes + names
    return _headers(dynamic_at, len(dynamic)) + body.ljust(dynamic_at - code_at, b"\0") + dynamic


def _headers(dynamic_at: int, dynamic_size: int) -> bytes:
    size = dynamic_at + dynamic_size
    identity = b"\x7fELF\x02\x01\x01" + bytes(9)
    file_header = struct.pack("<HHIQQQIHHHHHH", 3, 62, 1, 0, 64, 0, 0, 64, 56, 2, 0, 0, 0)
    # Read, write and execute in one segment: the loader writes into the dynamic section.
    load = struct.pack("<IIQQQQQQ", 1, 7, 0, 0, 0, size, size, 4096)
    dynamic = struct.pack("<IIQQQQQQ", 2, 6, dynamic_at, dynamic_at, dynamic_at, dynamic_size, dynamic_size, 8)
    return identity + file_header + load + dynamic


def _hash_table(symbols: Sequence[str]) -> bytes:
    buckets, chains = [0] * BUCKETS, [0] * (len(symbols) + 1)
    for index, symbol in enumerate(symbols, start=1):
        bucket = _system_v_hash(symbol) % BUCKETS
        chains[index], buckets[bucket] = buckets[bucket], index
    words = [BUCKETS, len(chains), *buckets, *chains]
    return struct.pack(f"<{len(words)}I", *words)


def _system_v_hash(name: str) -> int:
    value = 0
    for byte in name.encode():
        value = (value << 4) + byte
        high = value & 0xF0000000
        value = (value ^ (high >> 24)) & ~high & 0xFFFFFFFF
    return value
