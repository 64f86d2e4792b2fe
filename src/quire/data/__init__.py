"""The data-set catalogue: what is known by name, where it comes from, and its records."""

from quire.data.catalogue import DataSet, available, details, entry, get, load, names, overview

__all__ = ["DataSet", "available", "details", "entry", "get", "load", "names", "overview"]
