"""Sample data from the command line."""

from __future__ import annotations

import pytest

from blockyard.commands.samples import main, writers


def test_every_writer_is_listed_with_what_it_writes(capsys):
    assert main([]) == 0
    listed = capsys.readouterr().out
    demos = {"boxed_scenes", "human_actions", "motions", "moving_digits", "scenes", "spoken_commands", "walkers"}
    tiny = {"tiny_audio", "tiny_images", "tiny_pedestrians", "tiny_videos"}
    assert set(writers()) == demos | tiny | {"cifar_like"}
    for name in writers():
        assert f"\n  {name} " in listed


def test_options_are_the_arguments_of_the_writer(tmp_path, capsys):
    root = tmp_path / "videos"
    assert main(["tiny_videos", "--root", str(root), "--videos_per_class=4", "--classes", "[Grow, Shrink]"]) == 0
    assert capsys.readouterr().out == f"{root}\n"
    assert len(list(root.glob("UCF-101/*/*.avi"))) == 8


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["human_action"], "did you mean human_actions"),
        (["tiny_videos", "--seed=1"], "tiny_videos: the following arguments are required: --root"),
        (["tiny_videos", "--root", "x", "--sede", "1"], "no option --sede; did you mean --seed"),
        (["tiny_videos", "--root", "x", "--seed", "one"], "seed: expected int, got one"),
    ],
)
def test_mistakes_are_answered_in_one_line(arguments, part):
    with pytest.raises(ValueError, match=part) as error:
        main(arguments)
    assert "\n" not in str(error.value)
