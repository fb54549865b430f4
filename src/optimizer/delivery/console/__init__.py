"""What commands print."""

from optimizer.delivery.console.output import echo, show_table

__all__ = ["echo", "show_table"]
