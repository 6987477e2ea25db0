"""Models that stay loaded: a process that encodes or opens a thousand files reads and checks each model file once.

Nobody trains a shared model, so all may use the same networks. torch is not needed.
"""

from pathlib import Path

from hscodec.registry import DEFAULT_MODEL, AnyModel, load_model, load_model_by_id, model_id_by_name, model_name_by_id

_by_id: dict[bytes, AnyModel] = {}
"""An id is the hash of a whole model file, so what was loaded under it stays right whatever becomes of the file."""
_by_file: dict[tuple[Path, int, int], AnyModel] = {}
"""By path, time of the last change, and size."""


def shared_model_by_id(model_id: bytes) -> AnyModel:
    """Return the model that a `.hsnd` file names; its file is read at the first call only, manifests at each.

    Raises:
        ModelError: No known model has that id, or its file is damaged.
    """
    # A model that is installed no more, or not where $HSCODEC_MODELS now points, is not there.
    if model_id not in _by_id or model_name_by_id(model_id) is None:
        _by_id[model_id] = load_model_by_id(model_id)
    return _by_id[model_id]


def shared_model(name: str | Path = DEFAULT_MODEL) -> AnyModel:
    """Return a model by name or by path; its file is read at the first call, and again if it has changed.

    Raises:
        ModelError: There is no such model, its hash is not the manifest's, or the file is damaged.
    """
    path = Path(name)
    if path.is_file():
        about = path.stat()
        key = (path.resolve(), about.st_mtime_ns, about.st_size)
        if key not in _by_file:
            _by_file[key] = load_model(path)
        return _by_file[key]
    model_id = model_id_by_name(str(name))
    return load_model(name) if model_id is None else shared_model_by_id(model_id)
