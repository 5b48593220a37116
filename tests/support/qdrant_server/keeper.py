"""A program that runs a server and kills it as soon as its own standard input ends.

So no server outlives the process that started it, however that one ended. It imports nothing of
this repository, and so starts at once.

    python keeper.py LOG COMMAND [ARGUMENT...]
"""

from __future__ import annotations

import select
import subprocess
import sys


def main() -> int:
    """Run the command until it ends or standard input does; return its exit code."""
    log_path, *command = sys.argv[1:]
    with open(log_path, "ab") as log:  # noqa: PTH123 - pathlib would double the start-up time
        server = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    try:
        while server.poll() is None:
            if select.select([sys.stdin], [], [], 0.2)[0] and not sys.stdin.read(1):
                break
    finally:
        server.kill()
        code = server.wait()
    return code


if __name__ == "__main__":
    sys.exit(main())
