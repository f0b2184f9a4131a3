"""BLAKE2b (RFC 7693) of many messages, compiled; `hashing` says when it is used."""

from __future__ import annotations

import numba
import numpy as np

_IV = np.array(
    [
        0x6A09E667F3BCC908,
        0xBB67AE8584CAA73B,
        0x3C6EF372FE94F82B,
        0xA54FF53A5F1D36F1,
        0x510E527FADE682D1,
        0x9B05688C2B3E6C1F,
        0x1F83D9ABFB41BD6B,
        0x5BE0CD19137E2179,
    ],
    dtype=np.uint64,
)
"""The first 64 bits of the fractional parts of the square roots of the first eight primes."""

_SIGMA = np.array(
    [
        [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15],
        [14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3],
        [11, 8, 12, 0, 5, 2, 15, 13, 10, 14, 3, 6, 7, 1, 9, 4],
        [7, 9, 3, 1, 13, 12, 11, 14, 2, 6, 5, 10, 4, 0, 15, 8],
        [9, 0, 5, 7, 2, 4, 10, 15, 14, 1, 11, 12, 6, 8, 3, 13],
        [2, 12, 6, 10, 0, 11, 8, 3, 4, 13, 7, 5, 15, 14, 1, 9],
        [12, 5, 1, 15, 14, 13, 4, 10, 0, 7, 6, 3, 9, 2, 8, 11],
        [13, 11, 7, 14, 12, 1, 3, 9, 5, 0, 15, 4, 8, 6, 2, 10],
        [6, 15, 14, 9, 11, 3, 0, 8, 12, 2, 13, 7, 1, 4, 10, 5],
        [10, 2, 8, 4, 7, 6, 1, 5, 15, 11, 9, 14, 3, 12, 13, 0],
    ],
    dtype=np.int64,
)
"""Order of the message words in each round; rounds 10 and 11 repeat the first two."""

_ROUNDS, _WORDS, _BLOCK = 12, 16, 128
_LANES = np.array(
    [
        [0, 4, 8, 12],
        [1, 5, 9, 13],
        [2, 6, 10, 14],
        [3, 7, 11, 15],
        [0, 5, 10, 15],
        [1, 6, 11, 12],
        [2, 7, 8, 13],
        [3, 4, 9, 14],
    ],
    dtype=np.int64,
)
"""The words that each of the eight mixings of a round works on: columns, then diagonals."""


@numba.njit(cache=True, nogil=True, inline="always")
def _rotated(word, by):
    return (word >> np.uint64(by)) | (word << np.uint64(64 - by))


@numba.njit(cache=True, nogil=True)
def _compress(state, words, mixed, counted, last):
    """One application of the compression function F, in place."""
    for at in range(8):
        mixed[at] = state[at]
        mixed[at + 8] = _IV[at]
    mixed[12] ^= counted
    if last:
        mixed[14] = ~mixed[14]
    for turn in range(_ROUNDS):
        order = _SIGMA[turn % 10]
        for lane in range(8):
            i, j, k, m = _LANES[lane]
            a, b, c, d = mixed[i], mixed[j], mixed[k], mixed[m]
            a = a + b + words[order[2 * lane]]
            d = _rotated(d ^ a, 32)
            c = c + d
            b = _rotated(b ^ c, 24)
            a = a + b + words[order[2 * lane + 1]]
            d = _rotated(d ^ a, 16)
            c = c + d
            b = _rotated(b ^ c, 63)
            mixed[i], mixed[j], mixed[k], mixed[m] = a, b, c, d
    for at in range(8):
        state[at] ^= mixed[at] ^ mixed[at + 8]


@numba.njit(cache=True, nogil=True)
def compress_rows(prefix, rows, size):
    """(n, size) digests of `prefix` followed by each row; all uint8."""
    length = len(prefix) + rows.shape[1]
    blocks = max(1, -(-length // _BLOCK))
    out = np.empty((len(rows), size), dtype=np.uint8)
    message = np.zeros(blocks * _BLOCK, dtype=np.uint8)
    message[: len(prefix)] = prefix
    words, mixed = np.empty(_WORDS, np.uint64), np.empty(16, np.uint64)
    state = np.empty(8, np.uint64)
    for row in range(len(rows)):
        message[len(prefix) : length] = rows[row]
        state[:] = _IV
        state[0] ^= np.uint64(0x01010000 + size)
        for block in range(blocks):
            start = block * _BLOCK
            for word in range(_WORDS):
                value = np.uint64(0)
                for byte in range(8):
                    value |= np.uint64(message[start + 8 * word + byte]) << np.uint64(8 * byte)
                words[word] = value
            last = block == blocks - 1
            counted = np.uint64(length if last else start + _BLOCK)
            _compress(state, words, mixed, counted, last)
        for byte in range(size):
            out[row, byte] = (state[byte // 8] >> np.uint64(8 * (byte % 8))) & np.uint64(0xFF)
    return out
