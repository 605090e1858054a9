;; SPDX-License-Identifier: Apache-2.0
;;
;; An applet without a language: answers a command with the hub's time (8 bytes, big-endian), how
;; often it has been asked since it was started (1 byte), and the command itself.
;; Commands that begin with FF misbehave: FF00 loops, FF01 traps, FF02 recurses, FF03 grows its
;; memory as far as it may and answers the number of pages, FF04 answers without a status word,
;; FF05 answers an error, FF06 chases a pointer through all of its memory. FF07 and FF08 log text
;; from outside of its memory, FF09 text that is no UTF-8. FF0A answers more than its memory holds,
;; FF0B a case that there is not, FF0C and FF0D point at no answer.
(component
  (import "meterlet:platform/clock@0.1.0" (instance $clock (export "now" (func (result s64)))))
  (import "meterlet:platform/log@0.1.0"
    (instance $log (export "write" (func (param "text" string)))))

  (core module $memory_of
    (memory (export "memory") 1)
    (data (i32.const 16) "asked")
    (data (i32.const 32) "it broke")
    (global $top (mut i32) (i32.const 4096))
    ;; A bump allocator: nothing is freed, but `reset` forgets all.
    (func (export "realloc") (param $old i32) (param $size i32) (param $align i32) (param $new i32)
      (result i32)
      (local $at i32)
      (local.set $at (i32.and (i32.add (global.get $top) (i32.const 7)) (i32.const -8)))
      (global.set $top (i32.add (local.get $at) (local.get $new)))
      (loop $grow
        (if (i32.gt_u (global.get $top) (i32.mul (memory.size) (i32.const 65536)))
          (then
            (if (i32.eq (memory.grow (i32.const 1)) (i32.const -1)) (then unreachable))
            (br $grow))))
      (local.get $at))
    (func (export "reset") (global.set $top (i32.const 4096))))

  (core instance $memory (instantiate $memory_of))
  (core func $now (canon lower (func $clock "now")))
  (core func $write
    (canon lower (func $log "write") (memory (core memory $memory "memory"))))

  (core module $program
    (import "memory" "memory" (memory 1))
    (import "memory" "realloc" (func $realloc (param i32 i32 i32 i32) (result i32)))
    (import "memory" "reset" (func $reset))
    (import "hub" "now" (func $now (result i64)))
    (import "hub" "write" (func $write (param i32 i32)))
    (global $count (mut i32) (i32.const 0))

    ;; result<list<u8>, string> at 64: case, pointer, length
    (func $answer (param $case i32) (param $pointer i32) (param $length i32) (result i32)
      (i32.store8 (i32.const 64) (local.get $case))
      (i32.store (i32.const 68) (local.get $pointer))
      (i32.store (i32.const 72) (local.get $length))
      (i32.const 64))

    (func $deeper (param $n i32) (result i32)
      (i32.add (call $deeper (i32.add (local.get $n) (i32.const 1))) (i32.const 1)))

    (func $success (result i32)
      (i32.store16 (i32.const 80) (i32.const 0x0090))
      (call $answer (i32.const 0) (i32.const 80) (i32.const 2)))

    (func $chase
      (local $at i32)
      (loop $next
        (local.set $at
          (i32.and
            (i32.add (i32.mul (local.get $at) (i32.const 1103515245)) (i32.const 12345))
            (i32.const 0xFFF8)))
        (i64.store (local.get $at) (i64.div_u (i64.const -1) (i64.const 3)))
        (br $next)))

    (func $misbehave (param $how i32) (result i32)
      (if (i32.eq (local.get $how) (i32.const 0)) (then (loop $for_ever (br $for_ever))))
      (if (i32.eq (local.get $how) (i32.const 1)) (then unreachable))
      (if (i32.eq (local.get $how) (i32.const 2)) (then (drop (call $deeper (i32.const 0)))))
      (if (i32.eq (local.get $how) (i32.const 3))
        (then
          (loop $more (br_if $more (i32.ne (memory.grow (i32.const 16)) (i32.const -1))))
          (i32.store (i32.const 80) (memory.size))
          (i32.store16 (i32.const 84) (i32.const 0x0090))
          (return (call $answer (i32.const 0) (i32.const 80) (i32.const 6)))))
      (if (i32.eq (local.get $how) (i32.const 4))
        (then (return (call $answer (i32.const 0) (i32.const 16) (i32.const 1)))))
      (if (i32.eq (local.get $how) (i32.const 5))
        (then (return (call $answer (i32.const 1) (i32.const 32) (i32.const 8)))))
      (if (i32.eq (local.get $how) (i32.const 6)) (then (call $chase)))
      (if (i32.eq (local.get $how) (i32.const 7))
        (then (call $write (i32.const 0x7FFFFFF0) (i32.const 100))))
      (if (i32.eq (local.get $how) (i32.const 8))
        (then (call $write (i32.const 0) (i32.const -1))))
      (if (i32.eq (local.get $how) (i32.const 9))
        (then
          (i32.store8 (i32.const 80) (i32.const 0xFF))
          (call $write (i32.const 80) (i32.const 1))))
      (if (i32.eq (local.get $how) (i32.const 10))
        (then (return (call $answer (i32.const 0) (i32.const 0) (i32.const -1)))))
      (if (i32.eq (local.get $how) (i32.const 11))
        (then (return (call $answer (i32.const 77) (i32.const 0) (i32.const 0)))))
      (if (i32.eq (local.get $how) (i32.const 12)) (then (return (i32.const 65535))))
      (if (i32.eq (local.get $how) (i32.const 13)) (then (return (i32.const 66))))
      (call $success))

    (func (export "process") (param $command i32) (param $length i32) (result i32)
      (local $out i32)
      (if (i32.eq (i32.load8_u (local.get $command)) (i32.const 0xFF))
        (then (return (call $misbehave (i32.load8_u offset=1 (local.get $command))))))
      (call $write (i32.const 16) (i32.const 5))
      (global.set $count (i32.add (global.get $count) (i32.const 1)))
      (local.set $out
        (call $realloc (i32.const 0) (i32.const 0) (i32.const 1)
          (i32.add (local.get $length) (i32.const 11))))
      (call $store_big_endian (local.get $out) (call $now))
      (i32.store8 offset=8 (local.get $out) (global.get $count))
      (memory.copy (i32.add (local.get $out) (i32.const 9)) (local.get $command) (local.get $length))
      (i32.store16 offset=9 (i32.add (local.get $out) (local.get $length)) (i32.const 0x0090))
      (call $answer (i32.const 0) (local.get $out) (i32.add (local.get $length) (i32.const 11))))

    (func $store_big_endian (param $at i32) (param $value i64)
      (local $index i32)
      (loop $next
        (i32.store8
          (i32.add (local.get $at) (local.get $index))
          (i32.wrap_i64
            (i64.shr_u
              (local.get $value)
              (i64.extend_i32_u
                (i32.mul (i32.sub (i32.const 7) (local.get $index)) (i32.const 8))))))
        (local.set $index (i32.add (local.get $index) (i32.const 1)))
        (br_if $next (i32.lt_u (local.get $index) (i32.const 8)))))

    (func (export "install") (param i32 i32) (result i32) (call $success))
    (func (export "select") (result i32) (call $success))
    (func (export "deselect") (result i32) (call $answer (i32.const 0) (i32.const 0) (i32.const 0)))
    (func (export "done") (param i32) (call $reset)))

  (core instance $applet
    (instantiate $program
      (with "memory" (instance $memory))
      (with "hub" (instance (export "now" (func $now)) (export "write" (func $write))))))

  (type $bytes (list u8))
  (type $answer (result $bytes (error string)))
  (func $process (param "command" $bytes) (result $answer)
    (canon lift (core func $applet "process")
      (memory (core memory $memory "memory")) (realloc (core func $memory "realloc"))
      (post-return (core func $applet "done"))))
  (func $install (param "parameters" $bytes) (result $answer)
    (canon lift (core func $applet "install")
      (memory (core memory $memory "memory")) (realloc (core func $memory "realloc"))))
  (func $select (result $answer)
    (canon lift (core func $applet "select") (memory (core memory $memory "memory"))))
  (func $deselect (result (result (error string)))
    (canon lift (core func $applet "deselect") (memory (core memory $memory "memory"))))

  (instance $exported
    (export "install" (func $install))
    (export "select" (func $select))
    (export "process" (func $process))
    (export "deselect" (func $deselect))
    (export "update" (func $deselect))
    (export "uninstall" (func $select)))
  (export "meterlet:platform/applet@0.1.0" (instance $exported))
)
