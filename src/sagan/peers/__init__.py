"""Imports other implementations' checkpoints as runs: one file per peer.

Each peer's file has the weight names that identify its networks (`MARKS`), the configuration common
to all of them (`NETWORK`), the preset its training follows (`PRESET`), what its files do not say
(`ASSUMED`), and how its names become ours. `residual` reads the blocks that four of them share,
`recognise` tells the peers apart, and `importing` joins the networks into a run.

Example:
    >>> list(PEERS)
    ['heykeetae', 'biggan', 'studiogan', 'mimicry', 'mmgen']
"""

from sagan.peers.importing import PEERS, Imported, import_run

__all__ = ["PEERS", "Imported", "import_run"]
