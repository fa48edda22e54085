"""Where the training texts come from, each under a source name. Paths: the unpacked wheels and the shared test data.

Nothing of the evaluation collections is read here: injecguard_valid, notinject, injecguard_valid_benign and every
file under attacks/ stay unseen. Of the benign collections one half (by hash of the text) is read.
"""

import glob
import hashlib
import json
import re

import own


def _lines(path):
    return [json.loads(line) for line in open(path, encoding="utf-8") if line.strip()]


def half(text):
    """True for the half that training may see."""
    return hashlib.sha256(text.encode()).digest()[0] < 128


def _pyrit(root):
    """PyRIT's jailbreak templates (MIT), without those it took from jailbreak_llms, which we evaluate on."""
    import yaml

    groups = {"pyrit-templates": [], "pyrit-authors": []}
    for path in glob.glob(f"{root}/pyrit/pyrit/datasets/jailbreak/templates/**/*.yaml", recursive=True):
        if "/in_the_wild/" in path or "benign" in path or "multi_parameter" in path:
            continue
        value = yaml.safe_load(open(path, encoding="utf-8")).get("value")
        if isinstance(value, str) and len(value) > 40:
            text = re.sub(r"\{\{\s*\w+\s*\}\}", "how to do it", value)
            groups["pyrit-authors" if re.search("Arth|pliny", path) else "pyrit-templates"].append(text)
    return groups


def _spikee(root):
    """spikee's jailbreak frames with its instructions put in (Apache-2.0)."""
    seen, frames, orders, benign = set(), [], [], []
    for path in sorted(glob.glob(f"{root}/spikee/spikee/data/workspace/datasets/*/*.jsonl")):
        for row in _lines(path):
            if path.endswith("/jailbreaks.jsonl") and row["text"] not in seen and row.get("jailbreak_type") != "no-jailbreak":
                seen.add(row["text"])
                frames.append(row["text"])
            elif path.endswith("/instructions.jsonl") and "harmful" not in path and row["instruction"] not in seen:
                seen.add(row["instruction"])
                orders.append(row["instruction"])
            elif path.endswith("standalone_user_inputs.jsonl") and "-fp" in path:
                benign.append(row["text"])
            elif path.endswith("base_user_inputs.jsonl") and len(row["document"]) > 60:
                benign.append(row["document"])
    frames, orders = sorted(set(frames)), sorted(set(orders))
    attacks = []
    for at, frame in enumerate(frames):
        for step in range(4):
            attacks.append(frame.replace("<INSTRUCTION>", orders[(at * 7 + step * 13) % len(orders)]))
    return attacks, benign


def attacks(packages):
    groups = _pyrit(packages)
    groups["spikee"], _ = _spikee(packages)
    groups["bastion"] = [r["text"] for r in _lines(f"{packages}/bastioncorpus/bastioncorpus/corpus/injections.jsonl") if r["label"] == "malicious" and r["category"] != "obfuscation"]
    groups["corpus-mini"] = [r["prompt"] for r in json.load(open(f"{packages}/jailbreak_corpus_mini_py/jailbreak_corpus_mini/corpus.json")) if "benign" not in str(r.get("category"))]
    groups["own"] = own.attacks()
    return groups


def benign(packages, data):
    groups = {"own": own.benign(), "spikee": _spikee(packages)[1]}
    groups["bastion"] = [r["text"] for r in _lines(f"{packages}/bastioncorpus/bastioncorpus/corpus/injections.jsonl") if r["label"] == "benign"]
    for path in sorted(glob.glob(f"{data}/benign/*.jsonl")):
        name = path.split("/")[-1][:-6]
        if name in ("notinject", "injecguard_valid_benign"):
            continue
        groups[name] = [r["text"] for r in _lines(path) if half(r["text"])]
    return groups
