"""Side-by-side measurements against other libraries: `python -m benchmarks`. See README.md for what they mean."""
