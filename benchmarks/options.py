"""Command-line options that several scripts share."""

import click


class ListOf(click.ParamType):
    """A comma-separated list of words out of some, or of numbers, which are sorted.

    Args:
        words: The words to choose from, None for numbers.
    """

    def __init__(self, words: tuple[str, ...] | None = None) -> None:
        self.name = "list"
        self._words = words

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> object:
        """Return a tuple of the words, or of floats."""
        if isinstance(value, tuple):
            return value
        parts = [part.strip() for part in str(value).split(",") if part.strip()]
        if self._words is not None:
            if unknown := set(parts) - set(self._words):
                self.fail(f"unknown: {', '.join(sorted(unknown))}; there are {', '.join(self._words)}", param, ctx)
            return tuple(dict.fromkeys(parts))
        try:
            return tuple(sorted({float(part) for part in parts}))
        except ValueError:
            self.fail(f"{value!r} is not a list of numbers", param, ctx)
