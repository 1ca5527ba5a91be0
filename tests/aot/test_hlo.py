import pytest

from facerep_jax.aot import hlo

# Lines of a compiled program, cut: a transfer in the condition of a loop, one
# in what its body calls, one outside.
TEXT = """HloModule jit_f, is_scheduled=true, num_partitions=8

FileNames
1 "f.py"

%add (x: f32[], y: f32[]) -> f32[] {
  %x = f32[] parameter(0)
  ROOT %sum.0 = f32[] add(%x, %y)
}

%called (p: f32[4]) -> f32[4] {
  ROOT %all-reduce.1 = f32[4]{0} all-reduce(%p), channel_id=2, to_apply=%add
}

%body (p: (s32[], f32[4])) -> (s32[], f32[4]) {
  %call.0 = f32[4]{0} fusion(%p), kind=kCustom, calls=%called
  ROOT %t = (s32[], f32[4]{0:T(128)S(1)}, /*index=2*/u8[2,3]) tuple(%call.0)
}

%condition (p: (s32[], f32[4])) -> pred[] {
  ROOT %all-reduce = pred[] all-reduce(%p), channel_id=1, to_apply=%add
}

ENTRY %main (p: f32[4]) -> (s32[], f32[4]) {
  %all-gather-start = (f32[2]{0}, f32[4]{0}) all-gather-start(%p), channel_id=3
  ROOT %w = (s32[], f32[4]) while(%p), condition=%condition, body=%body
}
"""


def test_instructions_know_their_loops():
  found = {x.name: x for x in hlo.instructions(TEXT)}
  assert len(found) == 8
  names = {name for name, x in found.items() if x.is_in_loop}
  assert names == {"x", "sum.0", "all-reduce.1", "call.0", "t", "all-reduce"}
  assert found["all-gather-start"].computation == "main"
  assert found["all-gather-start"].opcode == "all-gather-start"
  assert found["t"].opcode == "tuple"
  assert found["w"].rest.startswith("%p), condition=%condition")
  sizes = [x.num_bytes for x in found["t"].arrays]
  assert sizes == [4, 16, 6]


def test_without_loops_nothing_is_in_one():
  text = TEXT.replace("while(", "call(")
  assert not any(x.is_in_loop for x in hlo.instructions(text))


@pytest.mark.parametrize(
  ("text", "num_bytes"),
  [
    ("f32[]", [4]),
    ("bf16[2,16]{1,0:T(8,128)(2,1)S(1)}", [64]),
    ("(s4[3]{0}, u32[], token[])", [2, 4]),
    ("(f32[2]{0}, /*index=1*/c64[2]{0})", [8, 16]),
    ("pred[<=8]{0}", [8]),
    ("f8e4m3fn[10]", [10]),
    ("f32[0,4]", [0]),
    ("()", []),
  ],
)
def test_types(text, num_bytes):
  assert [x.num_bytes for x in hlo.arrays(text)] == num_bytes


def test_unknown_types_are_told():
  (array,) = hlo.arrays("q3[5]")
  with pytest.raises(ValueError, match="'q3'"):
    _ = array.num_bytes
