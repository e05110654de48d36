"""Model download: fills a folder with the files of a model, once, and says in one sentence how that went."""

__version__ = "0.1.0"
