"""The three studies of `benchmarks/absa.md`: what is said of aspects, asked in pairs and pointed at. See `__main__`."""
