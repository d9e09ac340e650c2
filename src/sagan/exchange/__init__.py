"""Other implementations' checkpoints into runs: one file a peer.

Each peer's file says which names its networks are known by (`MARKS`), what of the configuration is
the same in all of them (`NETWORK`), and how its names become ours. `importing` does the rest.
"""

from sagan.exchange.importing import PEERS, Imported, import_run

__all__ = ["PEERS", "Imported", "import_run"]
