"""What results mean, in sentences."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from onnxprune.bench.document import ComparisonEntry
    from onnxprune.page.collect import Candidate, Results


def headline(results: Results) -> str:
    """Return the result in one sentence."""
    faster = [
        (entry.ci95[1], c.name, entry)
        for c in results.candidates
        for entry in c.comparisons
        if entry.verdict == "faster"
    ]
    if faster:
        _, name, entry = min(faster, key=lambda f: f[0])
        return f"{name} is {1 / entry.ratio:.2f} times as fast as the original on {entry.provider}."
    if any(c.comparisons for c in results.candidates):
        return "No pruned model is shown to be faster than the original."
    if results.candidates:
        return "Latency was not measured."
    return "No pruned model is among these results."


def sentence(candidate: Candidate) -> str:
    """Return what there is to say of one pruned model."""
    speed = [_speed(entry) for entry in candidate.comparisons]
    parts = [*_size(candidate), *_kept(candidate), *speed, *_proof(candidate), *_gate(candidate)]
    if candidate.audit is not None and candidate.audit.hurt:
        names = ", ".join(entry.name for entry in candidate.audit.hurt[:5])
        parts.append(f"Pruning hurt {names} MORE than others.")
    return " ".join(parts)


def quality(candidates: Sequence[Candidate]) -> tuple[str, dict[str, tuple[float, float]]]:
    """Return what tells how good the models are, and its value before and after by path.

    The user's metric where every pruned model has it, else how near the outputs are on samples that
    were held back.
    """
    pruned = [(c.path, c.prune) for c in candidates if c.prune]
    metrics = {path: p.metric for path, p in pruned if p.metric}
    if metrics and len(metrics) == len(pruned):
        name = next(iter(metrics.values())).name
        return name, {path: (m.before, m.after) for path, m in metrics.items()}
    near = {path: (1.0, 1.0 - p.fidelity.drop) for path, p in pruned if p.fidelity}
    return "outputs kept, held-back samples", near


def _kept(candidate: Candidate) -> list[str]:
    """Say what the network still does."""
    if candidate.prune is None:
        return []
    metric, fidelity = candidate.prune.metric, candidate.prune.fidelity
    found = []
    if metric is not None:
        name = metric.name.rpartition(":")[2]
        found.append(f"{name} went from {metric.before:.4g} to {metric.after:.4g}.")
    for output in fidelity.outputs if fidelity else ():
        if output.top1_agreement is not None:
            same = f"the same class as the original in {output.top1_agreement:.1%} of the cases"
        elif output.relative_error is not None:
            same = f"a relative error of {output.relative_error:.3g}"
        else:
            continue
        found.append(f"Output {output.output} has {same}".replace("%", " %") + ".")
    if fidelity is not None and found:
        found.append(f"That was measured on {fidelity.samples} samples that were held back.")
    return found


def _gate(candidate: Candidate) -> list[str]:
    check = candidate.check
    if check is None:
        return []
    failed = [e.message for e in check.checks if e.outcome != "pass"]
    return ["It passed the check." if check.passed else f"The check FAILED: {'; '.join(failed)}."]


def _size(candidate: Candidate) -> list[str]:
    if candidate.prune is None:
        return []
    achieved = candidate.prune.achieved
    gone = f"{_percent(achieved.macs)} of the multiply-accumulates"
    gone += f" and {_percent(achieved.params)} of the parameters are gone"
    return [f"{gone}; the file is {_percent(achieved.bytes)} smaller."]


def _speed(entry: ComparisonEntry) -> str:
    low, high = entry.ci95
    where = f"On {entry.provider} with {entry.threads or 'all'} thread{'s' * (entry.threads != 1)}"
    share = f"{entry.ratio:.2f} of the original's time (95 % interval {low:.2f} to {high:.2f})"
    verdict = {"faster": "faster", "not_faster": "not faster", "inconclusive": "inconclusive"}
    return f"{where} it takes {share}: {verdict[entry.verdict]}."


def _proof(candidate: Candidate) -> list[str]:
    prune, verify = candidate.prune, candidate.verify
    if verify is not None:
        outcome = "passed" if verify.passed else f"FAILED: {', '.join(verify.failures[:1])}"
        return [f"A separate check against the original {outcome}."]
    if prune is None:
        return []
    if prune.verified is None:
        return ["It was NOT verified."]
    if prune.verified.exact:
        return ["It is proven to equal the original with the removed channels silenced."]
    return ["Groups whose removal changes a normalisation were pruned; it runs, and is not exact."]


def _percent(share: float) -> str:
    return f"{share:.0%}".replace("%", " %")
