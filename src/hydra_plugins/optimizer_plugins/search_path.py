"""Adds the yamls of extensions to Hydra's search path.

Hydra imports this module at every start, so it imports next to nothing.
"""

from hydra.core.config_search_path import ConfigSearchPath
from hydra.plugins.search_path_plugin import SearchPathPlugin


class ExtensionsSearchPath(SearchPathPlugin):
    """Appends ``conf/`` of each directory that ``OPTIMIZER_EXTENSIONS`` names."""

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        """Append the directories in their order."""
        from optimizer.core.extensions import extension_dirs

        for directory in extension_dirs():
            search_path.append("optimizer-extension", f"file://{directory}/conf")
