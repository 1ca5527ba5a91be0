"""Measures speed on this machine.

python -m facerep_jax.benchmark [--only=NAME,NAME] [--output=DIR]

Run it on a machine that does nothing else. `--only=detection` measures which
faces detectors find, `--only=face_tools` the speed of `embed` beside others.
"""

import argparse
import pathlib
import sys

import jax

from facerep_jax import cli, errors
from facerep_jax.benchmarks import (
  autoencoder,
  autoencoder_pieces,
  data,
  detection,
  devices,
  diffusion,
  fabnet,
  face_pictures,
  face_rates,
  render,
  report,
)
from facerep_jax.configs import latentface
from facerep_jax.data import cache
from facerep_jax.detection import detect
from facerep_jax.files import outputs
from facerep_jax.models import fabnet as model
from facerep_jax.runs import configuration, process_options, stages


def main(arguments: list[str]) -> None:
  """Runs the command.

  Args:
    arguments: What follows the command's name.

  Raises:
    InputError: The arguments cannot be used.
  """
  options = _parser().parse_args(arguments)
  # Not by argparse, which would hide what is wrong with them.
  options.only = _names(options.only)
  options.sizes = _sizes(options.sizes)
  options.presets = _presets(options.presets)
  options.torch = _some_of("--torch", options.torch, fabnet.TORCH_FORMS)
  options.dtypes = _some_of("--dtypes", options.dtypes, fabnet.DTYPES)
  folder = pathlib.Path(options.output)
  outputs.check_folder(folder, "--output")
  folder.mkdir(parents=True, exist_ok=True)
  where = report.begin()
  sections = []

  def save(*unfinished):
    report.save(folder, where, [*sections, *unfinished])

  options.save = save  # Rows so far, for runs that are cut.
  with process_options.compiling_anew():
    for name in options.only:
      for section in BENCHMARKS[name](options):
        sections.append(section)
        save()
  print(report.markdown(where, sections))
  print(f"{folder}: benchmark.md, benchmark.json")


def _run_data(options):
  config = _config("fabnet", "demo")
  config.synthetic.num_people = 24
  large = _config("fabnet", "paper")
  large.data.sample_by = "chunk"
  large.synthetic.update(num_people=8, tracks_per_person=1, size_px=256)
  sets = [(c, cache.synthetic(**c.synthetic)) for c in (config, large)]
  yield data.rates(sets, limit_s=options.seconds)
  yield data.waiting(*sets[0])


def _config(name, preset):
  return configuration.from_file(f"{name}:{preset}").unlock()


def _run_fabnet(options):
  is_cpu = jax.default_backend() == "cpu"
  forms = fabnet.CPU_FORMS if is_cpu else tuple(fabnet.TORCH_FORMS)
  dtypes = fabnet.DTYPES[:1] if is_cpu else fabnet.DTYPES
  return [
    fabnet.measure(
      options.sizes,
      limit_s=options.seconds,
      dtypes=dtypes if options.dtypes is None else options.dtypes,
      torch_forms=forms if options.torch is None else options.torch,
      so_far=options.save,
    )
  ]


def _run_render(options):
  forms = dict(render.FORMS)
  if jax.default_backend() != "cpu":
    forms |= render.TILES
  yield from render.measure(forms=forms, limit_s=options.seconds)
  yield render.against_brute_force(limit_s=options.seconds)


def _run_autoencoder(options):
  configs = []
  for preset, size_px, batch_size in options.presets:
    config = _autoencoder_config(preset)
    config.model.size_px = size_px
    config.batch_size = batch_size
    configs.append(config)
  demo = _autoencoder_config("demo")
  yield autoencoder.measure(
    configs, limit_s=options.seconds, so_far=options.save
  )
  yield autoencoder_pieces.measure(demo, limit_s=options.seconds)


def _autoencoder_config(preset):
  return stages.config_of(_config("latentface", preset), "autoencoder")


def _run_devices(options):
  configs = {
    "LatentFace, demo": _autoencoder_config("demo"),
    "FAb-Net, demo": _config("fabnet", "demo"),
  }
  return [devices.measure(configs, limit_s=options.seconds)]


def _run_diffusion(options):
  return [diffusion.measure(limit_s=options.seconds)]


def _run_detection(options):
  names = [name for name in options.detectors.split(",") if name]
  detectors = {name: detect.make_detector(name) for name in names}
  if not names:
    raise errors.InputError("--detectors: expected one or more names or files.")
  cv2 = errors.require("cv2", "video", "finding faces")
  cv2.setNumThreads(1)  # As each worker of make_tracks does.
  sets = face_pictures.synthetic(options.people)
  for text in options.data:
    sets += face_pictures.labelled(text, options.pictures)
  sections = [detection.compare(detectors, sets)]
  if options.videos:
    sections.append(detection.watch(detectors, options.videos))
  return sections


def _run_face_tools(options):
  if not options.videos:
    raise errors.InputError("--only=face_tools: expected --videos=FOLDER.")
  for name in ("turns", "frames"):
    if (value := getattr(options, name)) < 1:
      raise errors.InputError(f"--{name}={value}: expected 1 or more.")
  return [
    face_rates.measure(
      options.videos,
      detector=name,
      model=options.model,
      pythons=dict(map(_python, options.python)),
      num_turns=options.turns,
      most=options.frames,
    )
    for name in options.detectors.split(",")
  ]


def _python(text):
  """Returns the tool and the Python that an option names."""
  name, _, path = text.partition("=")
  if not (name and path):
    raise errors.InputError(f"--python={text}: expected TOOL=PATH.")
  return name, path


BENCHMARKS = {
  "data": _run_data,
  "fabnet": _run_fabnet,
  "render": _run_render,
  "autoencoder": _run_autoencoder,
  "devices": _run_devices,
  "diffusion": _run_diffusion,
  "detection": _run_detection,
  "face_tools": _run_face_tools,
}
# They need an extra, and videos.
_ONLY_NAMED = ("detection", "face_tools")


def _parser():
  parser = cli.Parser(
    "python -m facerep_jax.benchmark",
    description=__doc__,
    formatter_class=argparse.RawDescriptionHelpFormatter,
  )
  add = parser.add_argument
  add(
    "--only",
    default=",".join(name for name in BENCHMARKS if name not in _ONLY_NAMED),
    help=f"which, with commas between: {', '.join(BENCHMARKS)} (default: all "
    f"but {', '.join(_ONLY_NAMED)})",
  )
  add("--output", default="runs/benchmark", help="folder for the results")
  add(
    "--sizes",
    default=",".join(f"{px}:{batch}" for px, batch in fabnet.SIZES.items()),
    help="fabnet: pixels and batch sizes (default: %(default)s)",
  )
  add(
    "--presets",
    default=",".join(":".join(map(str, row)) for row in autoencoder.PRESETS),
    help="autoencoder: presets of latentface, pixels and batch sizes (default: "
    "%(default)s)",
  )
  add(
    "--dtypes",
    help=f"fabnet: some of {', '.join(fabnet.DTYPES)} (default: on CPUs "
    "float32, elsewhere both)",
  )
  add(
    "--torch",
    help=f"fabnet: forms of PyTorch beside, some of "
    f"{', '.join(fabnet.TORCH_FORMS)}; an empty list for none (default: on "
    f"CPUs {','.join(fabnet.CPU_FORMS)}, elsewhere all)",
  )
  add(
    "--seconds",
    type=float,
    default=8.0,
    help="time for each row, about (default: %(default)s)",
  )
  _add_detection(add)
  _add_face_tools(add)
  return parser


def _add_detection(add):
  """Adds the options of what detectors find."""
  add(
    "--detectors",
    default=",".join(detect.NAMES),
    help="detection, face_tools: names or model files, with commas between "
    "(default: %(default)s)",
  )
  add(
    "--data",
    action="append",
    default=[],
    help="detection: a labelled set, as of evaluate; may be repeated",
  )
  add(
    "--videos",
    help="folder of videos; of detection: of one person each",
  )
  add(
    "--people",
    type=int,
    default=120,
    help="detection: synthetic people (default: %(default)s)",
  )
  add(
    "--pictures",
    type=int,
    default=400,
    help="detection: most pictures of a labelled set (default: %(default)s)",
  )


def _add_face_tools(add):
  """Adds the options of the speed of `embed` beside others."""
  add(
    "--model",
    default="latentface-synthetic",
    help="face_tools: as of embed (default: %(default)s)",
  )
  add(
    "--python",
    action="append",
    default=[],
    metavar="TOOL=PATH",
    help="face_tools: the Python of an environment that has TOOL, one of "
    f"{', '.join(face_rates.face_tools.TOOLS)}; may be repeated",
  )
  add(
    "--turns",
    type=int,
    default=3,
    help="face_tools: how often each runs (default: %(default)s)",
  )
  add(
    "--frames",
    type=int,
    default=10**6,
    help="face_tools: frames that each other tool reads, at most (default: "
    "all)",
  )


def _names(text):
  names = tuple(dict.fromkeys(name for name in text.split(",") if name))
  unknown = [name for name in names if name not in BENCHMARKS]
  if unknown or not names:
    raise errors.InputError(
      f"--only={text}: expected some of {', '.join(BENCHMARKS)}."
    )
  return names


def _presets(text):
  """Returns presets of LatentFace with pixels and batch sizes."""
  try:
    rows = [row.split(":") for row in text.split(",")]
    rows = [(name, int(size), int(batch)) for name, size, batch in rows]
  except ValueError as error:
    raise errors.InputError(
      f"--presets={text}: expected presets, pixels and batch sizes, such as "
      "demo:64:8,paper:64:64."
    ) from error
  for name, size_px, batch_size in rows:
    if name not in latentface.PRESETS:
      raise errors.InputError(
        f"--presets={text}: no preset {name!r}; there are "
        f"{', '.join(latentface.PRESETS)}."
      )
    if size_px not in (64, 128, 256) or batch_size < 1:
      raise errors.InputError(
        f"--presets={text}: expected 64, 128 or 256 px, and batches of 1 or "
        "more."
      )
  return tuple(rows)


def _some_of(option, text, known):
  """Returns names that an option lists, None where it is not given."""
  if text is None:
    return None
  names = tuple(dict.fromkeys(name for name in text.split(",") if name))
  if unknown := [name for name in names if name not in known]:
    raise errors.InputError(
      f"{option}={text}: {unknown[0]}: expected some of {', '.join(known)}."
    )
  if option == "--dtypes" and not names:
    raise errors.InputError(
      f"{option}={text}: expected some of {', '.join(known)}."
    )
  return names


def _sizes(text):
  try:
    sizes = dict(map(int, pair.split(":")) for pair in text.split(","))
  except ValueError as error:
    raise errors.InputError(
      f"--sizes={text}: expected pixels and batch sizes, such as 64:32,128:16."
    ) from error
  for size_px, batch_size in sizes.items():
    model.channel_scales(size_px)
    if batch_size < 1:
      raise errors.InputError(f"--sizes={text}: expected batches of 1 or more.")
  return sizes


if __name__ == "__main__":
  sys.exit(cli.run(main))
