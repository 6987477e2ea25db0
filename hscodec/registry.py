"""Finding, checking and loading pretrained models.

A model is one safetensors file: network weights, the integer tables of `coding.fixedpoint`, and the configuration in
its metadata, so that one hash covers everything. A `.hsnd` file names its model by the first 16 bytes of that hash.

Models are looked for in this order: a path as given, the folders in $HSCODEC_MODELS, the checkout's `models/`, the
installed copy.
"""

import hashlib
import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hscodec.config import from_mapping
from hscodec.errors import ConfigError, ModelError
from hscodec.hypernet.config import HypernetworkConfig

if TYPE_CHECKING:  # torch is loaded only when a network is asked for, numpy only when a model is
    from typing import TypeVar

    import numpy as np
    import torch
    from torch import nn

    from hscodec.coding.fixedpoint import FixedPointTables
    from hscodec.coding.frequencies import FrequencyTables
    from hscodec.hypernet.hypersound import HyperSound
    from hscodec.model import Hypernetwork

    ModuleT = TypeVar("ModuleT", bound=nn.Module)

TUNED_MODELS = {"ear": "hsc-5", "fidelity": "hsc-4-fidelity"}
"""Models by what they are tuned for: what is heard, or the waveform."""
DEFAULT_MODEL = TUNED_MODELS["ear"]
MODEL_ID_BYTES = 16
TABLE_PREFIX = "fixed_point."
FREQUENCY_PREFIX = "frequency."
NETWORK_PREFIX = "network."
_BEFORE_THERE_WAS = {"level_ratio_above": 1.0}
"""What holds for models older than an entry of the configuration."""
MAX_MODEL_BYTES = 512 * 2**20
FAMILY = "hsc"
HYPERSOUND_FAMILY = "hypersound"


@dataclass(frozen=True)
class ManifestEntry:
    """One line of a `manifest.json`: what a model is called, its file and its hash, and what it is tuned for."""

    name: str
    file: str
    sha256: str
    family: str = FAMILY
    summary: str = ""
    tuned_for: str = "ear"

    def __post_init__(self) -> None:
        if not re.fullmatch("[0-9a-f]{64}", self.sha256):
            raise ConfigError(f"sha256 of {self.name!r} must be 64 lower-case hexadecimal digits")
        if self.tuned_for not in TUNED_MODELS:
            raise ConfigError(f"tuned_for of {self.name!r} must be one of {', '.join(TUNED_MODELS)}")

    @property
    def model_id(self) -> bytes:
        """The 16 bytes by which files name this model."""
        return bytes.fromhex(self.sha256)[:MODEL_ID_BYTES]


@dataclass(frozen=True, eq=False)
class _ModelFile:
    """What all model files have.

    Attributes:
        name: Name in the manifest, or the file's name.
        path: Where it was read from.
        sha256: Hash of the file, hexadecimal.
        arrays: Network weights by name.
    """

    name: str
    path: Path
    sha256: str
    arrays: "dict[str, np.ndarray]"

    @property
    def model_id(self) -> bytes:
        """The 16 bytes by which files name this model."""
        return bytes.fromhex(self.sha256)[:MODEL_ID_BYTES]

    def _load_into(self, network: "ModuleT") -> "ModuleT":
        """Return the network with the file's weights, in evaluation mode, on the CPU.

        Raises:
            ModelError: The weights are not those of such a network, or not finite.
        """
        import numpy as np
        import torch

        weights = {name: torch.from_numpy(array.astype(np.float32)) for name, array in self.arrays.items()}
        try:
            network.load_state_dict(weights, assign=True)
        except RuntimeError as error:
            raise ModelError(f"{self.path} does not fit its own configuration: {error}") from error
        if not all(bool(torch.isfinite(weight).all()) for weight in weights.values()):
            raise ModelError(f"{self.path} holds weights that are not finite")
        return network.eval().requires_grad_(False)


@dataclass(frozen=True, eq=False)
class HyperSoundModel(_ModelFile):
    """A loaded model file of the HyperSound family.

    Attributes:
        mapping: Configuration of the hypernetwork as plain values.
    """

    mapping: dict[str, Any]

    @cached_property
    def _networks(self) -> "dict[str, HyperSound]":
        return {}

    def network(self, device: "torch.device") -> "HyperSound":
        """Return the network on `device`, in evaluation mode; built once per device.

        Raises:
            ModelError: The configuration is not usable, or the weights are not those of such a network, or not finite.
        """
        import torch

        from hscodec.hypernet.hypersound import HyperSound, HyperSoundConfig

        key = str(device)
        if key not in self._networks:
            try:
                config = from_mapping(HyperSoundConfig, self.mapping, self.path.name)
                # Later versions may have other defaults.
                if json.loads(json.dumps(config.to_mapping())) != self.mapping:
                    raise ConfigError(f"{self.path.name}: the configuration is not complete")
            except ConfigError as error:
                raise ModelError(f"{self.path} is not a usable hscodec model: {error}") from error
            with torch.device("meta"):  # nothing is allocated for what the file only claims to hold
                network = HyperSound(config)
            self._networks[key] = self._load_into(network).to(device)
        return self._networks[key]


@dataclass(frozen=True, eq=False)
class Model(_ModelFile):
    """A loaded model file of the flagship family.

    Attributes:
        config: Shape of the hypernetwork.
        tables: Integers that bytes and symbols depend on.
        frequencies: Statistics of its symbols; models before hsc-4 have none.
        tuned_for: A key of `TUNED_MODELS`, which says how an encoder treats stereo.
    """

    config: HypernetworkConfig
    tables: "FixedPointTables"
    frequencies: "FrequencyTables | None"
    tuned_for: str = "ear"

    @cached_property
    def _networks(self) -> "dict[str, Hypernetwork]":
        return {}

    def network(self, device: "torch.device") -> "Hypernetwork":
        """Return the network on `device`, in evaluation mode; built once per device.

        Raises:
            ModelError: The weights are not those of a network of this shape, or not finite.
        """
        import torch

        from hscodec.model import Hypernetwork

        key = str(device)
        if key not in self._networks:
            with torch.device("meta"):  # nothing is allocated for what the file only claims to hold
                network = Hypernetwork(self.config)
            self._networks[key] = self._load_into(network).to(device)
        return self._networks[key]


AnyModel = Model | HyperSoundModel


def load_model(name: str | Path = DEFAULT_MODEL) -> AnyModel:
    """Load a model by name or by path.

    Raises:
        ModelError: There is no such model, its hash is not the manifest's, or the file is damaged.
    """
    path = Path(name)
    if path.suffix == ".safetensors" or path.exists() and path.is_file():
        return read_model_file(path, path.stem)
    known = []
    for folder, entry in _entries():
        known.append(entry.name)
        if entry.name == str(name):
            return _load_entry(folder, entry)
    raise ModelError(f"no model called {str(name)!r}; known: {', '.join(sorted(set(known))) or 'none'}")


def load_flagship(name: str | Path = DEFAULT_MODEL) -> Model:
    """Load a model of the flagship family by name or by path.

    Raises:
        ModelError: As `load_model`, or the model is of another family.
    """
    model = load_model(name)
    if not isinstance(model, Model):
        raise ModelError(f"{model.path} is not a model of the family {FAMILY!r}")
    return model


def load_model_by_id(model_id: bytes) -> AnyModel:
    """Load the model that a `.hsnd` file names.

    Raises:
        ModelError: No known model has that id.
    """
    for folder, entry in _entries():
        if entry.model_id == model_id:
            return _load_entry(folder, entry)
    raise ModelError(
        f"the file needs the model with id {model_id.hex()}, which is not installed; "
        "put it in a folder named by $HSCODEC_MODELS"
    )


def model_name_by_id(model_id: bytes) -> str | None:
    """Return the name of the model with that id, or None; reads manifests only."""
    for _, entry in _entries():
        if entry.model_id == model_id:
            return entry.name
    return None


def model_id_by_name(name: str) -> bytes | None:
    """Return the id of the model with that name, or None; reads manifests only."""
    for _, entry in _entries():
        if entry.name == name:
            return entry.model_id
    return None


def read_model_file(path: Path, name: str) -> AnyModel:
    """Read a safetensors model file.

    Raises:
        ModelError: The file is missing, damaged, too large, or not a model of a known family.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load as load_arrays

    content = _read(path)
    try:
        arrays = load_arrays(content)
        metadata = _metadata(content)
        family = metadata.get("family")
        values = json.loads(metadata["hypernetwork"])
        config = _config(values, path.name) if family == FAMILY else None
    except (SafetensorError, LookupError, TypeError, ValueError, RecursionError, ConfigError) as error:
        raise ModelError(f"{path} is not a usable hscodec model: {error}") from error
    weights = {key.removeprefix(NETWORK_PREFIX): a for key, a in arrays.items() if key.startswith(NETWORK_PREFIX)}
    about = {"name": name, "path": path, "sha256": hashlib.sha256(content).hexdigest(), "arrays": weights}
    if config:
        return Model(
            **about,
            config=config,
            tables=_tables(arrays, config, path),
            frequencies=_frequencies(arrays, config, path),
        )
    if family == HYPERSOUND_FAMILY and isinstance(values, dict):
        return HyperSoundModel(**about, mapping=values)
    raise ModelError(f"{path} is of the family {family!r}, which this version does not know")


def model_folders() -> Iterator[Path]:
    """Yield the folders that may hold a `manifest.json`, best first."""
    for folder in os.environ.get("HSCODEC_MODELS", "").split(os.pathsep):
        if folder:
            yield Path(folder)
    package = Path(__file__).resolve().parent
    if (package.parent / "pyproject.toml").is_file():  # a checkout; beside an installed package stand other packages
        yield package.parent / "models"
    yield package / "_models"


def _read(path: Path) -> bytes:
    try:
        if path.stat().st_size > MAX_MODEL_BYTES:
            raise ModelError(f"{path} is larger than {MAX_MODEL_BYTES >> 20} MiB, which no model is")
        return path.read_bytes()
    except OSError as error:
        raise ModelError(f"cannot read the model {path}: {error.strerror}") from error


def _entries() -> Iterator[tuple[Path, ManifestEntry]]:
    for folder in model_folders():
        manifest = folder / "manifest.json"
        if not manifest.is_file():
            continue
        try:
            entries: list[dict[str, Any]] = json.loads(manifest.read_text(encoding="utf-8"))["models"]
            for entry in entries:
                yield folder, from_mapping(ManifestEntry, entry, str(manifest))
        except (OSError, ValueError, KeyError, TypeError, RecursionError, ConfigError) as error:
            raise ModelError(f"{manifest} is not a usable manifest: {error}") from error


def _load_entry(folder: Path, entry: ManifestEntry) -> AnyModel:
    model = read_model_file(folder / entry.file, entry.name)
    if model.sha256 != entry.sha256:
        raise ModelError(f"{model.path} is damaged: its sha256 is not the one in the manifest")
    return replace(model, tuned_for=entry.tuned_for) if isinstance(model, Model) else model


def _config(values: dict[str, Any], name: str) -> HypernetworkConfig:
    """Return the configuration of a model. It must be complete: later versions may have other defaults."""
    if isinstance(values, dict):
        values = _BEFORE_THERE_WAS | values
        if missing := {field.name for field in fields(HypernetworkConfig)} - values.keys():
            raise ConfigError(f"{name}: hypernetwork.{min(missing)} is missing")
    return from_mapping(HypernetworkConfig, values, name)


def _metadata(content: bytes) -> dict[str, str]:
    """Return the metadata of a safetensors file that has been checked by loading it."""
    header_bytes = int.from_bytes(content[:8], "little")
    return json.loads(content[8 : 8 + header_bytes])["__metadata__"]


def _tables(arrays: "dict[str, np.ndarray]", config: HypernetworkConfig, path: Path) -> "FixedPointTables":
    from hscodec.coding.fixedpoint import FixedPointTables

    try:
        tables = FixedPointTables(
            **{field.name: arrays[TABLE_PREFIX + field.name] for field in fields(FixedPointTables)}
        )
    except KeyError as error:
        raise ModelError(f"{path} lacks the table {error}") from error
    except ModelError as error:
        raise ModelError(f"{path}: {error}") from error
    if (tables.latent_channels, tables.num_weights) != (config.latent_channels, config.num_weights):
        raise ModelError(f"{path}: its fixed-point tables do not fit its own configuration")
    return tables


def _frequencies(arrays: "dict[str, np.ndarray]", config: HypernetworkConfig, path: Path) -> "FrequencyTables | None":
    from hscodec.coding.frequencies import TABLE_NAMES, FrequencyTables

    found = {name: arrays[FREQUENCY_PREFIX + name] for name in TABLE_NAMES if FREQUENCY_PREFIX + name in arrays}
    if not found:
        return None
    if missing := set(TABLE_NAMES) - found.keys():
        raise ModelError(f"{path} lacks the frequency table {min(missing)!r}")
    try:
        frequencies = FrequencyTables(**found)
    except ModelError as error:
        raise ModelError(f"{path}: {error}") from error
    if frequencies.latent_channels != config.latent_channels:
        raise ModelError(f"{path}: its frequency tables do not fit its own configuration")
    return frequencies
