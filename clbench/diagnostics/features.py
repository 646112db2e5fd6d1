"""What features are good for, and what they know: probes, information, sensitivity, the first layer's vectors."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

BINS = 30
ALPHAS = (1e-3, 1e-1, 1e1, 1e3, 1e5)
VECTORS = 3


def probe(train: Tensor, train_labels: Tensor, test: Tensor, test_labels: Tensor) -> float:
    """Accuracy of a linear classifier on features [n, p] of images that it was not fitted on.

    Ridge regression of one-hot labels on standardised features, its strength by leave-one-out on the fitted images
    (scikit-learn's RidgeClassifierCV).
    """
    from sklearn.linear_model import RidgeClassifierCV
    from threadpoolctl import threadpool_limits

    mean, spread = train.mean(0), train.std(0).clamp_min(1e-6)
    fitted, scored = (((x - mean) / spread).clamp(-1e3, 1e3).double().cpu().numpy() for x in (train, test))
    if len(train_labels.unique()) < 2:
        return float((test_labels == train_labels[0]).float().mean())
    with threadpool_limits(torch.get_num_threads(), "blas"):  # numpy's threads know nothing of torch's
        classifier = RidgeClassifierCV(ALPHAS).fit(fitted, train_labels.cpu().numpy())
    return float(classifier.score(scored, test_labels.cpu().numpy()))


def information(outputs: Tensor, labels: Tensor) -> tuple[float, float]:
    """I(X; T) and I(T; Y) in bits of a layer's outputs T [n, …] on n different images X with labels Y.

    The binned estimator (Shwartz-Ziv and Tishby 2017, arXiv:1703.00810): each output falls into one of 30 equal bins
    between the layer's smallest and largest (Saxe et al. 2018, for activations without bounds). T is a function of X,
    so I(X; T) = H(T), and I(T; Y) = H(T) − H(T|Y). Neither exceeds log₂ n, which wide layers reach: there the estimate
    says that all images are told apart, and no more.
    """
    states = _states(outputs)
    whole = _entropy(states)
    shares = [(labels == label) for label in labels.unique()]
    within = sum(float(mine.float().mean()) * _entropy(states[mine]) for mine in shares)
    return whole, max(whole - within, 0.0)


def _states(outputs: Tensor) -> Tensor:
    """A number for each image's bins: equal for equal bins, different for others but by an accident of 2⁻⁶⁴."""
    flat = outputs.flatten(1).float().nan_to_num()
    low, high = flat.min(), flat.max()
    random = torch.Generator().manual_seed(0)
    keys = torch.randint(-(2**62), 2**62, (flat.shape[1],), generator=random).to(flat.device)
    parts = flat.split(max(1, 2**22 // flat.shape[1]))
    width = ((high - low) / BINS).clamp_min(1e-30)
    return torch.cat([(((part - low) / width).long().clamp_max_(BINS - 1) * keys).sum(1) for part in parts])


def _entropy(states: Tensor) -> float:
    """In bits, of how often each number occurs."""
    counts = states.unique(return_counts=True)[1].double()
    share = counts / counts.sum()
    return float(torch.special.entr(share).sum() / torch.log(torch.tensor(2.0, dtype=torch.float64)))


def right_vectors(weight: Tensor, count: int) -> Tensor:
    """The first right singular vectors of a layer's weight [out, …], largest first, in the shape of its input."""
    finite = weight.flatten(1).float().clamp(-1e15, 1e15)  # of a network that is about to diverge
    vectors = torch.linalg.svd(finite, full_matrices=False).Vh[:count]
    shaped: Tensor = vectors.view(len(vectors), *weight.shape[1:])
    return shaped


def likeness(vectors: Tensor, inputs: Tensor) -> float:
    """How much vectors look like inputs [n, …]: |cos| of each with the input that is most alike, the mean over vectors.

    After Xie and Thuerey 2020 (arXiv:2007.00024), section 4, who compare by eye and by LPIPS.
    """
    cosines = functional.normalize(vectors.flatten(1), dim=1) @ functional.normalize(inputs.flatten(1), dim=1).T
    return float(cosines.abs().amax(1).mean())
