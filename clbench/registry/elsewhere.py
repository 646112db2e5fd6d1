"""What methods are called elsewhere: the name that they have here, or what is nearest to those that are not here."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from clbench.errors import did_you_mean

# A name in the literature or in another framework → the name here. Case, '_' and spaces do not matter.
SAME = {
    "agem": "a-gem",
    "cbp": "continual-backprop",
    "continual-backpropagation": "continual-backprop",
    "deep-slda": "slda",
    "nearest-class-mean": "ncm",
    "streaming-lda": "slda",
    "derpp": "der++",
    "der-plus-plus": "der++",
    "deep-generative-replay": "generative-replay",
    "dgr": "generative-replay",
    "dynamically-expandable-representation": "expandable",
    "elastic-weight-consolidation": "ewc",
    "experience-replay": "er",
    "rehearsal": "er",
    "replay": "er",
    "online-ewc": "ewc-online",
    "ewc++": "ewc-online",
    "fine-tune": "naive",
    "fine-tuning": "naive",
    "finetune": "naive",
    "finetuning": "naive",
    "none": "naive",
    "sequential": "naive",
    "sgd": "naive",
    "hard-attention": "hat",
    "iid": "joint",
    "joint-training": "joint",
    "multi-task": "joint",
    "multitask": "joint",
    "offline": "joint",
    "upper-bound": "joint",
    "from-scratch": "cold",
    "scratch": "cold",
    "l2-sp": "l2",
    "learning-without-forgetting": "lwf",
    "memory-aware-synapses": "mas",
    "regenerative-regularisation": "l2-init",
    "regenerative-regularization": "l2-init",
    "riemannian-walk": "rwalk",
    "s&p": "shrink-perturb",
    "shrink-and-perturb": "shrink-perturb",
    "synaptic-intelligence": "si",
}


@dataclass(frozen=True)
class Absent:
    """A method that is not here: what it is, what of its kind is here, and Avalanche's plugin if that runs here."""

    what: str
    nearest: tuple[str, ...]
    plugin: str | None = None


_SUBNETWORKS = ("packnet", "hat")
_PROMPTS = ("l2-attention", "frozen-backbone")
ABSENT = {
    "coda": Absent("prompts for a pretrained transformer", _PROMPTS),
    "coda-prompt": Absent("prompts for a pretrained transformer", _PROMPTS),
    "der": Absent("replay of logits alone, which is der++ with strategy.beta=0", ("der++",)),
    "dualprompt": Absent("prompts for a pretrained transformer", _PROMPTS),
    "gem": Absent("one gradient constraint per task", ("a-gem",), "GEMPlugin (which needs 'pip install quadprog')"),
    "l2p": Absent("prompts for a pretrained transformer", _PROMPTS),
    "piggyback": Absent("a mask of weights per task", _SUBNETWORKS),
    "pnn": Absent("a network column per task", _SUBNETWORKS),
}
ANY_PLUGIN = "ReplayPlugin"


def plain(name: str) -> str:
    """A name as names are written here: in small letters, with '-' between words.

    >>> plain("Online_EWC")
    'online-ewc'
    """
    return "-".join(name.strip().lower().replace("_", " ").replace("-", " ").split())


def meant(kind: str, name: str, listed: Iterable[str]) -> str:
    """Say what a name that is not listed may mean, as ``did_you_mean`` does: a sentence after a space, or nothing."""
    listed = list(listed)
    wanted = plain(name)
    if kind == "strategy" and wanted not in listed:
        if SAME.get(wanted) in listed:
            return f" It is called '{SAME[wanted]}' here; did you mean that?"
        if wanted in ABSENT:
            return f" {_absent(ABSENT[wanted])}"
    return _respelt(wanted, listed) or did_you_mean(name, listed)


def _respelt(wanted: str, listed: Iterable[str]) -> str:
    """The listed name that differs in case, in what stands between words, or in their order alone."""
    listed = list(listed)
    run_together = {one.replace("-", ""): one for one in listed}
    shuffled = {tuple(sorted(one.split("-"))): one for one in listed}
    found = run_together.get(wanted.replace("-", "")) or shuffled.get(tuple(sorted(wanted.split("-"))))
    return f" Did you mean '{found}'?" if found else ""


def _absent(method: Absent) -> str:
    nearest = ", ".join(f"'{name}'" for name in method.nearest)
    plugin = method.plugin or ANY_PLUGIN
    return (
        f"It is known ({method.what}) and not in clbench; nearest of its kind here: {nearest}. Any Avalanche plugin "
        f"works by import path, e.g. --strategy avalanche.training.plugins.{plugin}."
    )
