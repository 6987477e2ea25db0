"""Names of sample formats, as soundfile gives them, to the codes that the file header holds."""

from hscodec.container.codes import SampleFormat

_BY_SUBTYPE = {
    "PCM_S8": SampleFormat.PCM_8,
    "PCM_U8": SampleFormat.PCM_8,
    "PCM_16": SampleFormat.PCM_16,
    "PCM_24": SampleFormat.PCM_24,
    "PCM_32": SampleFormat.PCM_32,
    "ALAC_16": SampleFormat.PCM_16,
    "ALAC_20": SampleFormat.PCM_24,
    "ALAC_24": SampleFormat.PCM_24,
    "ALAC_32": SampleFormat.PCM_32,
    "FLOAT": SampleFormat.FLOAT,
    "DOUBLE": SampleFormat.DOUBLE,
}


def sample_format(subtype: str) -> SampleFormat:
    """Return the code of a subtype; everything that is neither integers nor floats is some lossy code."""
    return _BY_SUBTYPE.get(subtype, SampleFormat.LOSSY)
