"""What a file that ends in .npy may hold besides a plain array."""

from __future__ import annotations

import struct


def encode_npy(header: bytes, data: bytes = b"") -> bytes:
    padded = header + b" " * (-(len(header) + 11) % 64) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(padded)) + padded + data


BROKEN_ARRAYS: list[bytes] = [
    b"",
    b"\x93NUMPY",
    b"\x93NUMPY\x09\x00v\x00",
    b"PK\x03\x04",
    b"\x80\x04\x95\x05\x00\x00\x00\x00\x00\x00\x00\x8c\x01a\x94.",
    b"cos\nsystem\n(S'true'\ntR.",
    encode_npy(b"{'descr': '|O', 'fortran_order': False, 'shape': (2,), }", b"cos\nsystem\n"),
    encode_npy(b"{'descr': '<f4', 'fortran_order': False, 'shape': (2, 4), }"),
    encode_npy(b"{'descr': '<f4', 'fortran_order': False, 'shape': (10**12, 4), }"),
    encode_npy(b"{'descr': '<f4', 'fortran_order': False, 'shape': (1000000000000, 4), }"),
    encode_npy(b"{'descr': '<f4', 'fortran_order': False, 'shape': (-1, 4), }"),
    encode_npy(b"{'descr': '<f4', 'fortran_order': False, 'shape': (8,), }", b"\x00" * 32),
    encode_npy(b"{'descr': '<f4', 'fortran_order': False, 'shape': (2, 2, 2), }", b"\x00" * 32),
    encode_npy(b"{'descr': '<U4', 'fortran_order': False, 'shape': (2, 1), }", b"\x00" * 32),
    encode_npy(b"{'descr': '|b1', 'fortran_order': False, 'shape': (2, 4), }", b"\x00" * 8),
    encode_npy(b"{'descr': '<c8', 'fortran_order': False, 'shape': (2, 2), }", b"\x00" * 32),
    encode_npy(
        b"{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (2, 1), }", b"\x00" * 8
    ),
    encode_npy(b"{'descr': '<f4', 'fortran_order': False, 'shape': __import__('os').getpid(), }"),
    encode_npy(b"{'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }", b"\x00" * 48),
    encode_npy(b"{'descr': '<f4'"),
    encode_npy(b"[" * 3000),
]
