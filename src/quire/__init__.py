"""Quire: pre-trained language models as parts, and an honest comparison of them on your own text."""
