"""Compresses what comes on standard input with the machine's zlib, one case after the other, until there are no more.

A case is the level, the size of the pieces to feed (0: all at once) and the length of the input as three 32-bit numbers,
little-endian, then the input. The answer is the length of the raw deflate stream, the same way, then the stream.
Level 0 is the other way round: the input is a whole stream, the answer what it holds.
"""

import struct
import sys
import zlib

source, sink = sys.stdin.buffer, sys.stdout.buffer
while header := source.read(12):
    level, step, length = struct.unpack("<III", header)
    content = source.read(length)
    if level == 0:
        decoder = zlib.decompressobj(-15)
        unpacked = decoder.decompress(content)
        assert decoder.eof and not decoder.unused_data, "not a stream and nothing else"
        sink.write(struct.pack("<I", len(unpacked)) + unpacked)
        sink.flush()
        continue
    encoder = zlib.compressobj(level, zlib.DEFLATED, -15, 8, zlib.Z_DEFAULT_STRATEGY)
    step = step or length or 1
    packed = [encoder.compress(content[at : at + step]) for at in range(0, length, step)]
    packed = b"".join(packed) + encoder.flush(zlib.Z_FINISH)
    sink.write(struct.pack("<I", len(packed)) + packed)
    sink.flush()
