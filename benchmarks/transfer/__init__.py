"""The five studies of `benchmarks/transfer.md`: ways to bring a pre-trained model to a task. See `__main__`."""
