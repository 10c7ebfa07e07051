"""A repository and a client of The Update Framework, as python-tuf makes them.

python_tuf.py make KEYS ITEMS COUNT:SITE...   publishes the first COUNT items, for each site in turn
python_tuf.py add KEYS SITE TARGET...         publishes more, files, as an operator's script would
python_tuf.py update MACHINE URL              lets a client learn what there is
python_tuf.py known MACHINE                   says how many targets it knows

ITEMS has a line each: name, version, size, SHA-256 and summary, with tabs between them.
"""

import json
import shutil
import sys
from datetime import datetime, timedelta, timezone
from pathlib import Path

from securesystemslib.signer import CryptoSigner, SSlibKey
from tuf.api.metadata import Metadata, MetaFile, Root, Snapshot, TargetFile, Targets, Timestamp
from tuf.ngclient import Updater, UpdaterConfig

ROLES = ["root", "targets", "snapshot", "timestamp"]
EXPIRES = datetime.now(timezone.utc).replace(microsecond=0) + timedelta(days=30)


def signers(keys):
    """A key a role, made once."""
    keys.mkdir(parents=True, exist_ok=True)
    return {role: signer(keys / role) for role in ROLES}


def signer(path):
    public = path.with_suffix(".pub")
    if not public.exists():
        made = CryptoSigner.generate_ed25519()
        path.write_bytes(made.private_bytes)
        public.write_text(json.dumps([made.public_key.keyid, made.public_key.to_dict()]))
    keyid, key = json.loads(public.read_text())
    return CryptoSigner.from_priv_key_uri(f"file2:{path}", SSlibKey.from_dict(keyid, key))


def write(site, name, metadata, signer):
    metadata.sign(signer)
    metadata.to_file(str(site / name))


def publish(site, keys, targets, version):
    """Signs and writes the three roles that change, the timestamp last."""
    targets.signed.version = version
    targets.signed.expires = EXPIRES
    write(site, f"{version}.targets.json", targets, keys["targets"])
    snapshot = Metadata(Snapshot(version, expires=EXPIRES, meta={"targets.json": MetaFile(version)}))
    write(site, f"{version}.snapshot.json", snapshot, keys["snapshot"])
    timestamp = Metadata(Timestamp(version, expires=EXPIRES, snapshot_meta=MetaFile(version)))
    write(site, "timestamp.json", timestamp, keys["timestamp"])


def make(keys, items, sites):
    keys = signers(Path(keys))
    items = [line.split("\t") for line in Path(items).read_text().splitlines()]
    root = Root(expires=EXPIRES, consistent_snapshot=True)
    for role, one in keys.items():
        root.add_key(one.public_key, role)
    root = Metadata(root)
    targets = Metadata(Targets(expires=EXPIRES))
    for version, each in enumerate(sites, 1):
        count, site = each.split(":", 1)
        site = Path(site)
        write(site, "1.root.json", root, keys["root"])
        targets.signed.targets = {target.path: target for target in map(target_of, items[: int(count)])}
        publish(site, keys, targets, version)


def target_of(item):
    name, version, size, sha256, summary = item
    custom = {"custom": {"summary": summary}}
    return TargetFile(int(size), {"sha256": sha256}, f"{name}-{version}.patch", custom)


def add(keys, site, *added):
    keys, site = signers(Path(keys)), Path(site)
    timestamp = Metadata[Timestamp].from_file(str(site / "timestamp.json"))
    version = timestamp.signed.version
    targets = Metadata[Targets].from_file(str(site / f"{version}.targets.json"))
    (site / "targets").mkdir(exist_ok=True)
    for target in map(Path, added):
        file = TargetFile.from_file(target.name, str(target), ["sha256"])
        targets.signed.targets[target.name] = file
        shutil.copyfile(target, site / "targets" / f"{file.hashes['sha256']}.{target.name}")
    publish(site, keys, targets, version + 1)


def update(machine, url):
    machine = Path(machine)
    config = UpdaterConfig(targets_max_length=1 << 30)
    anchor = machine / "root.json"
    bootstrap = anchor.read_bytes() if anchor.exists() else None
    Updater(str(machine / "metadata"), url, config=config, bootstrap=bootstrap).refresh()


def known(machine):
    targets = Metadata[Targets].from_file(str(Path(machine) / "metadata" / "targets.json"))
    print(len(targets.signed.targets))


if __name__ == "__main__":
    command, arguments = sys.argv[1], sys.argv[2:]
    if command == "make":
        make(arguments[0], arguments[1], arguments[2:])
    else:
        {"add": add, "update": update, "known": known}[command](*arguments)
