"""`hscodec fit`: networks are trained on one recording, which needs no pretrained model to be decoded."""

import contextlib
import time
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import click

from hscodec.cli import console, options, paths
from hscodec.cli.encode import SUFFIX
from hscodec.cli.imports import heavy_imports

KINDS = ("siren", "fmlp")
"""The values of `inr.mlp.MlpKind`, which is not imported for a page of help."""


@click.command(short_help="Train networks on one audio file.")
@options.in_and_out
@click.option("--network", type=click.Choice(KINDS), default=KINDS[0], show_default=True, help="Target network.")
@click.option(
    "--hidden-layers", type=click.IntRange(1, 32), default=4, show_default=True, help="Layers with a nonlinearity."
)
@click.option("--width", type=click.IntRange(1, 1024), default=32, show_default=True, help="Neurons of each of them.")
@click.option(
    "--omega-0",
    type=click.FloatRange(0, 1e6, min_open=True),
    show_default="1000 for each second of a segment",
    help="Factor in the first sine of a SIREN.",
)
@click.option(
    "--omega",
    type=click.FloatRange(0, 1e6, min_open=True),
    default=30.0,
    show_default=True,
    help="Factor in its other sines.",
)
@click.option(
    "--frequencies", type=click.IntRange(1, 24), default=10, show_default=True, help="Frequencies that an FMLP reads."
)
@click.option(
    "--segment-seconds",
    type=options.Time(),
    default="0.5",
    show_default=True,
    help="Each segment gets a network of its own; 0 makes one of the whole recording.",
)
@click.option(
    "--bits",
    type=click.IntRange(4, 16),
    default=8,
    show_default=True,
    help="Bits of a stored weight, before zstd; the first layer of a SIREN gets as many as its factor asks for.",
)
@click.option("--steps", type=click.IntRange(1), default=1000, show_default=True, help="Steps of gradient descent.")
@click.option(
    "--learning-rate",
    type=click.FloatRange(0, min_open=True),
    show_default="0.001 for a SIREN, 0.003 for an FMLP",
    help="Its peak; it falls to 0 along a cosine.",
)
def command(
    source: Path,
    target: Path | None,
    output: Path | None,
    *,
    network: str,
    hidden_layers: int,
    width: int,
    omega_0: float | None,
    omega: float,
    frequencies: int,
    segment_seconds: Fraction,
    bits: int,
    steps: int,
    learning_rate: float | None,
    device: str,
    force: bool,
    quiet: bool,
) -> None:
    """Train networks on the audio file IN and write them to OUT, by default IN with the suffix .hsnd.

    This is how implicit neural representations of sound began, and slow: up to a minute of work for a second of sound.
    The file holds whole networks, so decoding needs no pretrained model.
    """
    paths.check_source(source)
    target = paths.choose_target(source, target=target, output=output, suffix=SUFFIX)
    paths.check_target(source, target, force=force)

    with heavy_imports():
        from hscodec.audio.reader import AudioReader
        from hscodec.codec.fit import LEARNING_RATES, FitConfig, suggested_network
        from hscodec.codec.fit_file import fit_file

    started_s = time.monotonic()
    snr_db = 0.0
    with contextlib.ExitStack() as stack, console.showing_log(quiet=True):
        bar = stack.enter_context(console.Bar("fitting", quiet=quiet))
        audio = stack.enter_context(AudioReader(stack.enter_context(paths.readable(source, quiet=quiet))))
        suggested = suggested_network(network, segment_seconds or Fraction(audio.num_samples or 0, audio.sample_rate))
        shape = replace(
            suggested,
            hidden_layers=hidden_layers,
            width=width,
            num_frequencies=frequencies,
            omega_0=omega_0 or suggested.omega_0,
            omega=omega,
        )
        config = FitConfig(
            shape,
            segment_seconds=segment_seconds or None,
            steps=steps,
            learning_rate=learning_rate or LEARNING_RATES[network],
            bits=bits,
        )

        def report(done: int, total: int, mean_snr_db: float) -> None:
            nonlocal snr_db
            snr_db = mean_snr_db
            bar.update(done, total)

        result = fit_file(audio, paths.writable(target), config=config, device=device, overwrite=force, progress=report)
    if not quiet:
        console.say(
            f"{paths.target_label(target)}: {result.file_bytes:,} bytes, {result.kbps:.2f} kbit/s, "
            f"SNR of segments {snr_db:.1f} dB, {console.speed(result.seconds, time.monotonic() - started_s)}"
        )
