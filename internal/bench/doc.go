// Package bench measures whole programs on real Kafka: examples/count beside
// baselines of its own (a plain transactional copy loop, a count in a Go map, stock
// goka), in rounds that take turns, and prints each figure as a ratio within the one
// run. It holds no code of its own beside tests.
//
//	make bench                              # all figures, small
//	make bench RECORDS=10000000 ROUNDS=3    # steady state
//	make bench ONLY='P1/hot|P6'             # some figures
//
// A figure is a function (figures_*_test.go) in the table of figures_test.go; it
// starts programs, follows them by the offsets that their groups commit, and adds
// rows to the report. After every run the result is read back under read_committed:
// a wrong one is a failure, not a figure. docs/bench/README.md says how to read what
// comes out.
//
// The programs that are measured are processes: examples/count is built from the
// tree, the baselines are this test's own binary, started again (programs_test.go).
// Without the flag -figures only the tests of the harness itself run.
package bench
