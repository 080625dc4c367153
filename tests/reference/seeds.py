"""Reference numbers for src/seed.rs and src/weights/init.rs: seeds as BLAKE3 hashes, and the ChaCha8 stream of a seed.

BLAKE3 comes from its Python package. ChaCha8 is written out from RFC 8439 with 8 rounds, a 64-bit block counter and a
64-bit nonce of 0, as in D. J. Bernstein's original; a known block of ChaCha20 checks the rounds.

    pip install blake3==1.0.11
    python tests/reference/seeds.py
"""

import struct

from blake3 import blake3

MASK = 0xFFFFFFFF


def quarter(s, a, b, c, d):
    for x, y, z, turn in [(a, b, d, 16), (c, d, b, 12), (a, b, d, 8), (c, d, b, 7)]:
        s[x] = (s[x] + s[y]) & MASK
        s[z] ^= s[x]
        s[z] = ((s[z] << turn) | (s[z] >> (32 - turn))) & MASK


def block(key, tail, rounds):
    start = list(struct.unpack("<4I", b"expand 32-byte k")) + list(struct.unpack("<8I", key)) + tail
    s = start[:]
    for _ in range(rounds // 2):
        for i in range(4):
            quarter(s, i, 4 + i, 8 + i, 12 + i)
        for i in range(4):
            quarter(s, i, 4 + (i + 1) % 4, 8 + (i + 2) % 4, 12 + (i + 3) % 4)
    return [(a + b) & MASK for a, b in zip(s, start)]


def words(key, count):
    """The first 64-bit numbers of the stream."""
    stream = []
    for counter in range(count // 8 + 1):
        stream += block(key, [counter & MASK, counter >> 32, 0, 0], 8)
    return [stream[2 * i] | stream[2 * i + 1] << 32 for i in range(count)]


# RFC 8439, section 2.3.2.
rfc = block(bytes(range(32)), [1, 0x09000000, 0x4A000000, 0], 20)
assert rfc[:4] == [0xE4E7F110, 0x15593BD1, 0x1FDD0F50, 0xC47120A3], "ChaCha"


def seed(number):
    return blake3(struct.pack("<Q", number)).digest()


def child(parent, name):
    return blake3(name.encode(), key=parent).digest()


print("Seed::from(42)            ", seed(42).hex())
print('  .child("weights")       ', child(seed(42), "weights").hex())
print('  .nth("run", 7)          ', child(seed(42), "run/7").hex())
print('  .child("weights").rng() ', words(child(seed(42), "weights"), 3))
print("Seed::from(0)             ", seed(0).hex())

# Uniform draws in [-1, 1): the upper 53 of 64 bits.
uniform = [2 * ((word >> 11) / 2**53) - 1 for word in words(child(seed(42), "head.weight"), 4)]
print("uniform, head.weight      ", uniform)

# The initial weights of a linear layer of 2 inputs and 1 output in run 0, with InitScheme::Torch: U(-a, a), a = 1/sqrt(2).
run = child(seed(42), "run/0")
print("run 0                     ", run.hex())
bound = 1 / 2**0.5
for name, count in [("weight", 2), ("bias", 1)]:
    draws = [(word >> 11) / 2**53 for word in words(child(child(run, "init"), name), count)]
    print(f"run 0, {name:<18}", [-bound + 2 * bound * draw for draw in draws])
