"""Where a buffer lies in memory. The only place that looks behind Python's objects, and it only looks."""

from __future__ import annotations

import ctypes
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing_extensions import Buffer

_SIMPLE = 0


class _PyBuffer(ctypes.Structure):
    """CPython's Py_buffer; `obj` as a plain pointer, its reference is released together with the buffer."""

    _fields_ = [
        ("buf", ctypes.c_void_p),
        ("obj", ctypes.c_void_p),
        ("len", ctypes.c_ssize_t),
        ("itemsize", ctypes.c_ssize_t),
        ("readonly", ctypes.c_int),
        ("ndim", ctypes.c_int),
        ("format", ctypes.c_char_p),
        ("shape", ctypes.c_void_p),
        ("strides", ctypes.c_void_p),
        ("suboffsets", ctypes.c_void_p),
        ("internal", ctypes.c_void_p),
    ]


_get = ctypes.pythonapi.PyObject_GetBuffer
_get.argtypes = [ctypes.py_object, ctypes.POINTER(_PyBuffer), ctypes.c_int]
_release = ctypes.pythonapi.PyBuffer_Release
_release.argtypes = [ctypes.POINTER(_PyBuffer)]
_release.restype = None


def address_of(buffer: Buffer) -> tuple[int, int]:
    """Address and length in bytes. Raises BufferError if it does not lie in one piece, TypeError if it is no buffer."""
    found = _PyBuffer()
    _get(buffer, ctypes.byref(found), _SIMPLE)
    try:
        return found.buf or 0, found.len
    finally:
        _release(ctypes.byref(found))
