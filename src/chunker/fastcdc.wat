;; The rule of fastcdc.ts. Memory: the gear table (256 x i32) from 0, the arena from 4096.
;; test/chunker/wasm-source.test.ts compiles this and compares it with the constant in
;; fastcdc-wasm.ts, which is what runs.
(module
  (import "cairn" "memory" (memory 1))

  ;; The first position in ($from, $end] at which the hash has no bit of $mask, or 0: positions are
  ;; addresses of the byte after a cut. $from - 31 .. $from - 1 are read to warm up the hash, so
  ;; that the first one tested is after the byte at $from.
  (func (export "firstCut") (param $mask i32) (param $from i32) (param $end i32) (result i32)
    (local $h i32) (local $at i32) (local $unrolledEnd i32)
    (local.set $at (i32.sub (local.get $from) (i32.const 31)))
    (loop $warm
      (local.set $h (i32.add
        (i32.shl (local.get $h) (i32.const 1))
        (i32.load (i32.shl (i32.load8_u (local.get $at)) (i32.const 2)))))
      (br_if $warm (i32.lt_u
        (local.tee $at (i32.add (local.get $at) (i32.const 1)))
        (local.get $from))))
    (local.set $unrolledEnd (i32.sub (local.get $end) (i32.const 3)))
    (block $cut4 (block $cut3 (block $cut2 (block $cut1
      (if (i32.lt_u (local.get $at) (local.get $unrolledEnd)) (then
        (loop $four
          (br_if $cut1 (i32.eqz (i32.and (local.get $mask) (local.tee $h (i32.add
            (i32.shl (local.get $h) (i32.const 1))
            (i32.load (i32.shl (i32.load8_u (local.get $at)) (i32.const 2))))))))
          (br_if $cut2 (i32.eqz (i32.and (local.get $mask) (local.tee $h (i32.add
            (i32.shl (local.get $h) (i32.const 1))
            (i32.load (i32.shl (i32.load8_u offset=1 (local.get $at)) (i32.const 2))))))))
          (br_if $cut3 (i32.eqz (i32.and (local.get $mask) (local.tee $h (i32.add
            (i32.shl (local.get $h) (i32.const 1))
            (i32.load (i32.shl (i32.load8_u offset=2 (local.get $at)) (i32.const 2))))))))
          (br_if $cut4 (i32.eqz (i32.and (local.get $mask) (local.tee $h (i32.add
            (i32.shl (local.get $h) (i32.const 1))
            (i32.load (i32.shl (i32.load8_u offset=3 (local.get $at)) (i32.const 2))))))))
          (br_if $four (i32.lt_u
            (local.tee $at (i32.add (local.get $at) (i32.const 4)))
            (local.get $unrolledEnd))))))
      (block $none
        (loop $one
          (br_if $none (i32.ge_u (local.get $at) (local.get $end)))
          (br_if $cut1 (i32.eqz (i32.and (local.get $mask) (local.tee $h (i32.add
            (i32.shl (local.get $h) (i32.const 1))
            (i32.load (i32.shl (i32.load8_u (local.get $at)) (i32.const 2))))))))
          (local.set $at (i32.add (local.get $at) (i32.const 1)))
          (br $one)))
      (return (i32.const 0)))
      (return (i32.add (local.get $at) (i32.const 1))))
      (return (i32.add (local.get $at) (i32.const 2))))
      (return (i32.add (local.get $at) (i32.const 3))))
    (i32.add (local.get $at) (i32.const 4))))
