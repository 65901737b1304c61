"""OneFormer: queries that a task's name begins, which find the masks of a picture and their classes.

mmsegmentation, whose registry has the head, is imported with :mod:`blockyard.heads.oneformer.head`, not before.
"""

from blockyard.heads.oneformer.deformable_attention import MultiScaleDeformableAttention
from blockyard.heads.oneformer.segments import Segments

__all__ = ["MultiScaleDeformableAttention", "Segments"]
