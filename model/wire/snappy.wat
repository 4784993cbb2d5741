;; Decodes the elements of a snappy body inside one memory; snappy.ts lays it out and says why it is here.
;; Format: google/snappy, format_description.txt.
;;
;;   source [from, sourceEnd), then at least 16 bytes of anything
;;   target [base, targetEnd), written from `to` on, then at least 64 bytes that may be overwritten
;;
;; Whole blocks of 16 bytes are moved where they cannot overlap themselves: up to 15 bytes too many, which the next
;; element overwrites, or which lie after the end of the target. Every length is checked before anything is moved.
(module
  (memory (export "memory") 1)
  ;; Where it stopped: before the first element that is not decoded.
  (global $from (export "from") (mut i32) (i32.const 0))
  (global $to (export "to") (mut i32) (i32.const 0))
  ;; Of the last copy, how far back it reaches.
  (global $offset (export "offset") (mut i32) (i32.const 0))

  ;; Decodes until `stopAt` is reached in the target, or the end of the source. Returns 0, or what is wrong:
  ;; 1 truncated literal, 2 yields more than the target holds, 3 truncated copy, 4 copy from before the target.
  (func (export "decode")
    (param $from i32) (param $sourceEnd i32)
    (param $base i32) (param $to i32) (param $stopAt i32) (param $targetEnd i32)
    (result i32)
    (local $tag i32) (local $kind i32) (local $count i32) (local $next i32) (local $offset i32) (local $end i32)
    (local $failure i32)
    (block $done
      (loop $element
        (br_if $done (i32.ge_u (local.get $from) (local.get $sourceEnd)))
        (br_if $done (i32.ge_u (local.get $to) (local.get $stopAt)))
        (local.set $tag (i32.load8_u (local.get $from)))
        (local.set $kind (i32.and (local.get $tag) (i32.const 3)))
        (local.set $count (i32.add (i32.shr_u (local.get $tag) (i32.const 2)) (i32.const 1)))

        (if (i32.eqz (local.get $kind))
          (then
            (local.set $failure (i32.const 1))
            (local.set $next (i32.add (local.get $from) (i32.const 1)))
            (if (i32.gt_u (local.get $count) (i32.const 60))
              (then
                ;; The length less one is in 1 to 4 bytes, of four that are read.
                (local.set $end (i32.sub (local.get $count) (i32.const 60)))
                (local.set $count
                  (i32.and
                    (i32.load (local.get $next))
                    (i32.shr_u
                      (i32.const -1)
                      (i32.shl (i32.sub (i32.const 4) (local.get $end)) (i32.const 3)))))
                (local.set $next (i32.add (local.get $next) (local.get $end)))
                (br_if $done (i32.eq (local.get $count) (i32.const -1)))
                (local.set $count (i32.add (local.get $count) (i32.const 1)))))
            (br_if $done (i32.gt_u (local.get $next) (local.get $sourceEnd)))
            (br_if $done
              (i32.gt_u (local.get $count) (i32.sub (local.get $sourceEnd) (local.get $next))))
            (local.set $failure (i32.const 2))
            (br_if $done (i32.gt_u (local.get $count) (i32.sub (local.get $targetEnd) (local.get $to))))
            (if (i32.le_u (local.get $count) (i32.const 16))
              (then (v128.store (local.get $to) (v128.load (local.get $next))))
              (else (memory.copy (local.get $to) (local.get $next) (local.get $count))))
            (local.set $to (i32.add (local.get $to) (local.get $count)))
            (local.set $from (i32.add (local.get $next) (local.get $count)))
            (local.set $failure (i32.const 0))
            (br $element)))

        (if (i32.eq (local.get $kind) (i32.const 1))
          (then
            (local.set $count (i32.add (i32.and (i32.shr_u (local.get $tag) (i32.const 2)) (i32.const 7)) (i32.const 4)))
            (local.set $offset
              (i32.or
                (i32.shl (i32.and (local.get $tag) (i32.const 0xe0)) (i32.const 3))
                (i32.load8_u offset=1 (local.get $from))))
            (local.set $next (i32.add (local.get $from) (i32.const 2))))
          (else
            (if (i32.eq (local.get $kind) (i32.const 2))
              (then
                (local.set $offset (i32.load16_u offset=1 (local.get $from)))
                (local.set $next (i32.add (local.get $from) (i32.const 3))))
              (else
                (local.set $offset (i32.load offset=1 (local.get $from)))
                (local.set $next (i32.add (local.get $from) (i32.const 5)))))))
        (local.set $failure (i32.const 3))
        (br_if $done (i32.gt_u (local.get $next) (local.get $sourceEnd)))
        (local.set $failure (i32.const 4))
        (br_if $done (i32.eqz (local.get $offset)))
        (br_if $done (i32.gt_u (local.get $offset) (i32.sub (local.get $to) (local.get $base))))
        (local.set $failure (i32.const 2))
        (br_if $done (i32.gt_u (local.get $count) (i32.sub (local.get $targetEnd) (local.get $to))))
        (local.set $failure (i32.const 0))
        (local.set $end (i32.add (local.get $to) (local.get $count)))
        ;; Ranges may overlap: moved in rising order.
        (if (i32.ge_u (local.get $offset) (i32.const 16))
          (then
            (loop $block
              (v128.store (local.get $to) (v128.load (i32.sub (local.get $to) (local.get $offset))))
              (br_if $block
                (i32.lt_u (local.tee $to (i32.add (local.get $to) (i32.const 16))) (local.get $end)))))
          (else
            (loop $byte
              (i32.store8 (local.get $to) (i32.load8_u (i32.sub (local.get $to) (local.get $offset))))
              (br_if $byte
                (i32.lt_u (local.tee $to (i32.add (local.get $to) (i32.const 1))) (local.get $end))))))
        (local.set $to (local.get $end))
        (local.set $from (local.get $next))
        (br $element)))
    (global.set $from (local.get $from))
    (global.set $to (local.get $to))
    (global.set $offset (local.get $offset))
    (local.get $failure)))
