"""What turns a backbone's maps into a prediction for every pixel: mmsegmentation's heads and ours.

mmsegmentation is imported when the first network is made, not before.
"""

from blockyard.heads.bridged_head import BridgedHead
from blockyard.heads.decode_head import check_heads
from blockyard.heads.full_pad import FullPAD
from blockyard.heads.neck import Neck
from blockyard.heads.pyramid_necks import FPN, SEPC
from blockyard.heads.segmentor import Segmentor, make_segmentor
from blockyard.heads.stock import stock_segmentor
from blockyard.heads.token_pruning import EarlyExits, TokenPruning

__all__ = [
    "FPN",
    "SEPC",
    "BridgedHead",
    "EarlyExits",
    "FullPAD",
    "Neck",
    "Segmentor",
    "TokenPruning",
    "check_heads",
    "make_segmentor",
    "stock_segmentor",
]
