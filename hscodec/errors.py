"""The exceptions that hscodec raises on purpose; everything else is a bug."""


class HscodecError(Exception):
    """Base class: catch this to handle every failure that hscodec reports deliberately."""


class AudioError(HscodecError):
    """The audio input or output cannot be used: missing, unreadable, not finite, or out of range."""


class FormatError(HscodecError):
    """The bytes are not a valid `.hsnd` file, or are damaged."""


class ModelError(HscodecError):
    """A pretrained model is missing, damaged, or not the one that a file needs."""


class ConfigError(HscodecError):
    """A configuration file holds an unknown key, a wrong type, or a value out of range."""


class CorpusError(HscodecError):
    """Training or evaluation audio could not be fetched or prepared."""
