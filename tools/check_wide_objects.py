"""Fails when an object compiled with wide instructions holds a weak symbol.

A weak symbol is an inline function that the linker keeps once: kept from such an object, it would
run AVX instructions on processors that lack them.

Usage: check_wide_objects.py NM ARCHIVE SOURCE...
"""

import subprocess
import sys
from pathlib import Path


def main(nm: str, archive: str, sources: list[str]) -> int:
    out = subprocess.run([nm, "-C", archive], capture_output=True, text=True, check=True).stdout
    members = {block.split(":\n", 1)[0].strip(): block for block in out.split("\n\n") if ":\n" in block}
    faults = 0
    for source in sources:
        found = [block for name, block in members.items() if name.startswith(Path(source).name + ".")]
        if len(found) != 1:
            raise SystemExit(f"{archive}: {len(found)} members for {source}")
        for line in found[0].splitlines():
            fields = line.split(maxsplit=2)
            # Defined symbols have an address first; W, V and u are the weak and unique kinds.
            # DW.ref.* is a pointer to an exception handler's name: data, no instructions.
            if len(fields) == 3 and fields[2].startswith("DW.ref."):
                continue
            if len(fields) == 3 and fields[1] in {"W", "w", "V", "v", "u"}:
                print(f"{source}: weak symbol {fields[2]}")
                faults += 1
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2], sys.argv[3:]))
