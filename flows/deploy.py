"""Deploy the flows to a running Prefect server: ``python flows/deploy.py``.

The server is the one that ``PREFECT_API_URL`` names. In a checkout ``prefect deploy --all`` does
the same from ``prefect.yaml``; an installed package has no such file at hand. Deployments run in
the directory that this command was started in.
"""

from __future__ import annotations

from flows import environment  # noqa: F401 - what Prefect reads when it is imported

# isort: split

import os
import subprocess
import sys
from pathlib import Path

from flows.command import one_message
from optimizer.core.artifacts import shipped
from optimizer.core.errors import ConfigError
from optimizer.delivery.console.output import echo


def main() -> None:
    """Hand ``prefect.yaml`` to Prefect's own command, here."""
    with one_message():
        if not os.environ.get("PREFECT_API_URL"):
            raise ConfigError(
                "PREFECT_API_URL",
                seen="not set",
                allowed="the address of a Prefect server, such as http://127.0.0.1:4200/api",
                fix="start one with `prefect server start` and export PREFECT_API_URL",
            )
        plan = shipped("prefect.yaml")
        program = Path(sys.executable).with_name("prefect")
        arguments = [str(program), "--no-prompt", "deploy", "--all", "--prefect-file", str(plan)]
        done = subprocess.run([*arguments, *sys.argv[1:]], check=False)  # noqa: S603 - our own
        if done.returncode:
            raise SystemExit(done.returncode)
        echo("", "next: prefect worker start --pool optimizer --type process")


if __name__ == "__main__":
    main()
