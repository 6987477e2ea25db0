import struct

import pytest

from hscodec.container import ContainerReader, FileHeader
from hscodec.container.codes import Storage, TargetNetwork
from hscodec.container.network import NETWORK, NetworkRecord
from hscodec.errors import FormatError

FMLP = NetworkRecord(hidden_layers=5, width=90, num_frequencies=10)
SIREN = NetworkRecord(hidden_layers=3, width=256, omega_0=3000.1, omega=30.0, storage=Storage.BOTTLENECK)


def header(**changes):
    fields = {"target_network": TargetNetwork.FMLP, "network": FMLP, "tags": (("TITLE", "a"),)}
    about = {"sample_rate": 22_050, "num_channels": 1, "num_samples": 0, "num_weights": 34_741, "quality": 0}
    return FileHeader(**about | fields | changes)


@pytest.mark.parametrize("record", [FMLP, SIREN])
def test_a_record_comes_back(record):
    assert NetworkRecord.unpack(record.pack()) == record
    assert len(record.pack()) == NETWORK.size == 14


def test_omegas_are_singles():
    assert struct.pack("<f", SIREN.omega_0) == struct.pack("<f", 3000.1)
    assert SIREN.omega_0 != 3000.1


@pytest.mark.parametrize(("target_network", "record"), [(TargetNetwork.FMLP, FMLP), (TargetNetwork.SIREN, SIREN)])
def test_a_header_holds_it_behind_its_tags(target_network, record):
    written = header(target_network=target_network, network=record)
    assert FileHeader.unpack(written.pack()) == written
    assert written.pack()[-4 - NETWORK.size : -4] == record.pack()


@pytest.mark.parametrize(
    "changes",
    [
        {"hidden_layers": 0},
        {"hidden_layers": 33},
        {"width": 0},
        {"width": 1025},
        {"num_frequencies": 25},
        {"num_frequencies": 0},
        {"omega_0": 30.0},
        {"omega": 30.0},
        {"omega_0": float("nan"), "omega": 1.0},
        {"omega_0": -1.0, "omega": 1.0},
        {"omega_0": 1e7, "omega": 1.0},
        {"storage": 2},
    ],
)
def test_values_out_of_range_are_refused(changes):
    with pytest.raises(FormatError):
        NetworkRecord(**{"hidden_layers": 5, "width": 90, "num_frequencies": 10} | changes)


def test_the_reserved_byte_is_zero():
    with pytest.raises(FormatError, match="reserved"):
        NetworkRecord.unpack(FMLP.pack()[:-1] + b"\1")


@pytest.mark.parametrize(
    "changes",
    [
        {"network": None},
        {"network": SIREN},
        {"target_network": TargetNetwork.SIREN},
        {"target_network": TargetNetwork.LAPPED_SIREN},
    ],
)
def test_network_and_record_must_fit(changes):
    with pytest.raises(FormatError, match="network"):
        header(**changes)


def test_a_header_without_its_record_is_refused(tmp_path):
    import zlib

    whole = header().pack()
    short = bytearray(whole[: -4 - NETWORK.size])
    short[12:14] = (len(short) + 4).to_bytes(2, "little")
    with pytest.raises(FormatError, match="record is missing"):
        FileHeader.unpack(bytes(short) + zlib.crc32(short).to_bytes(4, "little"))


def test_a_file_is_read_back(tmp_path):
    from hscodec.container import ContainerWriter

    path = tmp_path / "a.hsnd"
    with path.open("wb") as file:
        ContainerWriter(file, header()).close()
    with path.open("rb") as file:
        assert ContainerReader(file).header == header()
