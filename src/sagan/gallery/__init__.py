"""Trained networks that come with sagan, small enough to ship: `sagan gallery`."""

from sagan.gallery.contents import Shipped, shipped, unpack

__all__ = ["Shipped", "shipped", "unpack"]
