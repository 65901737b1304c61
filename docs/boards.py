"""What the page of blocks says of the leaderboard of each study, in the order of the page."""

from __future__ import annotations

STUDIES = {
    "digits-blocks": """\
# Every block at one place

`blockyard study studies/digits-blocks.yaml` trains one small network with each block after the only unit of its second
stage (32 channels, 14×14), or in place of a convolution or an activation there, with five seeds.

It shows that every block trains there, what it costs, and effects that would have to be large. It cannot say which
block is better:

- 3,500 training images of digits and three epochs: most runs have not converged, and what converges faster is not what
  ends higher.
- 1,000 test images: half a percent is five images. The intervals over test items tell that part of the uncertainty.
- One place with the default options, chosen for none of them: blocks of many channels, large maps or deep networks are
  out of their element. Blocks that stand in place of a convolution take its weights away, others add theirs.
- Five seeds: with Holm's correction over all rows, a difference is significant only where its mean is several times its
  standard deviation over the seeds. No significance is no equality.
- MixStyle is made for domains that differ, GSoP and the nonlocal blocks for scenes: digits have neither.
""",
    "digits-mixers": """\
# Every block as the only way that information moves

`blockyard study studies/digits-mixers.yaml` trains a MetaFormer of four units on patches of 4×4 pixels that do not
overlap, 7×7 of them, whose mixers are the block, with five seeds. Nothing else moves anything from patch to patch:
without a block the network sees a bag of patches. No vector says where a patch lies, so that blocks that treat
positions as a set can move what patches hold, but not where.

- Learned weights for offsets carry the network, in whatever form: convolutions, also cheap or depthwise ones, local
  attention with relative positions, an MLP along each axis.
- Attention and gates over a set of patches, all nonlocal blocks without positions among them, end a few points above
  the bag of patches or beside it: to know what is elsewhere is little where the question is how strokes meet.
- RelativeAttention and SampledAttention, which reads where it chooses, know offsets too, and are far ahead of other
  global attention, but what they reach differs from seed to seed; GatedPositionalAttention, made for long trainings,
  has not moved in six epochs.
- Not one of these numbers says how good a block is in the network it was made for.
""",
    "digits-networks": """\
# The suite's networks, small

`blockyard study studies/digits-networks.yaml` trains every network of the suite at a size for 28×28 pixels, three
epochs and three seeds each, to show that each learns. The sizes, the optimiser and its rate were chosen for none of
them, so the order says nothing of the published networks: those without convolutions at the start, of patches alone,
have only begun.
""",
    "motions-networks": """\
# The suite's networks in one dimension

`blockyard study studies/motions-networks.yaml` trains the same networks, in one dimension, on how joints bend in
thirteen actions (64 samples of motion capture), ten epochs and three seeds each: guessing gives 8 %. The order says
nothing of the published networks, which are of pictures.
""",
    "spoken-networks": """\
# The suite's networks on sound

`blockyard study studies/spoken-networks.yaml` trains the same networks, in one dimension, on ten words by synthetic
voices under noise, the 40 bands of a spectrogram as channels: five epochs and three seeds each, where guessing gives
10 %. Short training tells how fast they learn, not how far they get.
""",
    "clips-networks": """\
# The suite's networks on videos

`blockyard study studies/clips-networks.yaml` trains the same networks, in three dimensions, and an LSTM over what
resnet10t makes of each frame (LRCN), on clips of eight frames and 32×32 pixels of handwritten digits that move, ten
epochs and three seeds each: 27 to 96 %, where guessing gives 10 %. What it shows is that each learns there; patches of
4×4×4 leave little to look at in so small a clip.
""",
    "scenes-heads": """\
# Decode heads on one trunk

`blockyard study studies/scenes-heads.yaml` trains eight decode heads on the maps of one small trunk (PreResNet-8), on
540 scenes of digits and flowers before photographs, fifteen epochs and five seeds each. FCN's head is that of SNL
without the block.

- FFNet's up-head and FCN's are ahead, and five seeds do not tell them apart; fifteen epochs are short.
- SNL's head ends no higher than FCN's, which is the same without the block.
- UNet's and UNet++'s end below, with most multiplications. OneFormer's, with the most weights, trains at a fifth of the
  others' rate.
- 150 test pictures, and options chosen for none of them: it shows that each trains there and what it costs.
""",
    "boxed_scenes-detectors": """\
# Detectors, necks and a head on one trunk

`blockyard study studies/boxed_scenes-detectors.yaml` trains torchvision's detectors over the maps of one small trunk
(PreResNet-8) on 540 composed pictures, twelve epochs each, with necks and with RelationNet++'s head.

- FullPAD is ahead of FPN with each seed, for a quarter more parameters; the other necks and heads are not told apart.
- The options were chosen for none of them. RetinaNet, whose towers have no norms here, has hardly begun after twelve
  epochs from random weights.
- 150 test pictures, and few seeds, told in the table: it shows that each trains and what it costs.
""",
    "noisy_photographs-networks": """\
# Networks that take noise off photographs

`blockyard study studies/noisy_photographs-networks.yaml` trains units of two convolutions, and a MAXIM of 8 channels
with one stage, on crops of photographs with noise, eighty steps and three seeds each. Both take noise off, and eighty
steps say nothing of where they end.
""",
    "windowed_digits-networks": """\
# Pictures as clips

`blockyard study studies/windowed_digits-networks.yaml` reads digits as clips of as many windows, whatever their size
(VOTCSW), by a network of clips and by one that sees each window by itself, five epochs and three seeds each. What
windows share is worth something: the network of clips is ahead with each seed.
""",
    "digits-poolings": """\
# What stands before the classifier

`blockyard study studies/digits-poolings.yaml` trains one small network, three epochs and three seeds each, with second
moments, with a mean between mean and maximum, and with polynomials of all features in place of the mean. None is told
apart from the mean but `ResidualTensorTrain`, which starts slowly.
""",
    "digits-recipes": """\
# Losses, gradients and paths

`blockyard study studies/digits-recipes.yaml` trains small networks, four epochs and three seeds each, with and without
BiasLoss, GradientActivation and ScheduledDropPath, all at their defaults. Paths that drop more and more often end
higher with each seed than paths that drop as often all along; the other two are not told apart from nothing.
""",
    "digits-unfreezing": """\
# Part by part

`blockyard study studies/digits-unfreezing.yaml` trains a network of two branches from scratch or after each branch was
trained on a view of its own, all at once or its parts one after another, three seeds each. Two views first are worth
two points; after them it is no matter whether parts thaw, and from scratch, where what waits is random, it costs some.
""",
    "spoken-front_ends": """\
# What a network sees of sound

`blockyard study studies/spoken-front_ends.yaml` trains PreResNet-8 and FunnelNet, which has a fiftieth of its
parameters, on spectrograms and on scalograms of ten words under noise, twenty epochs and three seeds each. Bands carry
PreResNet further than scales do; FunnelNet is not told apart on them. Only the bands are masked in training.
""",
    "digits-objectives": """\
# What a step minimises, on pictures

`blockyard study studies/digits-objectives.yaml` trains one small network with each objective, five seeds;
[objectives.md](objectives.md#side-by-side) puts the rows beside the task's own loss.
""",
    "spoken-objectives": """\
# What a step minimises, on sounds

`blockyard study studies/spoken-objectives.yaml` does the same with spoken words.
""",
    "digits-pretraining": """\
# What pretexts leave, on pictures

`blockyard study studies/digits-pretraining.yaml`: two pretexts, a probe of what they learned, and a training that
begins with it, by the number of labels; [objectives.md](objectives.md#side-by-side) has the table.
""",
    "spoken-pretraining": """\
# What pretexts leave, on sounds

`blockyard study studies/spoken-pretraining.yaml` does the same with spoken words.
""",
    "digits-stages": """\
# What is done to whole stages

`blockyard study studies/digits-stages.yaml` runs every stage of a PreResNet-20 in another way, with five seeds.
""",
    "transport-mixers": """\
# Every block as what carries a sign across a picture

`blockyard study studies/transport-mixers.yaml` asks each position of the right half of a canvas which digit stands
framed at its far left ([diagnostics](diagnostics.md)), of a MetaFormer of four units on patches of 4×4 pixels whose
mixers are the block, with three seeds. Without a block, and with most blocks of narrow kernels, the mean IoU is about
that of guessing.

- Here the set of what is elsewhere is an answer: all attention and all nonlocal blocks get far above none, which they
  did not on the digits. So do GlobalContext, which looks where it has learned to, and GSoP, by second moments.
- Kernels of seven and more positions in each of four units reach across, and end ahead of attention without positions:
  LSConvolution, RaftMixer, NASNetCell, SMixer, DepthwiseConvolution, DilatedReparam. Attention that knows offsets
  (RelativeAttention, GatedPositionalAttention) is between the two.
- A few runs stay at chance while others of the same block get far: CMixer's third seed, GhostModule's second and
  third. RecursiveGatedConvolution has a kernel of seven and never left it in five epochs.
- Blocks that gate channels by means (SqueezeExcitation, ECA) carry nothing where the mean is of a bag of patches.
""",
}
"""What stands above the leaderboard of each study, by its folder."""
