"""Types what a page says into a shell, beside a fresh service."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from service import ProcessService

UNLIMITED = {
    "TICKETS_RATE_LIMIT_SESSION": "1000/second",
    "TICKETS_RATE_LIMIT_ACCOUNT": "1000/second",
    "TICKETS_RATE_LIMIT_ORGANIZATION": "1000/second",
    "TICKETS_RATE_LIMIT_AUTH": "1000/second",
}


def walk(text: str, folder: Path) -> str:
    """Run all blocks of bash in a text, one after another, in a folder with demo data under ``var``.

    Returns:
        What it prints.
    """
    var_dir = folder / "var"
    var_dir.mkdir()
    service = ProcessService(var_dir, env=UNLIMITED)
    try:
        subprocess.run([sys.executable, "-m", "tickets", "demo"], env=service.env, check=True, capture_output=True)
        script = "\n".join(re.findall(r"```bash\n(.*?)```", text, re.DOTALL)).replace(":8080/", f":{service.port}/")
        return subprocess.run(
            [shutil.which("bash") or "bash", "-euo", "pipefail", "-c", script.replace("\ncurl", "\necho; curl")],
            cwd=folder,
            env=os.environ,
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        ).stdout
    finally:
        service.stop()


def answers(printed: str) -> list[dict[str, Any]]:
    """Read the JSON objects that were printed, one a line."""
    return [json.loads(line) for line in printed.splitlines() if line.startswith("{")]
