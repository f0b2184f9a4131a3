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
    dtype=np.uint64,
)
"""Order of the message words in each round; rounds 10 and 11 repeat the first two."""

_ROUNDS, _WORDS, _BLOCK = 12, 16, 128
_ABREAST = 16
"""Rows hashed at once: the innermost loop runs over them, in vector registers."""


@numba.njit(cache=True, nogil=True, inline="always")
def _rotated(word, by):
    return (word >> np.uint64(by)) | (word << np.uint64(64 - by))


@numba.njit(cache=True, nogil=True, inline="always")
def _mix(mixed, places, first, second):
    """The mixing function G on four words of every row abreast."""
    i, j, k, m = places
    for row in range(_ABREAST):
        a, b, c, d = mixed[i, row], mixed[j, row], mixed[k, row], mixed[m, row]
        a = a + b + first[row]
        d = _rotated(d ^ a, 32)
        c = c + d
        b = _rotated(b ^ c, 24)
        a = a + b + second[row]
        d = _rotated(d ^ a, 16)
        c = c + d
        b = _rotated(b ^ c, 63)
        mixed[i, row], mixed[j, row], mixed[k, row], mixed[m, row] = a, b, c, d


@numba.njit(cache=True, nogil=True)
def _compress(state, words, mixed, counted, last):
    """One application of the compression function F to every row abreast, in place."""
    for at in range(8):
        for row in range(_ABREAST):
            mixed[at, row] = state[at, row]
            mixed[at + 8, row] = _IV[at]
    for row in range(_ABREAST):
        mixed[12, row] ^= counted
        if last:
            mixed[14, row] = ~mixed[14, row]
    for turn in range(_ROUNDS):
        order = _SIGMA[turn % 10]
        # Columns, then diagonals; written out because fixed places let the compiler use vectors.
        _mix(mixed, (0, 4, 8, 12), words[order[0]], words[order[1]])
        _mix(mixed, (1, 5, 9, 13), words[order[2]], words[order[3]])
        _mix(mixed, (2, 6, 10, 14), words[order[4]], words[order[5]])
        _mix(mixed, (3, 7, 11, 15), words[order[6]], words[order[7]])
        _mix(mixed, (0, 5, 10, 15), words[order[8]], words[order[9]])
        _mix(mixed, (1, 6, 11, 12), words[order[10]], words[order[11]])
        _mix(mixed, (2, 7, 8, 13), words[order[12]], words[order[13]])
        _mix(mixed, (3, 4, 9, 14), words[order[14]], words[order[15]])
    for at in range(8):
        for row in range(_ABREAST):
            state[at, row] ^= mixed[at, row] ^ mixed[at + 8, row]


@numba.njit(cache=True, nogil=True)
def compress_rows(prefix, rows, size):
    """(n, size) digests of `prefix` followed by each row; all uint8. For little-endian machines."""
    length = len(prefix) + rows.shape[1]
    blocks = max(1, -(-length // _BLOCK))
    out = np.empty((len(rows), size), dtype=np.uint8)
    message = np.zeros(blocks * _BLOCK, dtype=np.uint8)
    message[: len(prefix)] = prefix
    words = np.empty((blocks * _WORDS, _ABREAST), np.uint64)
    mixed, state = np.empty((16, _ABREAST), np.uint64), np.empty((8, _ABREAST), np.uint64)
    for start in range(0, len(rows), _ABREAST):
        count = min(_ABREAST, len(rows) - start)
        for row in range(_ABREAST):  # the last few rows stand beside repetitions of the last one
            message[len(prefix) : length] = rows[start + min(row, count - 1)]
            words[:, row] = message.view(np.uint64)
            state[:, row] = _IV
            state[0, row] ^= np.uint64(0x01010000 + size)
        for block in range(blocks):
            last = block == blocks - 1
            counted = np.uint64(length if last else (block + 1) * _BLOCK)
            _compress(state, words[block * _WORDS : (block + 1) * _WORDS], mixed, counted, last)
        for row in range(count):
            for byte in range(size):
                word = state[byte // 8, row] >> np.uint64(8 * (byte % 8))
                out[start + row, byte] = word & np.uint64(0xFF)
    return out
