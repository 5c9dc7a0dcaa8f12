"""Lossless video coding of a volume, a slice a frame, by the program `ffmpeg`.

Voxels and bytes go through pipes, so that no files are left. Bytes are
those of the coded video in the plainest container that decodes by itself: the elementary streams
of H.264 and H.265 (Annex B, no container at all), and NUT for FFV1, which has no stream of its own
(some 40 bytes a frame). Seconds include starting the program, about a hundredth of one.
"""

from __future__ import annotations

import dataclasses
import functools
import shutil
import subprocess
from collections.abc import Sequence

import numpy as np

from jaxslice.bench.peer import Peer
from jaxslice.core.errors import MissingExtraError


@dataclasses.dataclass(frozen=True)
class VideoCodec:
    """One encoder of ffmpeg, with the settings that it is measured at.

    Attributes:
      name: as shown in tables.
      encoder: as `ffmpeg -encoders` lists it.
      settings: arguments of the encoder; `{depth}` stands for the number of frames.
      container: format that ffmpeg writes and reads.
    """

    name: str
    encoder: str
    settings: tuple[str, ...]
    container: str


_FFV1 = ("-level", "3", "-coder", "1", "-g", "{depth}", "-context")

VIDEO_CODECS = (
    # One group of frames: the statistics of a frame go on from those of the frame before. The
    # larger contexts pay on large volumes only, so both stand here.
    VideoCodec("FFV1", "ffv1", (*_FFV1, "1"), "nut"),
    VideoCodec("FFV1, context 0", "ffv1", (*_FFV1, "0"), "nut"),
    VideoCodec("x264 lossless", "libx264", ("-qp", "0", "-preset", "veryslow"), "h264"),
    VideoCodec(
        "x265 lossless",
        "libx265",
        (
            *("-preset", "veryslow", "-x265-params"),
            # `pools` and `frame-threads` are x265's threads. Weighted bi-prediction, which the
            # preset turns on, changes voxels of grey video in spite of `lossless`.
            "lossless=1:pools=none:frame-threads=1:weightb=0:log-level=error",
        ),
        "hevc",
    ),
)


def video(codec: VideoCodec) -> Peer:
    """A codec of ffmpeg as a peer.

    Raises:
      MissingExtraError: there is no ffmpeg, or none with the encoder.
    """
    programs = find_programs()
    if not programs:
        raise MissingExtraError("Needs the program ffmpeg: pip install 'jaxslice[peers]'.")
    encoders = find_encoders(programs)
    if codec.encoder not in encoders:
        raise MissingExtraError(f"Got {programs}, none with the encoder {codec.encoder}.")
    program = encoders[codec.encoder]
    return Peer(
        codec.name,
        functools.partial(encode_video, program, codec),
        functools.partial(decode_video, program, codec),
        whole_volume=True,
    )


def find_programs() -> list[str]:
    """The ffmpeg on PATH and the one in the package imageio-ffmpeg, if they exist."""
    found = shutil.which("ffmpeg")
    programs = [found] if found else []
    try:
        import imageio_ffmpeg

        programs.append(imageio_ffmpeg.get_ffmpeg_exe())
    except (ImportError, RuntimeError):  # no package; a package without a program
        pass
    return programs


def find_encoders(programs: Sequence[str]) -> dict[str, str]:
    """For every encoder that `VIDEO_CODECS` needs, the first of the programs that has it.

    Args:
      programs: paths of ffmpeg; one that does not run has no encoders.

    Returns:
      Path of the program by name of the encoder; no entry where no program has it.
    """
    needed = {codec.encoder for codec in VIDEO_CODECS}
    found: dict[str, str] = {}
    for program in programs:
        try:
            listed = run_program([program, "-hide_banner", "-encoders"], b"").decode(
                errors="replace"
            )
        except (OSError, RuntimeError):
            continue
        # A line is flags, name and description.
        names = {words[1] for line in listed.splitlines() if len(words := line.split()) > 1}
        for encoder in needed & names:
            found.setdefault(encoder, program)
    return found


def encode_video(program: str, codec: VideoCodec, volume: np.ndarray) -> bytes:
    """Encodes a volume as grey video on one thread.

    Args:
      program: path of an ffmpeg that has the encoder.
      codec: what to encode with.
      volume: uint8 [z,y,x].

    Returns:
      The coded video.

    Raises:
      RuntimeError: the encoder refused the volume; x265 wants 16 rows and columns or so.
    """
    depth, height, width = volume.shape
    settings = [argument.format(depth=depth) for argument in codec.settings]
    return run_program(
        [
            *_quiet(program),
            *("-f", "rawvideo", "-pix_fmt", "gray", "-s", f"{width}x{height}", "-i", "pipe:0"),
            *("-c:v", codec.encoder, *settings, "-pix_fmt", "gray", "-threads", "1"),
            *("-f", codec.container, "pipe:1"),
        ],
        np.ascontiguousarray(volume).tobytes(),
    )


def decode_video(program: str, codec: VideoCodec, data: bytes | bytearray) -> np.ndarray:
    """The inverse of `encode_video`, on one thread.

    Args:
      program: path of an ffmpeg.
      codec: what the video was encoded with.
      data: the coded video.

    Returns:
      uint8 [z*y*x], flat.

    Raises:
      RuntimeError: ffmpeg could not decode it.
    """
    voxels = run_program(
        [
            *_quiet(program),
            *("-f", codec.container, "-i", "pipe:0"),
            # Neither drops nor repeats frames: elementary streams hold no times.
            *("-fps_mode", "passthrough", "-pix_fmt", "gray", "-f", "rawvideo", "pipe:1"),
        ],
        data,
    )
    return np.frombuffer(voxels, np.uint8)


def _quiet(program: str) -> list[str]:
    return [program, "-hide_banner", "-loglevel", "error", "-threads", "1", "-filter_threads", "1"]


def run_program(command: list[str], data: bytes | bytearray) -> bytes:
    """What a program writes to its standard output.

    Args:
      command: the program and its arguments.
      data: what it finds on its standard input.

    Raises:
      RuntimeError: it failed; the message holds the first line of its complaint.
    """
    done = subprocess.run(command, input=data, capture_output=True, check=False)
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip().splitlines() or ["no message"]
        raise RuntimeError(
            f"Got exit code {done.returncode} of {command[0]}, expected 0: {said[0]}"
        )
    return done.stdout
