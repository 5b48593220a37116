"""NumPy files from outside: one plain array, memory-mapped rather than read, never unpickled."""

from __future__ import annotations

from pathlib import Path
from tokenize import TokenError
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nudge_sync.errors import InputError

_MAGIC = b"\x93NUMPY"


def memory_map_npy(path: Path) -> NDArray[Any]:
    """Return the array of numbers in the `.npy` file at `path`, of any shape, memory-mapped.

    Raises InputError for everything else: archives, pickles, arrays of objects, truncated files.
    """
    try:
        with path.open("rb") as file:
            if file.read(len(_MAGIC)) != _MAGIC:
                raise InputError(f"{path}: not a .npy file")
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except (OSError, ValueError, EOFError, ArithmeticError) as error:
        raise InputError(f"{path}: not a plain NumPy array ({error})") from None
    except (TokenError, SyntaxError, TypeError, RecursionError, MemoryError):
        # What NumPy's parser of the header lets through.
        raise InputError(f"{path}: not a plain NumPy array (its header cannot be read)") from None
    if not isinstance(array, np.ndarray) or array.dtype.kind not in "fiu":
        raise InputError(f"{path}: expected one array of numbers")
    return array
