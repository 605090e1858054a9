;; SPDX-License-Identifier: Apache-2.0
;;
;; A library without a language. `work` does what its number says: 0 loops, 1 traps, 2 grows its
;; memory as far as it may and returns the number of pages, 3 logs a line, 4 counts its own calls,
;; 5 asks for the hub's time; any other is doubled. `measure` adds up bytes, `fill` returns as many
;; as it is told.
(component
  (import "meterlet:platform/clock@0.1.0" (instance $clock (export "now" (func (result s64)))))
  (import "meterlet:platform/log@0.1.0"
    (instance $log (export "write" (func (param "text" string)))))
  (core module $memory_of
    (memory (export "memory") 1)
    (data (i32.const 16) "a library")
    (func (export "realloc") (param i32 i32 i32 i32) (result i32)
      (if (i32.gt_u (local.get 3) (i32.const 60000)) (then unreachable))
      (i32.const 1024)))
  (core instance $memory (instantiate $memory_of))
  (core func $now (canon lower (func $clock "now")))
  (core func $write (canon lower (func $log "write") (memory (core memory $memory "memory"))))
  (core module $program
    (import "memory" "memory" (memory 1))
    (import "hub" "now" (func $now (result i64)))
    (import "hub" "write" (func $write (param i32 i32)))
    (global $calls (mut i32) (i32.const 0))
    (func (export "work") (param $how i32) (result i32)
      (if (i32.eq (local.get $how) (i32.const 0)) (then (loop $for_ever (br $for_ever))))
      (if (i32.eq (local.get $how) (i32.const 1)) (then unreachable))
      (if (i32.eq (local.get $how) (i32.const 2))
        (then
          (loop $more (br_if $more (i32.ne (memory.grow (i32.const 1)) (i32.const -1))))
          (return (memory.size))))
      (if (i32.eq (local.get $how) (i32.const 3))
        (then (call $write (i32.const 16) (i32.const 9)) (return (i32.const 1))))
      (if (i32.eq (local.get $how) (i32.const 4))
        (then
          (global.set $calls (i32.add (global.get $calls) (i32.const 1)))
          (return (global.get $calls))))
      (if (i32.eq (local.get $how) (i32.const 5))
        (then (return (i32.wrap_i64 (call $now)))))
      (i32.mul (local.get $how) (i32.const 2)))
    (func (export "fill") (param $length i32) (result i32)
      (i32.store (i32.const 8) (i32.const 1024))
      (i32.store (i32.const 12) (local.get $length))
      (i32.const 8))
    (func (export "measure") (param $at i32) (param $length i32) (result i32)
      (local $sum i32)
      (block $done
        (loop $next
          (br_if $done (i32.eqz (local.get $length)))
          (local.set $length (i32.sub (local.get $length) (i32.const 1)))
          (local.set $sum
            (i32.add (local.get $sum)
              (i32.load8_u (i32.add (local.get $at) (local.get $length)))))
          (br $next)))
      (local.get $sum)))
  (core instance $tools
    (instantiate $program
      (with "memory" (instance $memory))
      (with "hub" (instance (export "now" (func $now)) (export "write" (func $write))))))
  (func $work (param "how" u32) (result u32) (canon lift (core func $tools "work")))
  (func $measure (param "data" (list u8)) (result u32)
    (canon lift (core func $tools "measure")
      (memory (core memory $memory "memory")) (realloc (core func $memory "realloc"))))
  (func $fill (param "length" u32) (result (list u8))
    (canon lift (core func $tools "fill") (memory (core memory $memory "memory"))))
  (instance $exported
    (export "work" (func $work)) (export "measure" (func $measure)) (export "fill" (func $fill)))
  (export "vendor:tools/tools@1.0.0" (instance $exported))
)
