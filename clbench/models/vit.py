"""Vision transformers, from timm."""

from __future__ import annotations

from torch import nn

from clbench.errors import UserError
from clbench.models._shape import image_shape
from clbench.registry import Count, Shape, model


@model("vit")
def vit(shape: Shape, *, patch: Count = 4, width: Count = 192, depth: Count = 12, heads: Count = 3) -> nn.Module:
    """Vision transformer, by default ViT-Tiny with patches for small images; its class token is the feature.

    Dosovitskiy et al. 2021 (arXiv:2010.11929). timm's implementation, without weights: give those with --pretrain. It
    needs timm: pip install 'clbench[vit]'.
    patch: side of a square patch in pixels. width: of the embedding. depth: how many blocks. heads: of each attention.
    """
    channels, height, breadth = image_shape("vit", shape)
    try:
        from timm.models.vision_transformer import VisionTransformer
    except ModuleNotFoundError:
        raise UserError("model 'vit' needs timm, which is not installed. Run: pip install 'clbench[vit]'") from None
    if height % patch or breadth % patch or width % heads:
        raise UserError(
            f"model: {height} × {breadth} pixels must be divisible by model.patch ({patch}) and model.width ({width}) "
            f"by model.heads ({heads}). Change one, or scenario.image_size."
        )
    network: nn.Module = VisionTransformer(
        img_size=(height, breadth),
        patch_size=patch,
        in_chans=channels,
        embed_dim=width,
        depth=depth,
        num_heads=heads,
        num_classes=0,
    )
    return network
