;; rate, increase and delta of one series over all steps: `fillRateRow` of rate-row.ts, which explains the arithmetic, on
;; columns in scratch memory. Both give the same bits. Places in the columns are counted in bytes from the row's start.
(module
  (import "scratch" "memory" (memory 1))

  ;; `change` plus the value before each reset in [from, to).
  (func $addResets (param $values i32) (param $from i32) (param $to i32) (param $change f64) (result f64)
    (local $previous f64) (local $value f64)
    (local.set $previous (f64.load (i32.add (local.get $values) (local.get $from))))
    (loop $sample
      (if
        (i32.lt_u (local.tee $from (i32.add (local.get $from) (i32.const 8))) (local.get $to))
        (then
          (local.set $value (f64.load (i32.add (local.get $values) (local.get $from))))
          (if (f64.lt (local.get $value) (local.get $previous))
            (then (local.set $change (f64.add (local.get $change) (local.get $previous)))))
          (local.set $previous (local.get $value))
          (br $sample))))
    (local.get $change))

  ;; `times` and `values` are of the row, `length` its bytes in each; `present` is zero before.
  (func (export "fill")
    (param $times i32) (param $values i32) (param $length i32)
    (param $out i32) (param $present i32) (param $steps i32)
    (param $firstEndMs f64) (param $stepMs f64) (param $rangeMs f64)
    (param $isCounter i32) (param $perS f64)
    (local $t i32) (local $from i32) (local $to i32) (local $lastReset i32)
    (local $previous f64) (local $value f64)
    (local $startMs f64) (local $endMs f64) (local $firstMs f64) (local $lastMs f64)
    (local $first f64) (local $change f64) (local $scale f64)
    ;; Of the window before: as long as windows are alike, its divisions hold.
    (local $size i32) (local $spanMs f64) (local $startGapMs f64) (local $endGapMs f64)
    (local $sampledS f64) (local $averageS f64) (local $toStartS f64) (local $toEndS f64) (local $factor f64)
    (local $toZeroS f64)
    (local.set $previous (f64.const nan))
    (block $done
      (loop $step
        (br_if $done (i32.ge_u (local.get $t) (local.get $steps)))
        (local.set $endMs
          (f64.add
            (local.get $firstEndMs)
            (f64.mul (f64.convert_i32_u (local.get $t)) (local.get $stepMs))))
        (local.set $startMs (f64.sub (local.get $endMs) (local.get $rangeMs)))
        (block $isEntered
          (loop $enter
            (br_if $isEntered (i32.ge_u (local.get $to) (local.get $length)))
            (br_if $isEntered
              (i32.eqz
                (f64.le (f64.load (i32.add (local.get $times) (local.get $to))) (local.get $endMs))))
            (local.set $value (f64.load (i32.add (local.get $values) (local.get $to))))
            (if (f64.lt (local.get $value) (local.get $previous))
              (then (local.set $lastReset (local.get $to))))
            (local.set $previous (local.get $value))
            (local.set $to (i32.add (local.get $to) (i32.const 8)))
            (br $enter)))
        (block $isLeft
          (loop $leave
            (br_if $isLeft (i32.ge_u (local.get $from) (local.get $to)))
            (br_if $isLeft
              (i32.eqz
                (f64.le (f64.load (i32.add (local.get $times) (local.get $from))) (local.get $startMs))))
            (local.set $from (i32.add (local.get $from) (i32.const 8)))
            (br $leave)))
        (if (i32.ge_u (i32.sub (local.get $to) (local.get $from)) (i32.const 16))
          (then
            (local.set $first (f64.load (i32.add (local.get $values) (local.get $from))))
            (local.set $change (f64.sub (local.get $previous) (local.get $first)))
            (if (i32.and (local.get $isCounter) (i32.gt_u (local.get $lastReset) (local.get $from)))
              (then
                (local.set $change
                  (call $addResets
                    (local.get $values)
                    (local.get $from)
                    (local.get $to)
                    (local.get $change)))))
            (local.set $firstMs (f64.load (i32.add (local.get $times) (local.get $from))))
            (local.set $lastMs
              (f64.load (i32.sub (i32.add (local.get $times) (local.get $to)) (i32.const 8))))
            (if
              (i32.eqz
                (i32.and
                  (i32.and
                    (f64.eq (f64.sub (local.get $lastMs) (local.get $firstMs)) (local.get $spanMs))
                    (i32.eq (i32.sub (local.get $to) (local.get $from)) (local.get $size)))
                  (i32.and
                    (f64.eq (f64.sub (local.get $firstMs) (local.get $startMs)) (local.get $startGapMs))
                    (f64.eq (f64.sub (local.get $endMs) (local.get $lastMs)) (local.get $endGapMs)))))
              (then
                (local.set $size (i32.sub (local.get $to) (local.get $from)))
                (local.set $spanMs (f64.sub (local.get $lastMs) (local.get $firstMs)))
                (local.set $startGapMs (f64.sub (local.get $firstMs) (local.get $startMs)))
                (local.set $endGapMs (f64.sub (local.get $endMs) (local.get $lastMs)))
                (local.set $sampledS (f64.div (local.get $spanMs) (f64.const 1000)))
                (local.set $averageS
                  (f64.div
                    (local.get $sampledS)
                    (f64.convert_i32_u
                      (i32.sub (i32.shr_u (local.get $size) (i32.const 3)) (i32.const 1)))))
                (local.set $toStartS (f64.div (local.get $startGapMs) (f64.const 1000)))
                (if (f64.ge (local.get $toStartS) (f64.mul (local.get $averageS) (f64.const 1.1)))
                  (then (local.set $toStartS (f64.div (local.get $averageS) (f64.const 2)))))
                (local.set $toEndS (f64.div (local.get $endGapMs) (f64.const 1000)))
                (if (f64.ge (local.get $toEndS) (f64.mul (local.get $averageS) (f64.const 1.1)))
                  (then (local.set $toEndS (f64.div (local.get $averageS) (f64.const 2)))))
                (local.set $factor
                  (f64.div
                    (f64.div
                      (f64.add (f64.add (local.get $sampledS) (local.get $toStartS)) (local.get $toEndS))
                      (local.get $sampledS))
                    (local.get $perS)))))
            (local.set $scale (local.get $factor))
            (if
              (i32.and
                (i32.and
                  (i32.and (local.get $isCounter) (f64.gt (local.get $change) (f64.const 0)))
                  (f64.ge (local.get $first) (f64.const 0)))
                (i32.or
                  (f64.lt (local.get $first) (local.get $change))
                  (f64.gt (local.get $toStartS) (local.get $sampledS))))
              (then
                (local.set $toZeroS
                  (f64.mul (local.get $sampledS) (f64.div (local.get $first) (local.get $change))))
                (if (f64.lt (local.get $toZeroS) (local.get $toStartS))
                  (then
                    (local.set $scale
                      (f64.div
                        (f64.div
                          (f64.add (f64.add (local.get $sampledS) (local.get $toZeroS)) (local.get $toEndS))
                          (local.get $sampledS))
                        (local.get $perS)))))))
            (f64.store (local.get $out) (f64.mul (local.get $change) (local.get $scale)))
            (i32.store8 (local.get $present) (i32.const 1))))
        (local.set $out (i32.add (local.get $out) (i32.const 8)))
        (local.set $present (i32.add (local.get $present) (i32.const 1)))
        (local.set $t (i32.add (local.get $t) (i32.const 1)))
        (br $step)))))
