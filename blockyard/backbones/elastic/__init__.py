"""Networks within a network, which share its weights."""

from blockyard.backbones.elastic.choices import Choices, Space, space_of
from blockyard.backbones.elastic.sub_networks import Borrower, Sharing, elastic_part, sub_network

__all__ = ["Borrower", "Choices", "Sharing", "Space", "elastic_part", "space_of", "sub_network"]
