"""Sections 2 and 3 of FORMAT.md: the order of coding, and the message."""

import numpy as np

from jaxslice.reference.checks import require
from jaxslice.reference.intervals import find_symbol, pop
from jaxslice.reference.linear import find_linear
from jaxslice.reference.prediction import Predictor, predict
from jaxslice.reference.sixteen import decode_wide


def pitch_of(width: int, predictor: Predictor) -> int:
    """The times from a slice to the next in chunks of a width (section 2)."""
    offsets, shear = predictor.context.tolist(), predictor.shear
    ahead = max(((dx + shear * dy) // -dz for dz, dy, dx in offsets if dz < 0), default=0)
    return max(width + max(abs(dx) for _, _, dx in offsets), ahead + 1)


def decode_message(
    message: bytes,
    extent: tuple[int, ...],
    width: int,
    counts: np.ndarray,
    most: int,
    predictor: Predictor,
    choices: np.ndarray,
) -> np.ndarray:
    """Decodes a message to symbols int64 [z, y, x].

    Args:
      message: bytes of the message.
      extent: voxels along z, y and x.
      width: of the chunk, in voxels.
      counts: levels [z] of each slice.
      most: words that the tail may have.
      predictor: the network, or the linear predictors.
      choices: linear predictor [z] of each slice.
    """
    num_z, num_y, num_x = extent
    size = len(message)
    require(size % 4 == 0 and size >= 8 * num_y, f"Got a message of {size} bytes, {num_y} lanes.")
    words = np.frombuffer(message, "<u4").astype(np.int64)
    upper, lower, tail = words[:num_y], words[num_y : 2 * num_y], words[2 * num_y :]
    require(len(tail) <= most, f"Got {len(tail)} words of a tail, expected at most {most}.")
    states = upper << 32 | lower  # 2**63 and more read as negative
    require(states.min() >= 2**31, "Got a state that is not within 2**31 .. 2**63 - 1.")
    offsets, shear = predictor.context, predictor.shear
    pitch = pitch_of(width, predictor)
    # A voxel that is outside reads -1; offsets reach 16 voxels at most, and never to a later slice.
    symbols = np.full((num_z + 16, num_y + 32, num_x + 32), -1, np.int64)
    lanes, taken = np.arange(num_y), 0
    for time in range((num_z - 1) * pitch + shear * (num_y - 1) + num_x):
        z, x = np.divmod(time - shear * lanes, pitch)
        y = np.flatnonzero((z >= 0) & (z < num_z) & (x < num_x))
        at = np.stack([z[y], y, x[y]]) + 16
        context = symbols[tuple(at[:, :, None] + offsets.T[:, None, :])]
        some, n = states[y], counts[z[y]]
        if predictor.linear:
            found = find_linear(
                some & (2**24 - 1), n, choices[z[y]], context, predictor.fallback, predictor.linear
            )
            symbols[tuple(at)], state = found[0], pop(some, *found[1:])
        elif predictor.voxel_bits == 16:
            symbols[tuple(at)], state = decode_wide(some, n, context, predictor)
        else:
            found = find_symbol(some & (2**24 - 1), n, predict(context, predictor))
            symbols[tuple(at)], state = found[0], pop(some, *found[1:])
        short = state < 2**31
        new_words = tail[taken : taken + short.sum()]
        require(len(new_words) == short.sum(), "Got a message that is too short.")
        taken += len(new_words)
        state[short] = state[short] << 32 | new_words
        states[y] = state
    ended = taken == len(tail) and (states == 2**31).all()
    require(ended, "Got a message that does not end where its voxels do.")
    return symbols[16:, 16:-16, 16:-16]
