"""``optimizer <command> [overrides]``: the same as ``python flows/<command>.py [overrides]``."""

from __future__ import annotations

import ast
import importlib
import sys
from pathlib import Path

COMMANDS = ("train", "features", "backtest", "simulate", "recommend", "freshness", "deploy")
HELP = ("-h", "--help", "help")


def main() -> None:
    """Run the command that the first argument names."""
    name = sys.argv[1] if len(sys.argv) > 1 else HELP[0]
    if name in HELP:
        sys.stdout.write(overview())
        return
    if name not in COMMANDS:
        sys.stderr.write(
            f"error: optimizer {name}: got an unknown command. Allowed: {', '.join(COMMANDS)}. "
            "Fix: optimizer --help tells what each does.\n"
        )
        raise SystemExit(2)
    sys.argv = [f"optimizer {name}", *sys.argv[2:]]
    importlib.import_module(f"flows.{name}").main()


def overview() -> str:
    """Return what every command does, read off its module without importing it."""
    lines = ["optimizer <command> [overrides]", ""]
    for name in COMMANDS:
        source = Path(__file__).with_name(f"{name}.py").read_text()
        told = (ast.get_docstring(ast.parse(source)) or "").splitlines()[0]
        lines.append(f"  {name:<10} {told.split(': ``')[0].rstrip('.')}")
    lines += [
        "",
        "Overrides are Hydra's: optimizer train model=lstm imbalance=focal target.horizon=2h",
        "-m trains every combination of values; --cfg job prints the composed configuration;",
        "optimizer <command> --help lists the choices of every group.",
        "",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
