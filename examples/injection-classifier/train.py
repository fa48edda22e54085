"""Train the injection model and write it as filters/models/injection.fdlm; see README.md beside this file."""

import argparse
import glob
import json
import struct
import sys

import numpy as np
from scipy.sparse import csr_matrix
from sklearn.linear_model import LogisticRegression

import features as f
import sources

HARD = ("notinject", "injecguard_valid_benign")  # benign texts that were made to look like attacks


def rows(texts, keep=12):
    """Windows of texts as lists of buckets, with the index of their text. Long texts give `keep` windows at most."""
    out, owner = [], []
    for at, text in enumerate(texts):
        all_windows = f.windows(f.words(text))
        if len(all_windows) > keep:
            step = len(all_windows) / keep
            all_windows = [all_windows[int(i * step)] for i in range(keep)]
        for window in all_windows:
            if window:
                out.append(sorted(f.features(window)))
                owner.append(at)
    return out, owner


def matrix(lists):
    indptr = np.cumsum([0] + [len(x) for x in lists])
    data = np.concatenate([np.full(len(x), 1 / np.sqrt(len(x)), np.float32) for x in lists]) if lists else np.zeros(0)
    return csr_matrix((data, np.concatenate([np.array(x, np.int32) for x in lists]), indptr), shape=(len(lists), f.BUCKETS))


def fit(attacks, benign, c):
    """Two rounds: in the second, a long attack is taught by those of its windows that the first found worst."""
    lists, label, weight, text_of, serial = [], [], [], [], 0
    for groups, y in ((attacks, 1), (benign, 0)):
        for name, texts in groups.items():
            got, owner = rows(texts)
            counts = np.bincount(owner, minlength=len(texts)).clip(1)
            group = min(len(texts), 1000) / len(texts)  # a source counts for 1000 texts at most
            lists += got
            label += [y] * len(got)
            weight += [group / (counts[o] if y else np.sqrt(counts[o])) for o in owner]
            text_of += [serial + o for o in owner]
            serial += len(texts)
    x, y, w, text_of = matrix(lists), np.array(label), np.array(weight), np.array(text_of)
    w[y == 1] *= w[y == 0].sum() / w[y == 1].sum() * 0.6
    model = LogisticRegression(C=c, solver="liblinear", max_iter=200)
    model.fit(x, y, sample_weight=w)
    score = model.decision_function(x)
    best = {}
    for t, s in zip(text_of[y == 1], score[y == 1]):
        best[t] = max(best.get(t, -99), s)
    kept = np.array([yy == 0 or s >= best[t] - 1.0 for yy, s, t in zip(y, score, text_of)])
    model.fit(x[kept], y[kept], sample_weight=w[kept])
    return model.coef_[0].astype(np.float32), float(model.intercept_[0])


def quantise(weights, bias):
    scale = np.quantile(np.abs(weights[weights != 0]), 0.9995) / 127
    return np.clip(np.round(weights / scale), -127, 127).astype(np.int8), np.float32(scale), np.float32(bias)


def score(model, text):
    """The score of a text as linear.rs computes it: highest window, in 32-bit floats."""
    weights, scale, bias = model
    best = None
    for window in f.windows(f.words(text)):
        found = f.features(window)
        total = sum(int(weights[i]) for i in found)
        value = np.float32(bias) if not found else np.float32(np.float32(total) * np.float32(scale) / np.sqrt(np.float32(len(found))) + np.float32(bias))
        best = value if best is None or value > best else best
    return float(best)


def held_out(data):
    """(kind, name, texts) of what training does not see. Hard negatives come in two halves: one sets the threshold."""
    out = []
    for kind in ("attacks", "benign"):
        for path in sorted(glob.glob(f"{data}/{kind}/*.jsonl")):
            name = path.split("/")[-1][:-6]
            if name in ("blns_robustness_strings", "derived_evasions", "garak_payloads", "harmbench_requests"):
                continue
            texts = [json.loads(line)["text"] for line in open(path, encoding="utf-8")]
            if kind == "benign" and name in HARD:
                out.append(("calibration", name, [t for t in texts if sources.half(t)]))
            if kind == "benign":
                texts = [t for t in texts if not sources.half(t)]
            out.append((kind, name, texts))
    return out


def write(path, model):
    """`FDLM`, version 1, log2 of the buckets, window, stride; scale and bias as f32; one i8 for each bucket."""
    weights, scale, bias = model
    with open(path, "wb") as file:
        file.write(b"FDLM" + struct.pack("<BBBBff", 1, int(np.log2(f.BUCKETS)), f.WINDOW, f.STRIDE, scale, bias) + weights.tobytes())


def main():
    args = argparse.ArgumentParser()
    args.add_argument("packages", help="folder with one unpacked wheel a folder")
    args.add_argument("data", help="the shared test data")
    args.add_argument("--out", default="../../filters/models/injection.fdlm")
    args.add_argument("--c", type=float, default=4.0)
    args.add_argument("--rate", type=float, default=0.02, help="share of benign texts, hard ones among them, that may exceed the threshold")
    args.add_argument("--cross", action="store_true", help="leave one source of attacks out, each in turn")
    args = args.parse_args()
    attacks, benign = sources.attacks(args.packages), sources.benign(args.packages, args.data)
    for name, groups in (("attacks", attacks), ("benign", benign)):
        print(name, {k: len(v) for k, v in groups.items()}, file=sys.stderr)
    unseen = held_out(args.data)

    def threshold(model):
        """At most `rate` of the ordinary unseen benign texts and of the calibration half of the hard ones exceed it."""
        bounds = []
        for wanted in (lambda kind, name: kind == "benign" and name not in HARD, lambda kind, name: kind == "calibration"):
            got = sorted((score(model, t) for kind, name, texts in unseen if wanted(kind, name) for t in texts), reverse=True)
            bounds.append(got[int(len(got) * args.rate)])
        return max(bounds)

    if args.cross:
        for left in attacks:
            model = quantise(*fit({k: v for k, v in attacks.items() if k != left}, {k: v for k, v in benign.items() if k != left}, args.c))
            bound = threshold(model)
            hit = sum(score(model, t) > bound for t in attacks[left])
            wrong = sum(score(model, t) > bound for t in benign.get(left, []))
            print(f"without {left}: recall {hit}/{len(attacks[left])}; benign of the source {wrong}/{len(benign.get(left, []))}")
        return
    model = quantise(*fit(attacks, benign, args.c))
    bound = threshold(model)
    model = (model[0], model[1], np.float32(model[2] - bound))
    for kind, name, texts in unseen:
        hit = sum(score(model, t) > 0 for t in texts)
        print(f"{kind:11} {name:30} {hit:4} / {len(texts)}")
    write(args.out, model)


if __name__ == "__main__":
    main()
