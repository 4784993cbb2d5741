;; Decodes one XOR chunk (xor-encode.ts draws the format) from memory into two columns in the same memory; xor-kernel.ts
;; puts it there. xor-decode.ts is the same in TypeScript, and says what is wrong with hostile bytes: both give the same.
;;
;; The chunk lies in words of 64 bits whose highest bit comes first, which is why byte k is at k xor 7. 40 bytes behind it
;; may be read; whether the chunk had the bits is checked after each sample. Values are moved as integers: bits survive.
(module
  (import "scratch" "memory" (memory 1))
  ;; Stale markers decoded so far.
  (global $stale (export "stale") (mut i32) (i32.const 0))

  ;; The 64 bits from `bit` on. Shifts count modulo 64.
  (func $bits (param $chunk i32) (param $bit i32) (result i64)
    (local $at i32)
    (local.set $at
      (i32.add (local.get $chunk) (i32.shl (i32.shr_u (local.get $bit) (i32.const 6)) (i32.const 3))))
    (i64.or
      (i64.shl (i64.load (local.get $at)) (i64.extend_i32_u (local.get $bit)))
      (i64.shr_u
        (i64.shr_u (i64.load offset=8 (local.get $at)) (i64.const 1))
        (i64.xor (i64.extend_i32_u (local.get $bit)) (i64.const -1)))))

  ;; How many bytes the uvarint at byte `at` has; 0 when it has no end.
  (func $uvarintLength (param $chunk i32) (param $at i32) (result i32)
    (local $i i32)
    (loop $byte
      (if
        (i32.lt_u
          (i32.load8_u
            (i32.add (local.get $chunk) (i32.xor (i32.add (local.get $at) (local.get $i)) (i32.const 7))))
          (i32.const 0x80))
        (then (return (i32.add (local.get $i) (i32.const 1)))))
      (br_if $byte
        (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 10))))
    (i32.const 0))

  ;; As a double, rounded as the sum of its bytes from the highest on.
  (func $uvarint (param $chunk i32) (param $at i32) (param $length i32) (result f64)
    (local $value f64)
    (loop $byte
      (local.set $length (i32.sub (local.get $length) (i32.const 1)))
      (local.set $value
        (f64.add
          (f64.mul (local.get $value) (f64.const 128))
          (f64.convert_i32_u
            (i32.and
              (i32.load8_u
                (i32.add (local.get $chunk) (i32.xor (i32.add (local.get $at) (local.get $length)) (i32.const 7))))
              (i32.const 0x7f)))))
      (br_if $byte (local.get $length)))
    (local.get $value))

  ;; n bits hold -(2^(n-1)-1) .. 2^(n-1).
  (func $signed (param $value i32) (param $size i32) (result f64)
    (f64.convert_i32_s
      (i32.sub
        (local.get $value)
        (i32.shl
          (i32.gt_u
            (local.get $value)
            (i32.shl (i32.const 1) (i32.sub (local.get $size) (i32.const 1))))
          (local.get $size)))))

  ;; Decodes `length` bytes, at least two. Returns the number of samples, or -1 for corrupt bytes.
  (func (export "decode")
    (param $chunk i32) (param $length i32) (param $times i32) (param $values i32)
    (result i32)
    (local $count i32) (local $left i32) (local $bit i32) (local $endBit i32) (local $bytes i32)
    (local $time f64) (local $delta f64) (local $value i64) (local $ahead i64) (local $at i32)
    (local $isSecond i32)
    ;; The window: bits of a word that are not in it, and how many of these are below it.
    (local $outside i64) (local $trailing i64)
    (local $size i64)
    (local.set $endBit (i32.shl (local.get $length) (i32.const 3)))
    (local.set $count (i32.wrap_i64 (i64.shr_u (i64.load (local.get $chunk)) (i64.const 48))))
    (if (i32.eqz (local.get $count)) (then (return (i32.const 0))))

    (local.set $bytes (call $uvarintLength (local.get $chunk) (i32.const 2)))
    (if (i32.eqz (local.get $bytes)) (then (return (i32.const -1))))
    (local.set $delta (call $uvarint (local.get $chunk) (i32.const 2) (local.get $bytes)))
    (local.set $time (f64.floor (f64.mul (local.get $delta) (f64.const 0.5))))
    (if (f64.ne (f64.add (local.get $time) (local.get $time)) (local.get $delta))
      (then (local.set $time (f64.mul (f64.add (local.get $delta) (f64.const 1)) (f64.const -0.5)))))
    (local.set $bit (i32.shl (i32.add (local.get $bytes) (i32.const 2)) (i32.const 3)))
    (local.set $value (call $bits (local.get $chunk) (local.get $bit)))
    (local.set $bit (i32.add (local.get $bit) (i32.const 64)))
    (if (i32.gt_u (local.get $bit) (local.get $endBit)) (then (return (i32.const -1))))
    (f64.store (local.get $times) (local.get $time))
    (i64.store (local.get $values) (local.get $value))
    (global.set $stale
      (i32.add (global.get $stale) (i64.eq (local.get $value) (i64.const 0x7ff0000000000002))))
    (local.set $left (i32.sub (local.get $count) (i32.const 1)))
    (if (i32.eqz (local.get $left)) (then (return (local.get $count))))

    (local.set $at (i32.shr_u (local.get $bit) (i32.const 3)))
    (local.set $bytes (call $uvarintLength (local.get $chunk) (local.get $at)))
    (if (i32.eqz (local.get $bytes)) (then (return (i32.const -1))))
    (local.set $delta (call $uvarint (local.get $chunk) (local.get $at) (local.get $bytes)))
    (local.set $bit (i32.add (local.get $bit) (i32.shl (local.get $bytes) (i32.const 3))))
    (local.set $isSecond (i32.const 1))
    (loop $sample
      ;; $bits, in place.
      (local.set $at
        (i32.add (local.get $chunk) (i32.shl (i32.shr_u (local.get $bit) (i32.const 6)) (i32.const 3))))
      (local.set $ahead
        (i64.or
          (i64.shl (i64.load (local.get $at)) (i64.extend_i32_u (local.get $bit)))
          (i64.shr_u
            (i64.shr_u (i64.load offset=8 (local.get $at)) (i64.const 1))
            (i64.xor (i64.extend_i32_u (local.get $bit)) (i64.const -1)))))
      (if (local.get $isSecond)
        (then (local.set $isSecond (i32.const 0)))
        (else
          (if (i64.ge_s (local.get $ahead) (i64.const 0))
            (then
              ;; The same interval again.
              (local.set $bit (i32.add (local.get $bit) (i32.const 1)))
              (local.set $ahead (i64.shl (local.get $ahead) (i64.const 1))))
            (else
              (if (i64.eqz (i64.and (local.get $ahead) (i64.const 0x4000000000000000)))
                (then
                  (local.set $delta
                    (f64.add
                      (local.get $delta)
                      (call $signed
                        (i32.wrap_i64 (i64.shr_u (i64.shl (local.get $ahead) (i64.const 2)) (i64.const 50)))
                        (i32.const 14))))
                  (local.set $bit (i32.add (local.get $bit) (i32.const 16))))
                (else
                  (if (i64.eqz (i64.and (local.get $ahead) (i64.const 0x2000000000000000)))
                    (then
                      (local.set $delta
                        (f64.add
                          (local.get $delta)
                          (call $signed
                            (i32.wrap_i64 (i64.shr_u (i64.shl (local.get $ahead) (i64.const 3)) (i64.const 47)))
                            (i32.const 17))))
                      (local.set $bit (i32.add (local.get $bit) (i32.const 20))))
                    (else
                      (if (i64.eqz (i64.and (local.get $ahead) (i64.const 0x1000000000000000)))
                        (then
                          (local.set $delta
                            (f64.add
                              (local.get $delta)
                              (call $signed
                                (i32.wrap_i64 (i64.shr_u (i64.shl (local.get $ahead) (i64.const 4)) (i64.const 44)))
                                (i32.const 20))))
                          (local.set $bit (i32.add (local.get $bit) (i32.const 24))))
                        (else
                          (local.set $ahead
                            (call $bits (local.get $chunk) (i32.add (local.get $bit) (i32.const 4))))
                          (local.set $delta
                            (f64.add
                              (local.get $delta)
                              (f64.add
                                (f64.mul
                                  (f64.convert_i32_s (i32.wrap_i64 (i64.shr_u (local.get $ahead) (i64.const 32))))
                                  (f64.const 4294967296))
                                (f64.convert_i32_u (i32.wrap_i64 (local.get $ahead))))))
                          (local.set $bit (i32.add (local.get $bit) (i32.const 68)))))))))
              (local.set $ahead (call $bits (local.get $chunk) (local.get $bit)))))))
      (local.set $time (f64.add (local.get $time) (local.get $delta)))
      ;; Of `ahead` 63 bits hold here, and 50 at least once the window is known.
      (if (i64.ge_s (local.get $ahead) (i64.const 0))
        (then (local.set $bit (i32.add (local.get $bit) (i32.const 1))))
        (else
          (if (i64.eqz (i64.and (local.get $ahead) (i64.const 0x4000000000000000)))
            (then
              (local.set $bit (i32.add (local.get $bit) (i32.const 2)))
              (local.set $ahead (i64.shl (local.get $ahead) (i64.const 2))))
            (else
              (local.set $size (i64.shr_u (i64.shl (local.get $ahead) (i64.const 7)) (i64.const 58)))
              ;; 64 is written as 0
              (local.set $outside (i64.sub (i64.const 64) (local.get $size)))
              (if (i64.eqz (local.get $size)) (then (local.set $outside (i64.const 0))))
              (local.set $trailing
                (i64.sub
                  (local.get $outside)
                  (i64.shr_u (i64.shl (local.get $ahead) (i64.const 2)) (i64.const 59))))
              (if (i64.lt_s (local.get $trailing) (i64.const 0)) (then (return (i32.const -1))))
              (local.set $bit (i32.add (local.get $bit) (i32.const 13)))
              (local.set $ahead (i64.shl (local.get $ahead) (i64.const 13)))))
          (if (i64.lt_u (local.get $outside) (i64.const 14))
            (then (local.set $ahead (call $bits (local.get $chunk) (local.get $bit)))))
          (local.set $value
            (i64.xor
              (local.get $value)
              (i64.shl (i64.shr_u (local.get $ahead) (local.get $outside)) (local.get $trailing))))
          (local.set $bit
            (i32.add (local.get $bit) (i32.sub (i32.const 64) (i32.wrap_i64 (local.get $outside)))))))
      (if (i32.gt_u (local.get $bit) (local.get $endBit)) (then (return (i32.const -1))))
      (local.set $times (i32.add (local.get $times) (i32.const 8)))
      (local.set $values (i32.add (local.get $values) (i32.const 8)))
      (f64.store (local.get $times) (local.get $time))
      (i64.store (local.get $values) (local.get $value))
      (global.set $stale
        (i32.add (global.get $stale) (i64.eq (local.get $value) (i64.const 0x7ff0000000000002))))
      (br_if $sample (local.tee $left (i32.sub (local.get $left) (i32.const 1)))))
    (local.get $count)))
