"""What the released evaluation codes count, rewritten as they stand: the reference of the official scores.

ABSA-BERT-pair 7d238eb, evaluation.py (MIT); BARTABSA 13168ea, */model/metrics.py, on words instead of pieces.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from sklearn.metrics import accuracy_score, roc_auc_score


def sentihood(y_true: Sequence[int], y_pred: Sequence[int], score: Sequence[Sequence[float]]) -> dict[str, float]:
    blocks = range(len(y_true) // 4)
    strict = sum(all(y_true[i * 4 + j] == y_pred[i * 4 + j] for j in range(4)) for i in blocks)
    p_all = r_all = count = 0.0
    for i in blocks:
        a = {j for j in range(4) if y_pred[i * 4 + j] != 0}
        b = {j for j in range(4) if y_true[i * 4 + j] != 0}
        if len(b) == 0:
            continue
        a_b = a & b
        p, r = (len(a_b) / len(a), len(a_b) / len(b)) if len(a_b) > 0 else (0, 0)
        count += 1
        p_all += p
        r_all += r
    ma_p, ma_r = p_all / count, r_all / count
    aspect_trues: list[list[int]] = [[], [], [], []]
    aspect_scores: list[list[float]] = [[], [], [], []]
    sentiment_true, sentiment_pred = [], []
    sentiment_trues: list[list[int]] = [[], [], [], []]
    sentiment_scores: list[list[float]] = [[], [], [], []]
    for i in range(len(y_true)):
        aspect_trues[i % 4].append(0 if y_true[i] > 0 else 1)
        aspect_scores[i % 4].append(score[i][0])
        if y_true[i] > 0:
            tmp = score[i][2] / (score[i][1] + score[i][2])
            sentiment_true.append(y_true[i] - 1)
            sentiment_pred.append(1 if tmp > 0.5 else 0)
            sentiment_trues[i % 4].append(y_true[i] - 1)
            sentiment_scores[i % 4].append(tmp)
    return {
        "strict": strict / len(blocks),
        "f1": 2 * ma_p * ma_r / (ma_p + ma_r),
        "auc": float(np.mean([roc_auc_score(aspect_trues[i], aspect_scores[i]) for i in range(4)])),
        "sentiment_accuracy": float(accuracy_score(sentiment_true, sentiment_pred)),
        "sentiment_auc": float(np.mean([roc_auc_score(sentiment_trues[i], sentiment_scores[i]) for i in range(4)])),
    }


def semeval(y_true: Sequence[int], y_pred: Sequence[int], score: Sequence[Sequence[float]]) -> dict[str, float]:
    s_all = g_all = s_g_all = 0
    for i in range(len(y_pred) // 5):
        s = {j for j in range(5) if y_pred[i * 5 + j] != 4}
        g = {j for j in range(5) if y_true[i * 5 + j] != 4}
        if len(g) == 0:
            continue
        s_all, g_all, s_g_all = s_all + len(s), g_all + len(g), s_g_all + len(s & g)
    p, r = s_g_all / s_all, s_g_all / g_all
    found = {"precision": p, "recall": r, "f1": 2 * p * r / (p + r)}
    for classes, ways in ((4, (0, 1, 2, 3)), (3, (0, 1, 2)), (2, (0, 2))):
        total = right = 0
        for i in range(len(y_true)):
            if y_true[i] not in ways:
                continue
            total += 1
            tmp = y_pred[i]
            if tmp not in ways:
                tmp = next(c for c in ways if all(score[i][c] >= score[i][other] for other in ways))
            right += y_true[i] == tmp
        found[f"accuracy_{classes}"] = right / total
    return found


def _f_pre_rec(tp: int, fn: int, fp: int) -> tuple[float, float, float]:
    pre = tp / (fp + tp + 1e-13)
    rec = tp / (fn + tp + 1e-13)
    return 2 * pre * rec / (pre + rec + 1e-13), pre, rec


def peng_pieces(sequence: Sequence[Any]) -> tuple[list[tuple[Any, ...]], int]:
    """What `Seq2SeqSpanMetric` reads of a sequence of words and labels: 5-tuples, and whether it calls it invalid."""
    pairs, current, invalid = [], [], 0
    for j in sequence:
        current.append(j)
        if isinstance(j, str):
            if len(current) != 5 or current[0] > current[1] or current[2] > current[3]:
                invalid = 1
            else:
                pairs.append(tuple(current))
            current = []
    return pairs, invalid


def peng(truth: Sequence[Sequence[tuple[Any, ...]]], said: Sequence[Sequence[Any]]) -> dict[str, float]:
    """F1 of triplets, pairs and aspects with polarity: 5-tuples against sequences."""
    counts: dict[str, list[int]] = {"triplet": [0, 0, 0], "pair": [0, 0, 0], "aesc": [0, 0, 0]}
    for ts, sequence in zip(truth, said, strict=True):
        ps, _ = peng_pieces(sequence)
        kinds = {
            "triplet": ({*ts}, {*ps}),
            "pair": ({t[:4] for t in ts}, {p[:4] for p in ps}),
            "aesc": ({(t[0], t[1], t[-1]) for t in ts}, {(p[0], p[1], p[-1]) for p in ps}),
        }
        for kind, (t, p) in kinds.items():
            for place, count in enumerate((len(t & p), len(t - p), len(p - t))):
                counts[kind][place] += count
    return {kind: _f_pre_rec(*three)[0] for kind, three in counts.items()}


def wang(
    truth: Sequence[Sequence[tuple[int, int, str]]], said: Sequence[Sequence[tuple[int, int, str]]]
) -> dict[str, tuple[float, float, float]]:
    """F1, precision and recall of `AESCSpanMetric`: (first, last, polarity)."""
    aesc, ae = [0, 0, 0], [0, 0, 0]
    sc: dict[str, dict[str, int]] = {"tp": {}, "fp": {}, "fn": {}}
    for ts, pairs in zip(truth, said, strict=True):
        target, pred, conflicts = {}, {}, set()
        for t in ts:
            if t[2] != "conflict":
                target[t[0], t[1]] = t[2]
            else:
                conflicts.add((t[0], t[1]))
        for p in pairs:
            if (p[0], p[1]) not in conflicts and p[-1] != "conflict":
                pred[p[0], p[1]] = p[-1]
        for into, t_keys, p_keys in ((aesc, {*target.items()}, {*pred.items()}), (ae, {*target}, {*pred})):
            for place, count in enumerate((len(t_keys & p_keys), len(t_keys - p_keys), len(p_keys - t_keys))):
                into[place] += count
        for key in pred:
            if key not in target:
                continue
            if target[key] == pred[key]:
                sc["tp"][pred[key]] = sc["tp"].get(pred[key], 0) + 1
            else:
                sc["fp"][pred[key]] = sc["fp"].get(pred[key], 0) + 1
                sc["fn"][target[key]] = sc["fn"].get(target[key], 0) + 1
    tags = {*sc["tp"], *sc["fp"], *sc["fn"]}
    rows = [_f_pre_rec(*(sc[kind].get(tag, 0) for kind in ("tp", "fn", "fp"))) for tag in tags]
    pre = sum(row[1] for row in rows) / (len(tags) + 1e-12)
    rec = sum(row[2] for row in rows) / (len(tags) + 1e-12)
    alsc = (2 * pre * rec / (pre + rec + 1e-12), pre, rec)
    return {"aesc": _f_pre_rec(*aesc), "ae": _f_pre_rec(*ae), "alsc": alsc}
