import pytest

from facerep_jax import cli, errors


def test_input_errors_are_one_line_and_code_1(capsys):
  def main(arguments):
    raise errors.InputError("no such\n  thing")

  assert cli.run(main) == 1
  assert capsys.readouterr().err == "error: no such thing\n"


def test_interrupt_is_code_130(capsys):
  def main(arguments):
    raise KeyboardInterrupt

  assert cli.run(main) == 130


def test_defects_keep_their_traceback():
  def main(arguments):
    raise ZeroDivisionError

  with pytest.raises(ZeroDivisionError):
    cli.run(main)


def test_codes_are_passed_on():
  assert cli.run(lambda arguments: None) == 0
  assert cli.run(lambda arguments: 3) == 3


def test_parser_complains_by_input_error():
  with pytest.raises(errors.InputError, match=r"--nonsense.*--help"):
    cli.Parser("x").parse_args(["--nonsense"])


def test_options_of_before_tell_their_successor():
  parser = cli.Parser("x")
  parser.add_argument("--pose-scale", type=float)
  parser.add_argument("--source")
  with pytest.raises(errors.InputError) as caught:
    parser.parse_args(["--turns=0.4", "--source=a"])
  assert str(caught.value) == "--turns: is called --pose-scale now (see --help)"
  for options in (["--turns-x=1"], ["--readouts=a"]):
    with pytest.raises(errors.InputError, match="unrecognized arguments"):
      parser.parse_args(options)


def test_progress_without_a_terminal_is_lines(capsys):
  with cli.Progress(2, "videos", "frames") as progress:
    progress.advance(1, 30)
    progress.advance(1, 12)
  (line,) = capsys.readouterr().err.splitlines()
  assert line.startswith("2 of 2 videos, 42 frames")


def test_progress_leaves_out_what_was_done_before(capsys):
  with cli.Progress(3, "videos", "frames") as progress:
    progress.drop(2)
    progress.advance(1, 12)
  assert capsys.readouterr().err.startswith("1 of 1 videos, 12 frames")


@pytest.mark.parametrize(
  "past_s,total,left",
  [
    (20, 6, "100 s"),
    (20, 51, "16.7 min"),
    (1_000, 51, "13.9 h"),
    (10_000, 51, "5.8 days"),
  ],
)
def test_progress_says_the_time_left(past_s, total, left, capsys, monkeypatch):
  now = [0.0]
  monkeypatch.setattr(cli.time, "monotonic", lambda: now[0])
  with cli.Progress(total, "steps", "tracks") as progress:
    now[0] += past_s
    progress.advance(1, 8)
  assert f"/s, {left} left" in capsys.readouterr().err
