;; A guest that looks whether anything here is not as its module made it, then leaves traces everywhere.
;;
;; The words in capitals are filled in. A run answers `null`, or fails with the place where it found something.
;; Memory: below 1104 what this guest answers with, looked at by nobody; then its heap, the host's texts from 4096 on,
;; 4 KiB of data at 8192, and nothing but zeros.
(module
  (memory (export "memory") PAGES)
  (table $table (export "table") ELEMENTS funcref)
  (global $mark (export "mark") (mut i64) (i64.const 0))
  (global $next (mut i32) (i32.const 4096))
  ;; The answer of describe: one walker called test, async, that enters Root.
  (data (i32.const 0) "\08\00\00\00\01\00\00\00\00\01\00\00\04\00\00\00\00\01\00\00\00\00\00\00\01\00\00\00\50\00\00\00\01\00\00\00\00\00\00\00\00\00\00\00\00\04\00\00\02\00\00\00")
  (data (i32.const 80) "\08\01\00\00\04\00\00\00")
  (data (i32.const 256) "test    Root")
  (data (i32.const 768) "null")
  (data (i32.const 800) "size    data    memory  grown   table   global  ")
  (data (i32.const 1024) "{}")
  (data (i32.const 8192) "DATA")
  (elem declare func $scan)

  (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32)
    (local $at i32)
    (local.set $at (i32.and (i32.add (global.get $next) (i32.const 7)) (i32.const -8)))
    (global.set $next (i32.add (local.get $at) (local.get 3)))
    (local.get $at))

  (func (export "walker:guest/guest@0.1.0#describe") (result i32) (i32.const 0))

  ;; Whether every eight bytes between two addresses are the same; both must be multiples of 32.
  (func $holds (param $from i32) (param $to i32) (param $word i64) (result i32)
    (local $differs i64)
    (loop $next
      (if (i32.lt_u (local.get $from) (local.get $to))
        (then
          (local.set $differs
            (i64.or
              (i64.or (i64.xor (i64.load (local.get $from)) (local.get $word))
                      (i64.xor (i64.load offset=8 (local.get $from)) (local.get $word)))
              (i64.or (i64.xor (i64.load offset=16 (local.get $from)) (local.get $word))
                      (i64.xor (i64.load offset=24 (local.get $from)) (local.get $word)))))
          (if (i64.ne (local.get $differs) (i64.const 0)) (then (return (i32.const 0))))
          (local.set $from (i32.add (local.get $from) (i32.const 32)))
          (br $next))))
    (i32.const 1))

  ;; Which place is not as it was made, or -1.
  (func $scan (param $used i32) (param $grown i32) (result i32)
    (local $at i32)
    (if (i32.eqz (call $holds (i32.const 8192) (i32.const 12288) (i64.const WORD))) (then (return (i32.const 1))))
    (if (i32.eqz (i32.and
          (i32.and (call $holds (i32.const 1120) (i32.const 4096) (i64.const 0))
                   (call $holds (local.get $used) (i32.const 8192) (i64.const 0)))
          (call $holds (i32.const 12288) (local.get $grown) (i64.const 0))))
      (then (return (i32.const 2))))
    (if (i32.eqz (call $holds (local.get $grown) (i32.shl (memory.size) (i32.const 16)) (i64.const 0)))
      (then (return (i32.const 3))))
    (loop $next
      (if (i32.lt_u (local.get $at) (table.size $table))
        (then
          (if (i32.eqz (ref.is_null (table.get $table (local.get $at)))) (then (return (i32.const 4))))
          (local.set $at (i32.add (local.get $at) (i32.const 1)))
          (br $next))))
    (if (i64.ne (global.get $mark) (i64.const 0)) (then (return (i32.const 5))))
    (i32.const -1))

  (func (export "walker:guest/guest@0.1.0#run")
    (param $walker i32) (param $walker-len i32) (param $id i32) (param $id-len i32) (param $node i32)
    (param $node-len i32) (param $root i32) (param $root-len i32) (param $attempt i32) (param $fields i32)
    (param $fields-len i32) (param $has-custom i32) (param $custom i32) (param $custom-len i32) (result i32)
    (local $used i32) (local $canary i32) (local $found i32) (local $grown i32)
    (local.set $used (i32.and (i32.add (global.get $next) (i32.const 31)) (i32.const -32)))
    ;; A letter out of the fields' text: never zero, and another one in another run.
    (local.set $canary (i32.load8_u offset=1 (local.get $fields)))
    (local.set $found (i32.const 0))
    (if (i32.eq (memory.size) (i32.const PAGES))
      (then
        (local.set $grown (i32.shl (memory.grow (i32.const 1)) (i32.const 16)))
        (if (i32.le_s (local.get $grown) (i32.const 0)) (then unreachable))
        (local.set $found (call $scan (local.get $used) (local.get $grown)))))
    (memory.fill (i32.const 1120) (local.get $canary) (i32.const 2976))
    (memory.fill (local.get $used) (local.get $canary)
      (i32.sub (i32.shl (memory.size) (i32.const 16)) (local.get $used)))
    (table.fill $table (i32.const 0) (ref.func $scan) (table.size $table))
    (global.set $mark (i64.extend_i32_u (local.get $canary)))
    (if (i32.lt_s (local.get $found) (i32.const 0))
      (then
        (i32.store (i32.const 512) (i32.const 0))
        (i32.store (i32.const 516) (i32.const 768))
        (i32.store (i32.const 520) (i32.const 4)))
      (else
        (i32.store (i32.const 512) (i32.const 1))
        (i32.store (i32.const 516) (i32.add (i32.const 800) (i32.shl (local.get $found) (i32.const 3))))
        (i32.store (i32.const 520) (i32.const 8))))
    (i32.const 512)))
