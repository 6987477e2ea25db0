"""What the symbols of networks with hidden layers stand for: from a header, and its model, to target networks."""

from dataclasses import dataclass, replace

import torch

from hscodec.codec.shared_models import shared_model_by_id
from hscodec.container.codes import Storage, TargetNetwork
from hscodec.container.format import NO_MODEL, FileHeader
from hscodec.container.network import NetworkRecord
from hscodec.errors import ConfigError, FormatError, ModelError
from hscodec.hypernet.hypersound import HyperSound
from hscodec.inr.mlp import LayerShape, Mlp, MlpConfig, MlpKind, layer_shapes
from hscodec.inr.weight_modes import WeightMode
from hscodec.registry import AnyModel, HyperSoundModel


@dataclass(frozen=True)
class StoredNetwork:
    """A target network, and how stored numbers become its weights.

    Attributes:
        mlp: Evaluates target networks.
        group_lengths: Numbers of each group that shares a scale; together K of the file.
        model: The pretrained network that joins them with shared weights; None where the file stores all weights.
        storage: Whether they are weights or what the model's last layer makes weights of.
    """

    mlp: Mlp
    group_lengths: tuple[int, ...]
    model: HyperSound | None = None
    storage: Storage = Storage.WEIGHTS

    @property
    def num_stored(self) -> int:
        """K of the file: numbers of one segment."""
        return sum(self.group_lengths)

    def theta(self, stored: torch.Tensor) -> torch.Tensor:
        """Return the weights of target networks from stored numbers: [S, K of the file] to [S, K of the network]."""
        if self.model is None:
            return stored
        instance = self.model.generate(stored) if self.storage is Storage.BOTTLENECK else stored
        return self.model.theta(instance)


def stored_network(header: FileHeader, model: AnyModel | None, device: torch.device) -> StoredNetwork:
    """Return the network of a file, on `device`.

    Args:
        header: The file's header, with a network record.
        model: The model that it names; None finds it, if it names one.
        device: Where the network will run.

    Raises:
        FormatError: The file has no network record, or stores a bottleneck and names no model.
        ModelError: The model is not installed, or not the one that the file names.
    """
    record = header.network
    if record is None:
        raise FormatError("the file's target network has no hidden layers")
    if header.model_id == NO_MODEL:
        if record.storage is not Storage.WEIGHTS:
            raise FormatError("the file stores a bottleneck and names no model")
        found = network_of_record(header.target_network, record)
        return replace(found, mlp=found.mlp.to(device))
    model = model or shared_model_by_id(header.model_id)
    if header.model_id != model.model_id or not isinstance(model, HyperSoundModel):
        raise ModelError(f"the file was made with the model {header.model_id.hex()}, not {model.model_id.hex()}")
    network = model.network(device)
    check_record(record, header.target_network, network)
    return network_of_model(network, record.storage)


def network_of_record(target_network: TargetNetwork, record: NetworkRecord) -> StoredNetwork:
    """Return the network of a file that stores all of its weights."""
    config = config_of_record(target_network, record)
    return StoredNetwork(Mlp(config), weight_groups(layer_shapes(config)))


def network_of_model(model: HyperSound, storage: Storage) -> StoredNetwork:
    """Return the network of a file that was made with a pretrained model."""
    config = model.config
    stored_layers = [
        shape
        for shape, mode in zip(layer_shapes(config.target), config.layer_modes, strict=True)
        if mode != WeightMode.SHARED
    ]
    groups = (config.dense[-1],) if storage is Storage.BOTTLENECK else weight_groups(stored_layers)
    return StoredNetwork(model.mlp, groups, model, storage)


def check_record(record: NetworkRecord, target_network: TargetNetwork, model: HyperSound) -> None:
    """Refuse a file whose network is not that of the model which it names.

    Raises:
        ModelError: It is not.
    """
    if (target_network, record) != record_of_config(model.config.target, record.storage):
        raise ModelError("the file's target network is not the one of its model")


def weight_groups(shapes: "list[LayerShape] | tuple[LayerShape, ...]") -> tuple[int, ...]:
    """Return the lengths of matrix and biases of each layer, in the order of theta."""
    return tuple(length for shape in shapes for length in (shape.fan_in * shape.fan_out, shape.fan_out))


def config_of_record(target_network: TargetNetwork, record: NetworkRecord) -> MlpConfig:
    """Return the configuration that a network record describes.

    Raises:
        FormatError: Such a network is too large.
    """
    shape = record.hidden_layers, record.width
    try:
        if target_network is TargetNetwork.FMLP:
            return MlpConfig(MlpKind.FMLP.value, *shape, num_frequencies=record.num_frequencies)
        return MlpConfig(MlpKind.SIREN.value, *shape, omega_0=record.omega_0, omega=record.omega)
    except ConfigError as error:
        raise FormatError(f"network record: {error}") from error


def record_of_config(config: MlpConfig, storage: Storage = Storage.WEIGHTS) -> tuple[TargetNetwork, NetworkRecord]:
    """Return target network and network record of a configuration."""
    is_fmlp = config.kind == MlpKind.FMLP
    record = NetworkRecord(
        hidden_layers=config.hidden_layers,
        width=config.width,
        num_frequencies=config.num_frequencies if is_fmlp else 0,
        omega_0=0.0 if is_fmlp else config.omega_0,
        omega=0.0 if is_fmlp else config.omega,
        storage=storage,
    )
    return TargetNetwork.FMLP if is_fmlp else TargetNetwork.SIREN, record
