"""Fails when the tree breaks a rule of the house that a compiler does not see.

Run by tools/lint.sh and ctest. Prints each fault as path:line, so that an editor can jump to it.
"""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SOURCE = {".cc", ".h", ".py", ".sh", ".cu", ".js"}
FILE_LINES_MAX = 600
GENERATED = {"src/text/unicode_tables.cc"}
BANNED = [
    (re.compile(r"std::regex|\bstoi\(|\bstoul\(|\batoi\(|\bstrtoul\("), "use parse_number (base/number.h)"),
    (re.compile(r"-ffast-math|-march=native"), "answers must not depend on the build machine"),
    (re.compile(r"\b(TODO|FIXME|XXX)\b"), "real or absent: finish it or say so in an error"),
    (re.compile(r"EXPECT_TRUE\(true\)|^\s*assert True\s*$"), "a test that cannot fail"),
]


def tracked():
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return [ROOT / name for name in listed.stdout.splitlines() if (ROOT / name).is_file()]


def file_faults(path):
    name = str(path.relative_to(ROOT))
    if path.stat().st_size > 1_000_000:
        yield f"{name}:1: {path.stat().st_size} bytes; files over 1 MB are fetched, not committed"
    if path.suffix not in SOURCE or path == Path(__file__).resolve():
        return
    lines = path.read_text().splitlines()
    if len(lines) > FILE_LINES_MAX and name not in GENERATED:
        yield f"{name}:{FILE_LINES_MAX}: {len(lines)} lines; split it along its concepts"
    for number, line in enumerate(lines, 1):
        for pattern, why in BANNED:
            if pattern.search(line):
                yield f"{name}:{number}: {why}"


def map_faults():
    """Each layer has its line in the map."""
    map_text = (ROOT / "docs/ARCHITECTURE.md").read_text()
    for folder in sorted(p.name for p in (ROOT / "src").iterdir() if p.is_dir()):
        if f"`{folder}/`" not in map_text:
            yield f"docs/ARCHITECTURE.md:1: src/{folder}/ is not in the map"


def main():
    faults = [fault for path in tracked() for fault in file_faults(path)] + list(map_faults())
    print("\n".join(faults)) if faults else None
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
