"""Other implementations' checkpoints into runs: one file a peer.

Each peer's file says which names its networks are known by (`MARKS`), what of the configuration is
the same in all of them (`NETWORK`), which preset its training follows (`PRESET`), what its files do
not say (`ASSUMED`), and how its names become ours. `reading` tells the peers apart; `importing`
joins the networks into a run.

Example:
    >>> list(PEERS)
    ['heykeetae', 'biggan', 'studiogan', 'mimicry', 'mmgen']
"""

from sagan.peers.importing import PEERS, Imported, import_run

__all__ = ["PEERS", "Imported", "import_run"]
