"""Audio stream to container and back: the one place where all parts meet.

Names are loaded when first used, so that `verify` and the light commands do not wait for torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hscodec.codec.batch import decode_batch as decode_batch
    from hscodec.codec.decoder import Decoder as Decoder
    from hscodec.codec.encoder import Encoder as Encoder
    from hscodec.codec.files import FileResult as FileResult
    from hscodec.codec.files import decode_file as decode_file
    from hscodec.codec.files import encode_file as encode_file
    from hscodec.codec.reader import Reader as Reader
    from hscodec.codec.verify import verify_file as verify_file

_HOMES = {
    "Decoder": "decoder",
    "Encoder": "encoder",
    "FileResult": "files",
    "Reader": "reader",
    "decode_batch": "batch",
    "decode_file": "files",
    "encode_file": "files",
    "verify_file": "verify",
}
__all__ = ["Decoder", "Encoder", "FileResult", "Reader", "decode_batch", "decode_file", "encode_file", "verify_file"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
