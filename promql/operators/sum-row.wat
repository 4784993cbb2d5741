;; Adds one row to the sums of its group, step by step, each with its rounding error beside it: the loop of `addRows`
;; (folds.ts) on cells in scratch memory, two at a time where eight in a row are all numbers. Both give the same bits.
(module
  (import "scratch" "memory" (memory 1))

  ;; Cells that are no numbers are passed over.
  (func (export "add")
    (param $values i32) (param $present i32)
    (param $sums i32) (param $errors i32) (param $outPresent i32)
    (param $steps i32)
    (local $end i32) (local $eight i32)
    (local $value f64) (local $sum f64) (local $next f64)
    (local $values2 v128) (local $sums2 v128) (local $next2 v128) (local $isSumLarger v128)
    (local.set $end (i32.add (local.get $present) (local.get $steps)))
    (block $done
      (loop $cells
        (br_if $done (i32.ge_u (local.get $present) (local.get $end)))
        (if
          (i32.ge_u (i32.sub (local.get $end) (local.get $present)) (i32.const 8))
          (then
            (if
              (i64.eq (i64.load (local.get $present)) (i64.const 0x0101010101010101))
              (then
                (local.set $eight (i32.add (local.get $sums) (i32.const 64)))
                (loop $two
                  (local.set $values2 (v128.load (local.get $values)))
                  (local.set $sums2 (v128.load (local.get $sums)))
                  (local.set $next2 (f64x2.add (local.get $sums2) (local.get $values2)))
                  (local.set $isSumLarger
                    (f64x2.ge (f64x2.abs (local.get $sums2)) (f64x2.abs (local.get $values2))))
                  (v128.store (local.get $sums) (local.get $next2))
                  (v128.store
                    (local.get $errors)
                    (v128.andnot
                      (f64x2.add
                        (v128.load (local.get $errors))
                        (f64x2.add
                          (f64x2.sub
                            (v128.bitselect (local.get $sums2) (local.get $values2) (local.get $isSumLarger))
                            (local.get $next2))
                          (v128.bitselect (local.get $values2) (local.get $sums2) (local.get $isSumLarger))))
                      ;; An infinite sum forgets its error.
                      (f64x2.eq (f64x2.abs (local.get $next2)) (v128.const f64x2 inf inf))))
                  (local.set $values (i32.add (local.get $values) (i32.const 16)))
                  (local.set $errors (i32.add (local.get $errors) (i32.const 16)))
                  (br_if $two
                    (i32.lt_u
                      (local.tee $sums (i32.add (local.get $sums) (i32.const 16)))
                      (local.get $eight))))
                (i64.store (local.get $outPresent) (i64.const 0x0101010101010101))
                (local.set $present (i32.add (local.get $present) (i32.const 8)))
                (local.set $outPresent (i32.add (local.get $outPresent) (i32.const 8)))
                (br $cells)))))
        (if
          (i32.eq (i32.load8_u (local.get $present)) (i32.const 1))
          (then
            (local.set $value (f64.load (local.get $values)))
            (local.set $sum (f64.load (local.get $sums)))
            (local.set $next (f64.add (local.get $sum) (local.get $value)))
            (f64.store (local.get $sums) (local.get $next))
            (i32.store8 (local.get $outPresent) (i32.const 1))
            (if
              (f64.eq (f64.abs (local.get $next)) (f64.const inf))
              (then (f64.store (local.get $errors) (f64.const 0)))
              (else
                (f64.store
                  (local.get $errors)
                  (f64.add
                    (f64.load (local.get $errors))
                    (if (result f64)
                      (f64.ge (f64.abs (local.get $sum)) (f64.abs (local.get $value)))
                      (then
                        (f64.add (f64.sub (local.get $sum) (local.get $next)) (local.get $value)))
                      (else
                        (f64.add (f64.sub (local.get $value) (local.get $next)) (local.get $sum))))))))))
        (local.set $values (i32.add (local.get $values) (i32.const 8)))
        (local.set $sums (i32.add (local.get $sums) (i32.const 8)))
        (local.set $errors (i32.add (local.get $errors) (i32.const 8)))
        (local.set $present (i32.add (local.get $present) (i32.const 1)))
        (local.set $outPresent (i32.add (local.get $outPresent) (i32.const 1)))
        (br $cells)))))
