// Package lint holds the rules of the house and, as tests, applies them to the tree:
// which package may import which, who owns a third-party module, where goroutines may
// start and clocks be read, what must be documented, and what must not be written.
//
// A rule is a function from what it looks at to the findings, each one line that says
// where, what and how to mend it. No findings means the rule holds. The tables, which
// change as the house grows, are in tables.go. The package is for the project's own
// tests; it keeps no state.
package lint
