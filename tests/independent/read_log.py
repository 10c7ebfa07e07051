#!/usr/bin/env python3
"""Reads a repository's logs, proofs and patch notes with nothing of the project's own code.

Written from the public documents alone: C2SP signed-note, tlog-checkpoint, tlog-tiles,
tlog-cosignature and tlog-proof; RFC 8032 (Ed25519); RFC 6962 (Merkle trees). The one thing that is
the project's own is the countersignature, written from SPEC section 3.1. It needs Python 3.9 and
its standard library, so that anybody can check a repository with a program that shares nothing
with the one that made it.

    read_log.py log LOCATION FOLDER --key VKEY [--cosigner VKEY ...]
    read_log.py proof FILE --patch-note FILE --key VKEY [--cosigner VKEY ...]
    read_log.py patch-note FILE --collection VKEY --distribution VKEY
    read_log.py self-test

LOCATION is a directory or an http:// URL; FOLDER is `collection` or `distribution`. Prints one JSON
document and ends with 0 if everything verifies, with 1 and the reason on standard error if not.
"""

import argparse
import base64
import binascii
import hashlib
import json
import os
import sys
import urllib.error
import urllib.request

MAX_FILE = 64 * 1024 * 1024
EM_DASH = "\u2014"


class Refused(Exception):
    """What is wrong with what was read."""


def require(condition, reason):
    if not condition:
        raise Refused(reason)


# --- RFC 8032, section 5.1: Ed25519 ---------------------------------------------------------------

P = 2**255 - 19
ORDER = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, P - 2, P) % P
ROOT_OF_MINUS_ONE = pow(2, (P - 1) // 4, P)


def recover_x(y, sign):
    """Section 5.1.3, steps 2 to 4."""
    if y >= P:
        return None
    square = (y * y - 1) * pow(D * y * y + 1, P - 2, P) % P
    if square == 0:
        return None if sign else 0
    x = pow(square, (P + 3) // 8, P)
    if (x * x - square) % P != 0:
        x = x * ROOT_OF_MINUS_ONE % P
    if (x * x - square) % P != 0:
        return None
    return P - x if x & 1 != sign else x


def decode_point(data):
    """A point in extended coordinates (X, Y, Z, T), or None."""
    y = int.from_bytes(data, "little")
    sign, y = y >> 255, y & (2**255 - 1)
    x = recover_x(y, sign)
    return None if x is None else (x, y, 1, x * y % P)


def add(p, q):
    """Section 5.1.4."""
    a = (p[1] - p[0]) * (q[1] - q[0]) % P
    b = (p[1] + p[0]) * (q[1] + q[0]) % P
    c = 2 * p[3] * q[3] * D % P
    d = 2 * p[2] * q[2] % P
    e, f, g, h = b - a, d - c, d + c, b + a
    return (e * f % P, g * h % P, f * g % P, e * h % P)


def multiply(scalar, point):
    result = (0, 1, 1, 0)
    while scalar > 0:
        if scalar & 1:
            result = add(result, point)
        point = add(point, point)
        scalar >>= 1
    return result


def same_point(p, q):
    return (p[0] * q[2] - q[0] * p[2]) % P == 0 and (p[1] * q[2] - q[1] * p[2]) % P == 0


BASE_Y = 4 * pow(5, P - 2, P) % P
BASE_X = recover_x(BASE_Y, 0)
BASE = (BASE_X, BASE_Y, 1, BASE_X * BASE_Y % P)


def ed25519_verifies(public_key, message, signature):
    """Section 5.1.7."""
    if len(public_key) != 32 or len(signature) != 64:
        return False
    a, r = decode_point(public_key), decode_point(signature[:32])
    s = int.from_bytes(signature[32:], "little")
    if a is None or r is None or s >= ORDER:
        return False
    digest = hashlib.sha512(signature[:32] + public_key + message).digest()
    k = int.from_bytes(digest, "little") % ORDER
    return same_point(multiply(s, BASE), add(r, multiply(k, a)))


# --- RFC 6962, section 2.1: Merkle trees ----------------------------------------------------------


def leaf_hash(entry):
    return hashlib.sha256(b"\x00" + entry).digest()


def node_hash(left, right):
    return hashlib.sha256(b"\x01" + left + right).digest()


def split(count):
    """The largest power of two smaller than count."""
    return 1 << (count - 1).bit_length() - 1


def root_from_proof(leaf, index, size, hashes):
    """The root that an inclusion proof leads to (the recursion of section 2.1.1, read backwards)."""
    if size == 1:
        require(not hashes, "inclusion proof is too long")
        return leaf
    require(hashes, "inclusion proof is too short")
    left = split(size)
    if index < left:
        return node_hash(root_from_proof(leaf, index, left, hashes[:-1]), hashes[-1])
    return node_hash(hashes[-1], root_from_proof(leaf, index - left, size - left, hashes[:-1]))


# --- C2SP signed-note -----------------------------------------------------------------------------

NOTE, COSIGNATURE, COUNTERSIGNATURE = b"\x01", b"\x04", b"\xffcountersign/v1\n"


def base64_decode(text, what):
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise Refused(f"{what} is not base64: {text!r}") from error
    require(base64.b64encode(data).decode() == text, f"{what} is not canonical base64: {text!r}")
    return data


class Key:
    """A verifier key: NAME+ID+BASE64, the ID and the bytes being of the type in its first byte."""

    def __init__(self, vkey):
        parts = vkey.split("+", 2)
        require(len(parts) == 3, f"not a verifier key: {vkey!r}")
        self.name = parts[0]
        data = base64_decode(parts[2], "verifier key")
        require(len(data) == 33 and data[:1] in (NOTE, COSIGNATURE), f"unknown key type: {vkey!r}")
        self.public = data[1:]
        require(self.id(data[:1]).hex() == parts[1], f"key ID does not fit the key: {vkey!r}")

    def id(self, kind):
        material = self.name.encode() + b"\n" + kind + self.public
        return hashlib.sha256(material).digest()[:4]


class Note:
    """Text and signature lines."""

    def __init__(self, data):
        try:
            whole = data.decode("utf-8")
        except UnicodeDecodeError as error:
            raise Refused("note is not UTF-8") from error
        require(all(c >= " " or c == "\n" for c in whole), "note has control characters")
        at = whole.rfind("\n\n")
        require(at >= 0 and whole.endswith("\n"), "note has no signatures")
        self.text = whole[: at + 1]
        # `printed` is the line as it stands, which a countersignature covers
        self.lines = [self.parse(line) for line in whole[at + 2 : -1].split("\n")]

    @staticmethod
    def parse(line):
        parts = line.split(" ")
        require(len(parts) == 3 and parts[0] == EM_DASH and parts[1], f"bad signature line: {line!r}")
        data = base64_decode(parts[2], "signature")
        require(len(data) > 4, f"bad signature line: {line!r}")
        return {"name": parts[1], "id": data[:4], "body": data[4:], "printed": line + "\n"}

    def of(self, key, kind):
        """The lines that name this key, as signatures of this kind."""
        return [x for x in self.lines if x["name"] == key.name and x["id"] == key.id(kind)]

    def check(self, key, kind, message):
        """Each line of the key must verify, and there must be one. `message` is made from a line's
        body, and returns the signature along with what it signs."""
        lines = self.of(key, kind)
        require(lines, f"no signature of {key.name} (key ID {key.id(kind).hex()})")
        for line in lines:
            signed, signature = message(line["body"])
            verifies = ed25519_verifies(key.public, signed, signature)
            require(verifies, f"signature of {key.name} (key ID {key.id(kind).hex()}) is wrong")
        return lines

    def check_plain(self, key):
        return self.check(key, NOTE, lambda body: (self.text.encode(), body))


# --- C2SP tlog-checkpoint and tlog-cosignature ----------------------------------------------------


def decimal(text, what):
    require(text.isascii() and text.isdecimal(), f"{what} is not a number: {text!r}")
    require(text == str(int(text)), f"{what} has leading zeros: {text!r}")
    return int(text)


class Checkpoint:
    """A log's head whose log signature verified."""

    def __init__(self, data, key):
        self.note = Note(data)
        lines = self.note.text[:-1].split("\n")
        require(len(lines) >= 3 and all(lines), "checkpoint is not three non-empty lines or more")
        self.origin = lines[0]
        self.size = decimal(lines[1], "tree size")
        self.root = base64_decode(lines[2], "root hash")
        require(len(self.root) == 32, "root hash is not 32 bytes")
        require(self.origin == key.name, f"origin is {self.origin}, expected {key.name}")
        self.note.check_plain(key)

    def cosignature(self, key):
        """The newest time at which the key cosigned this head."""

        def message(body):
            require(len(body) == 72, f"cosignature of {key.name} is not 72 bytes")
            time = int.from_bytes(body[:8], "big")
            require(time < 2**63, f"cosignature of {key.name} has a time beyond 2^63-1")
            return (f"cosignature/v1\ntime {time}\n{self.note.text}".encode(), body[8:])

        lines = self.note.check(key, COSIGNATURE, message)
        return max(int.from_bytes(line["body"][:8], "big") for line in lines)

    def summary(self, cosigners):
        return {
            "origin": self.origin,
            "size": self.size,
            "root": base64.b64encode(self.root).decode(),
            "cosigned": {key.name: self.cosignature(key) for key in cosigners},
        }


# --- C2SP tlog-tiles ------------------------------------------------------------------------------


class Place:
    """A directory, or the base URL of a web server."""

    def __init__(self, location, folder):
        self.is_url = location.startswith(("http://", "https://"))
        self.base = f"{location.rstrip('/')}/{folder}" if self.is_url else os.path.join(location, folder)

    def read(self, path):
        """The file's bytes, or None if there is none."""
        name = f"{self.base}/{path}"
        try:
            if self.is_url:
                request = urllib.request.Request(name, headers={"Accept-Encoding": "identity"})
                with urllib.request.urlopen(request, timeout=30) as answer:
                    data = answer.read(MAX_FILE + 1)
            else:
                with open(name, "rb") as file:
                    data = file.read(MAX_FILE + 1)
        except FileNotFoundError:
            return None
        except urllib.error.HTTPError as error:
            if error.code == 404:
                return None
            raise Refused(f"{name}: {error}") from error
        except OSError as error:
            raise Refused(f"{name}: {error}") from error
        require(len(data) <= MAX_FILE, f"{name} is longer than {MAX_FILE} bytes")
        return data


def tile_path(prefix, index, width):
    groups = [f"{index % 1000:03}"]
    while index >= 1000:
        index //= 1000
        groups.insert(0, f"x{index % 1000:03}")
    return f"tile/{prefix}/{'/'.join(groups)}" + (f".p/{width}" if width < 256 else "")


class Log:
    """The tree of one head, read from its tiles."""

    def __init__(self, place, size):
        self.place = place
        self.size = size
        self.tiles = {}
        self.files = 0

    def width(self, level, index):
        return max(0, min(256, (self.size >> 8 * level) - 256 * index))

    def fetch(self, prefix, index, width):
        """A tile or bundle. A full one may have taken the place of the partial one."""
        for candidate in sorted({width, 256}):
            data = self.place.read(tile_path(prefix, index, candidate))
            if data is not None:
                self.files += 1
                return data
        raise Refused(f"{tile_path(prefix, index, width)} is missing")

    def tile(self, level, index):
        """The hashes of a tile."""
        if (level, index) not in self.tiles:
            width = self.width(level, index)
            data = self.fetch(level, index, width)
            name = tile_path(level, index, width)
            require(len(data) in (32 * width, 32 * 256), f"{name} has {len(data)} bytes")
            hashes = [data[at : at + 32] for at in range(0, 32 * width, 32)]
            self.tiles[level, index] = hashes
        return self.tiles[level, index]

    def perfect(self, height, index):
        """The hash over the entries [index * 2^height, (index + 1) * 2^height)."""
        if height % 8 == 0:
            return self.tile(height // 8, index // 256)[index % 256]
        return node_hash(self.perfect(height - 1, 2 * index), self.perfect(height - 1, 2 * index + 1))

    def range(self, start, end):
        """MTH(D[start:end]) of RFC 6962, for the ranges that its recursion makes."""
        count = end - start
        if count & (count - 1) == 0:
            return self.perfect(count.bit_length() - 1, start // count)
        middle = start + split(count)
        return node_hash(self.range(start, middle), self.range(middle, end))

    def root(self):
        return self.range(0, self.size) if self.size else hashlib.sha256(b"").digest()

    def proof(self, index):
        """The inclusion proof of an entry: PATH(m, D[n]) of RFC 6962, section 2.1.1."""
        hashes, start, end = [], 0, self.size
        while end - start > 1:
            middle = start + split(end - start)
            if index < middle:
                hashes.insert(0, self.range(middle, end))
                end = middle
            else:
                hashes.insert(0, self.range(start, middle))
                start = middle
        return hashes

    def check_levels(self):
        """Each hash above level 0 must be the root of the full tile below."""
        level = 1
        while self.size >> 8 * level:
            for index in range(self.size >> 8 * level):
                row = self.tile(level - 1, index)
                while len(row) > 1:
                    row = [node_hash(row[at], row[at + 1]) for at in range(0, len(row), 2)]
                found = self.tile(level, index // 256)[index % 256]
                require(found == row[0], f"hash {index} of level {level} is not that of its tile")
            level += 1

    def entries(self):
        """All entries, bundle by bundle."""
        for index in range((self.size + 255) // 256):
            width = self.width(0, index)
            name = tile_path("entries", index, width)
            yield from self.bundle(self.fetch("entries", index, width), width, name)

    @staticmethod
    def bundle(data, width, name):
        at, count = 0, 0
        while at < len(data) and count < width:
            require(at + 2 <= len(data), f"{name} ends within an entry")
            end = at + 2 + int.from_bytes(data[at : at + 2], "big")
            require(end <= len(data), f"{name} ends within an entry")
            yield data[at + 2 : end]
            at, count = end, count + 1
        require(count == width, f"{name} has {count} entries, expected {width}")


# --- commands -------------------------------------------------------------------------------------


def type_of(entry):
    """A log may hold entries that are no JSON of ours: they are passed over, and stay in the tree."""
    try:
        return str(json.loads(entry)["type"])
    except (ValueError, KeyError, TypeError):
        return "unknown"


def read_log(arguments):
    place = Place(arguments.location, arguments.folder)
    data = place.read("checkpoint")
    require(data is not None, f"{place.base}/checkpoint is missing")
    head = Checkpoint(data, Key(arguments.key))
    log = Log(place, head.size)
    require(log.root() == head.root, "the tiles do not lead to the signed root")
    log.check_levels()
    types = {}
    for index, entry in enumerate(log.entries()):
        leaf = leaf_hash(entry)
        require(leaf == log.tile(0, index // 256)[index % 256], f"entry {index} is not its leaf")
        proven = root_from_proof(leaf, index, head.size, log.proof(index))
        require(proven == head.root, f"inclusion proof of entry {index} does not lead to the root")
        kind = type_of(entry)
        types[kind] = types.get(kind, 0) + 1
    summary = head.summary([Key(key) for key in arguments.cosigner])
    return {**summary, "entries": types, "files": log.files + 1}


def read_proof(arguments):
    with open(arguments.file, "rb") as file:
        head, _, checkpoint = file.read().partition(b"\n\n")
    with open(arguments.patch_note, "rb") as file:
        entry = Note(file.read()).text.encode()
    lines = head.decode("utf-8").split("\n")
    require(lines[0] == "c2sp.org/tlog-proof@v1", f"not a tlog-proof: {lines[0]!r}")
    del lines[0]
    if lines and lines[0].startswith("extra "):
        del lines[0]
    require(lines and lines[0].startswith("index "), "proof has no index")
    index = decimal(lines[0][len("index ") :], "index")
    hashes = [base64_decode(line, "proof hash") for line in lines[1:]]
    require(all(len(hash) == 32 for hash in hashes), "proof hash is not 32 bytes")
    head = Checkpoint(checkpoint, Key(arguments.key))
    require(index < head.size, f"index {index} is beyond the tree of {head.size}")
    proven = root_from_proof(leaf_hash(entry), index, head.size, hashes)
    require(proven == head.root, "the proof does not lead from the entry to the signed root")
    summary = head.summary([Key(key) for key in arguments.cosigner])
    return {**summary, "index": index, "hashes": len(hashes)}


def read_patch_note(arguments):
    """SPEC section 3.1: the distribution's signature covers the text and the collection's lines."""
    with open(arguments.file, "rb") as file:
        note = Note(file.read())
    collection, distribution = Key(arguments.collection), Key(arguments.distribution)
    first = "".join(line["printed"] for line in note.check_plain(collection))
    covered = f"countersign/v1\n{note.text}\n{first}".encode()
    note.check(distribution, COUNTERSIGNATURE, lambda body: (covered, body))
    entry = json.loads(note.text)
    return {key: entry[key] for key in ("name", "version", "archive")}


def self_test(_arguments):
    """The vectors of RFC 8032, section 7.1, and a few changes that must not verify."""
    vectors = [
        ("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a", "",
         "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e06522490155"
         "5fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b"),
        ("3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c", "72",
         "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
         "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"),
        ("fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025", "af82",
         "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac"
         "18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a"),
    ]
    for key, message, signature in vectors:
        key, message, signature = map(bytes.fromhex, (key, message, signature))
        require(ed25519_verifies(key, message, signature), "a vector of RFC 8032 does not verify")
        high = signature[:32] + (int.from_bytes(signature[32:], "little") + ORDER).to_bytes(32, "little")
        require(not ed25519_verifies(key, message, high), "an s beyond the order verifies")
        require(not ed25519_verifies(key, message + b"x", signature), "another message verifies")
    return {"vectors": len(vectors)}


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    commands = parser.add_subparsers(required=True)
    log = commands.add_parser("log")
    log.add_argument("location")
    log.add_argument("folder")
    log.set_defaults(run=read_log)
    proof = commands.add_parser("proof")
    proof.add_argument("file")
    proof.add_argument("--patch-note", required=True)
    proof.set_defaults(run=read_proof)
    for command in (log, proof):
        command.add_argument("--key", required=True)
        command.add_argument("--cosigner", action="append", default=[])
    note = commands.add_parser("patch-note")
    note.add_argument("file")
    note.add_argument("--collection", required=True)
    note.add_argument("--distribution", required=True)
    note.set_defaults(run=read_patch_note)
    commands.add_parser("self-test").set_defaults(run=self_test)
    arguments = parser.parse_args()
    try:
        print(json.dumps(arguments.run(arguments)))
    except Refused as reason:
        print(f"error: {reason}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
