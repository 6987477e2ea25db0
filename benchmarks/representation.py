"""Stored weights as features: one linear classifier on what the codec stores, and on a mel spectrogram beside it.

The HyperSound paper proposes weights of implicit neural representations as representations of sound. Run
`python benchmarks/representation.py FOLDER...`, where each folder holds the recordings of one class.

Every recording gives one excerpt, and every excerpt one vector: mean and standard deviation over time of what a
representation says of each segment. A logistic regression on standardised features is trained and tested by
cross-validation over recordings.
"""

import json
import sys
from collections.abc import Callable
from pathlib import Path

import click
import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # to run from a checkout that is not installed

from benchmarks import provenance
from hscodec.audio.resample import resample
from hscodec.errors import CorpusError, HscodecError
from hscodec.hypernet.hypersound import HyperSound
from hscodec.inr.lapped import LappedSiren
from hscodec.model import Hypernetwork
from hscodec.rates import HOP_SECONDS
from hscodec.registry import DEFAULT_MODEL, HyperSoundModel, load_flagship, load_model
from hscodec.training import corpus_decode
from hscodec.training.losses import MelStft, StftResolution

SUFFIXES = (".wav", ".flac", ".ogg", ".opus", ".mp3", ".g722")
FLAGSHIP_RATE = 48_000
QUALITY = 5.0
NUM_BANDS = 64
FOLDS = 5
_PEAK = 0.9
_FLOOR = 1e-4

Features = Callable[[np.ndarray, int], np.ndarray]
"""From an excerpt [T] and its rate to features [D]."""


def over_time(values: torch.Tensor) -> np.ndarray:
    """Return mean and standard deviation over segments: [S, K] to [2 K]."""
    return torch.cat([values.mean(0), values.std(0, correction=0)]).double().numpy()


def hypersound_features(network: HyperSound, *, bottleneck: bool) -> Features:
    """Return what makes features of a HyperSound network's instance weights, or of their bottleneck."""
    config = network.config

    @torch.inference_mode()
    def features(samples: np.ndarray, sample_rate: int) -> np.ndarray:
        heard = torch.from_numpy(resample(samples[None], sample_rate, config.sample_rate)[0])
        segments = heard[: len(heard) // config.segment_samples * config.segment_samples]
        hidden = network.bottleneck(segments.reshape(-1, config.segment_samples))
        return over_time(hidden if bottleneck else network.generate(hidden))

    return features


def flagship_features(network: Hypernetwork, *, latent: bool) -> Features:
    """Return what makes features of the flagship's precision latent, or of its weights pooled over bands (log)."""

    @torch.inference_mode()
    def features(samples: np.ndarray, sample_rate: int) -> np.ndarray:
        heard = torch.from_numpy(resample(samples[None], sample_rate, FLAGSHIP_RATE))
        samples_per_hop = int(FLAGSHIP_RATE * HOP_SECONDS)
        hops = (heard.shape[1] // samples_per_hop - 1) // 2 * 2 + 1  # an even number of segments, one less
        theta = LappedSiren(network.config.num_weights).analyze(heard[:, : hops * samples_per_hop], samples_per_hop)
        if latent:
            return over_time(network.encode_latent(theta, torch.tensor([QUALITY]))[0].float())
        edges = np.unique(np.round(np.geomspace(1, network.config.num_weights, NUM_BANDS + 1)).astype(int))
        bands = [theta[0, :, low:high].square().mean(1).sqrt() for low, high in zip(edges[:-1], edges[1:], strict=True)]
        return over_time(torch.log(torch.stack(bands, 1) + _FLOOR))

    return features


def mel_features(samples: np.ndarray, sample_rate: int) -> np.ndarray:
    """Return features of a log-mel spectrogram with windows of 1,024 samples at 22,050 Hz."""
    heard = torch.from_numpy(resample(samples[None], sample_rate, 22_050))
    mel = MelStft(22_050, (StftResolution(1024, NUM_BANDS),)).mel_spectrogram(heard, 0)[0]
    return over_time(torch.log(mel.T + _FLOOR))


def excerpts(folder: Path, *, seconds: float, limit: int) -> list[tuple[np.ndarray, int]]:
    """Return the middle of up to `limit` recordings that are long enough, scaled to one peak, and their rates.

    Raises:
        CorpusError: There are fewer than one for each fold.
    """
    found: list[tuple[np.ndarray, int]] = []
    for path in sorted(path for path in folder.rglob("*") if path.suffix in SUFFIXES):
        recording = corpus_decode.probe(path)
        count = round(seconds * recording.sample_rate)
        start = (recording.num_samples - count) // 2
        if start < 0 or len(found) == limit:
            continue
        samples = corpus_decode.read(recording, start, start + count).mean(0)
        if (peak := float(np.abs(samples).max())) > 0:
            found.append((samples * np.float32(_PEAK / peak), recording.sample_rate))
    if len(found) < FOLDS:
        raise CorpusError(f"{folder} holds {len(found)} recordings of {seconds:g} s and more; {FOLDS} are needed")
    return found


def accuracy(features: np.ndarray, classes: np.ndarray) -> list[float]:
    """Return the share of excerpts that are told right in each fold.

    Shape:
        features: [N, D]
        classes: [N], int
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedKFold, cross_val_score
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    classifier = make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000))
    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=0)
    return [round(float(score), 4) for score in cross_val_score(classifier, features, classes, cv=folds)]


@click.command()
@click.argument("folders", nargs=-1, required=True, type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--hypersound", required=True, help="Model of the HyperSound family, by name or path.")
@click.option("--model", default=DEFAULT_MODEL, show_default=True, help="Model of the flagship family.")
@click.option("--seconds", type=click.FloatRange(min=0.1), default=0.5, show_default=True, help="Length of excerpts.")
@click.option("--per-class", type=click.IntRange(min=FOLDS), default=200, show_default=True, help="Recordings of each.")
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help="JSON file to write.")
def main(
    folders: tuple[Path, ...], hypersound: str, model: str, seconds: float, per_class: int, out: Path | None
) -> None:
    """Tell recordings of several FOLDERS apart by what the codec stores of them."""
    try:
        family, device = load_model(hypersound), torch.device("cpu")
        if not isinstance(family, HyperSoundModel):
            raise HscodecError(f"{hypersound} is not a model of the HyperSound family")
        generated, flagship = family.network(device), load_flagship(model).network(device)
        sounds = [excerpts(folder, seconds=seconds, limit=per_class) for folder in folders]
    except HscodecError as error:
        raise click.ClickException(str(error)) from error
    classes = np.repeat(np.arange(len(sounds)), [len(of_class) for of_class in sounds])
    ways: dict[str, Features] = {
        f"{family.name}: weights": hypersound_features(generated, bottleneck=False),
        f"{family.name}: bottleneck": hypersound_features(generated, bottleneck=True),
        f"{model}: precision latent": flagship_features(flagship, latent=True),
        f"{model}: pooled weights": flagship_features(flagship, latent=False),
        "mel spectrogram": mel_features,
    }
    rows = []
    for name, way in ways.items():
        features = np.stack([way(*sound) for of_class in sounds for sound in of_class])
        scores = accuracy(features, classes)
        rows.append({"features": name, "size": features.shape[1], "accuracy": scores})
        click.echo(f"{name} ({features.shape[1]} numbers): {100 * np.mean(scores):.1f} %")
    chance = round(float(np.bincount(classes).max() / len(classes)), 4)
    click.echo(f"always the most frequent of {len(sounds)} classes: {100 * chance:.1f} %")
    if out is not None:
        counts = {folder.name: len(of_class) for folder, of_class in zip(folders, sounds, strict=True)}
        options = {"seconds": seconds, "recordings": counts, "folds": FOLDS, "chance": chance}
        hashes = {"hypersound": family.sha256[:16]}
        content = {"schema": 1, "options": options, "provenance": provenance.collect(models=hashes), "rows": rows}
        out.write_text(json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    main()
