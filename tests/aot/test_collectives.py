import pytest

from facerep_jax.aot import collectives

HEAD = "HloModule m\n\nENTRY %main (p: f32[4]) -> f32[4] {\n"
TPU = """
  %all-reduce.7 = (f32[2,8]{1,0:T(8,128)}, f32[4,4,3,16]{1,0,2,3}) \
all-reduce(%a, %b), channel_id=1, replica_groups={{0,1},{2,3}}, to_apply=%add
  %reduce-scatter.3 = f32[3,8]{1,0} reduce-scatter(%c), channel_id=2, \
replica_groups={{0,1},{2,3}}, dimensions={0}, to_apply=%add
  %send.5 = (f32[6,4]{1,0}, u32[], token[]) send(%d, %e), channel_id=3, \
is_host_transfer=true, frontend_attributes={_xla_megascale_target="{1,2}x{0}"}
  %send-done.5 = token[] send-done(%send.5), channel_id=3, \
frontend_attributes={_xla_host_transfer_handler_name="xla_megascale_runtime"}
  %all-gather.2 = f32[6,8]{1,0} all-gather(%f), channel_id=2, \
replica_groups={{0,1},{2,3}}, dimensions={0}
  %all-gather.9 = f32[999]{0} all-gather(%g), channel_id=4, \
replica_groups=[1,4]<=[4], dimensions={0}, metadata={op_name="jit(step)/sort"}
"""
SIZES = (768, 48)  # Numbers in each array of parameters.


def find(text, **kwargs):
  known = {"num_devices": 4, "num_slices": 2, "parameter_sizes": SIZES}
  return collectives.find(HEAD + text + "}\n", **known | kwargs)


def test_what_a_step_on_two_slices_sends():
  found = {x.name: x for x in find(TPU)}
  assert list(found) == [
    *("all-reduce.7", "reduce-scatter.3", "send.5", "all-gather.2"),
    "all-gather.9",
  ]
  kinds = [x.kind for x in found.values()]
  assert kinds == [
    *("all-reduce", "reduce-scatter", "send", "all-gather", "all-gather")
  ]
  # A reduce-scatter counts whole: two devices a group.
  sizes = {name: x.num_bytes for name, x in found.items()}
  assert sizes == {
    "all-reduce.7": 64 + 4 * 768,
    "reduce-scatter.3": 4 * 48,
    "send.5": 4 * 24,
    "all-gather.2": 4 * 48,
    "all-gather.9": 4 * 999,
  }
  other = {name: x.other_bytes for name, x in found.items()}
  assert other == {
    "all-reduce.7": 64,
    "reduce-scatter.3": 0,
    "send.5": 0,  # Half of 48: the share of a device of two.
    "all-gather.2": 0,
    "all-gather.9": 4 * 999,
  }
  across = {name for name, x in found.items() if x.is_across_slices}
  assert across == {"send.5", "all-gather.9"}
  assert found["all-gather.9"].origin == "jit(step)/sort"
  assert not any(x.is_in_loop for x in found.values())


def test_on_one_slice_gradients_are_not_gathered():
  found = {x.name: x for x in find(TPU, num_slices=1)}
  assert found["all-gather.2"].other_bytes == 4 * 48
  assert found["all-reduce.7"].is_gradient
  assert not any(x.is_across_slices for x in found.values() if x.kind != "send")


def test_in_loops_there_is_no_gradient():
  text = """HloModule m

%body (p: f32[48]) -> f32[48] {
  ROOT %all-reduce = f32[48]{0} all-reduce(%p), channel_id=1, to_apply=%add
}

ENTRY %main (p: f32[48]) -> f32[48] {
  ROOT %w = f32[48]{0} while(%p), condition=%condition, body=%body
}
"""
  (one,) = collectives.find(text, num_devices=4, parameter_sizes=SIZES)
  assert one.is_in_loop and not one.is_gradient
  assert one.other_bytes == one.num_bytes == 4 * 48


@pytest.mark.parametrize(
  ("groups", "is_across"),
  [
    ("{{0,1,2,3}}", True),
    ("{{0,1},{2,3}}", False),
    ("{{0,2},{1,3}}", True),
    ("{}", True),
    ("[2,2]<=[4]", False),
    ("[2,2]<=[2,2]T(1,0)", True),
    ("mesh['x'=2,'y'=2] {'y'}", False),
    ("mesh['x'=2,'y'=2] {'x'}", True),
    ("mesh['x'=4,'y'=1] {'x'}", True),
    ("mesh['x'=4] {'x':(1)2}", None),
    ("something new", None),
  ],
)
def test_groups_of_devices(groups, is_across):
  text = f"  %a = f32[4]{{0}} all-reduce(%p), replica_groups={groups}, x=%y\n"
  (one,) = find(text)
  assert one.is_across_slices is is_across


def test_pairs_of_devices_and_transfers_that_start():
  text = """
  %p.0 = (f32[4]{0}, f32[4]{0}, u32[], u32[]) collective-permute-start(%a), \
channel_id=1, source_target_pairs={{0,1},{1,2}}
  %p.1 = f32[4]{0} collective-permute-done(%p.0)
  %g.0 = ((f32[2], f32[3]), (f32[4], f32[6])) all-gather-start(%a, %b), \
channel_id=2, replica_groups={{0,1},{2,3}}, dimensions={0}
"""
  permute, gather = find(text)
  assert permute.kind == "collective-permute" and permute.num_bytes == 16
  assert permute.is_across_slices
  assert gather.kind == "all-gather" and gather.num_bytes == 40


def test_the_same_transfer_in_two_places_counts_once():
  line = "  %{} = f32[4]{{0}} all-reduce(%p), channel_id=5, to_apply=%add\n"
  assert len(find(line.format("a") + line.format("b"))) == 1


def test_sorts_of_transfers_are_added_up():
  rows = collectives.summary(find(TPU))
  assert [row["num_bytes"] for row in rows] == [3996, 3136, 192, 192, 96]
  assert rows[0] == {
    "kind": "all-gather",
    "is_gradient": False,
    "is_in_loop": False,
    "is_across_slices": True,
    "count": 1,
    "num_bytes": 3996,
    "largest_other_bytes": 3996,
    "origin": "jit(step)/sort",
  }
