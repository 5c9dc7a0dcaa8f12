"""Python processes of their own, for tests of what a process loads or prints."""

import subprocess
import sys


def modules_after(statement: str) -> set[str]:
    """Modules that a fresh interpreter has loaded after `statement`."""
    result = subprocess.run(
        [sys.executable, "-c", f"import sys; {statement}; print('\\n'.join(sys.modules))"],
        capture_output=True,
        text=True,
        check=True,
    )
    return set(result.stdout.split())
