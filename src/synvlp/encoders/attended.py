"""GLoRIA's word-to-region attention for all captions and images at once, without the attended regions."""

import math
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

SMALLEST = 1e-8  # floor of the product of norms in a cosine


class AttendedCosine(torch.autograd.Function):
    """Cosine of every word with what it attends to in every image.

    For a word w of a caption and the regions c_r of an image (Huang et al., ICCV 2021, equations 3 to 6)

        s_r = w·c_r,   p_r = softmax of s_r over the words of w's caption,   q_r = exp(temperature p_r),
        cosine = w·a / (|w| |a|)   with   a = Σ_r q_r c_r.

    The attended a never exists: w·a = Σ_r q_r s_r, and |a|² = q·G q with the Gram matrix G of the image's regions.
    A cosine is blind to a's length, so that q needs no normalisation over regions.

    The words of all captions lie one after another, (N, D), those of a caption together; `members` (K, N) is 1 where
    word n belongs to caption k, `owner` (N,) is that k, `lengths` (K,) the number of words. Regions are (B, R, D).
    The result is (N, B). Derivatives are written out: they need half the matrix products and memory that autograd
    would.
    """

    @staticmethod
    def forward(ctx: Any, words: Tensor, regions: Tensor, lengths: Tensor, temperature: float) -> Tensor:
        owner, members = caption_of(lengths, words)
        similarity = words @ regions.flatten(0, 1).T  # (N, B R)
        share = softmax_over_words(similarity, lengths, owner, members)
        weight = _weights(share, temperature)
        by_image = (len(words), *regions.shape[:2])
        gram = regions @ regions.transpose(1, 2)
        spread = weight.view(by_image).transpose(0, 1) @ gram  # (B, N, R)
        product = (weight * similarity).view(by_image).sum(2)
        weight.view(by_image).mul_(spread.transpose(0, 1))
        squared = weight.view(by_image).sum(2).clamp_min(SMALLEST**2)
        cosine = product / _norms(words, squared)
        ctx.save_for_backward(words, regions, lengths, similarity, share, spread, squared, cosine)
        ctx.temperature = temperature
        return cosine

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        words, regions, lengths, similarity, share, spread, squared, cosine = ctx.saved_tensors
        with torch.autocast(words.device.type, enabled=False):
            owner, members = caption_of(lengths, words)
            by_image = (len(words), *regions.shape[:2])
            weight = _weights(share, ctx.temperature)
            to_product = (gradient / _norms(words, squared))[..., None]  # (N, B, 1)
            to_squared = (gradient * cosine / squared / -2)[..., None]

            scaled = (weight.view(by_image) * to_squared).transpose(0, 1)  # (B, N, R)
            to_gram = scaled.transpose(1, 2) @ weight.view(by_image).transpose(0, 1)
            del scaled

            to_share = similarity.view(by_image) * to_product
            to_share.addcmul_(spread.transpose(0, 1), to_squared, value=2)
            to_share = to_share.view(similarity.shape).mul_(weight).mul_(ctx.temperature).mul_(share)
            total = members @ to_share  # softmax: p (g - Σ p g), here with p g at once
            to_similarity = to_share.sub_(total[owner].mul_(share))
            to_similarity.view(by_image).addcmul_(weight.view(by_image), to_product)
            del weight

            to_words = to_similarity @ regions.flatten(0, 1)
            to_words -= words * ((gradient * cosine).sum(1) / _squared(words))[:, None]
            to_regions = (to_similarity.T @ words).view(regions.shape)
            del to_share, to_similarity
            to_regions.baddbmm_(to_gram, regions, alpha=2)
        return to_words, to_regions, None, None


def caption_of(lengths: Tensor, words: Tensor) -> tuple[Tensor, Tensor]:
    """For packed words (N, D) of captions with `lengths` (K,): each word's caption (N,), and the (K, N) indicator."""
    captions = torch.arange(len(lengths), device=lengths.device)
    owner = torch.repeat_interleave(captions, lengths, output_size=len(words))
    return owner, (captions[:, None] == owner).to(words.dtype)


def softmax_over_words(similarity: Tensor, lengths: Tensor, owner: Tensor, members: Tensor) -> Tensor:
    """Softmax of (N, M) along the words of each caption, each column by itself."""
    highest = torch.segment_reduce(similarity, "max", lengths=lengths, axis=0)
    share = highest[owner]
    share = torch.sub(similarity, share, out=share)
    # What adds nothing to a sum that holds exp(0) is set to zero: left as it is, its products fall below the normal
    # range of numbers, with which a CPU computes a hundred times slower.
    farthest = 2 * math.log(torch.finfo(share.dtype).eps)
    share = torch.threshold_(share, farthest, -torch.inf).exp_()
    return share.div_((members @ share)[owner])


def _weights(share: Tensor, temperature: float) -> Tensor:
    return (share - 1).mul_(temperature).exp_()


def _squared(words: Tensor) -> Tensor:
    return words.square().sum(1).clamp_min(SMALLEST**2)


def _norms(words: Tensor, squared: Tensor) -> Tensor:
    return (_squared(words)[:, None] * squared).sqrt_().clamp_min_(SMALLEST)
