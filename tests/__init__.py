"""The tests mirror the package; what checks the whole of it stands at this level."""
