package integration

// childVariable names, in the environment, what a process that a test has started
// is to do.
const childVariable = "KAPPA_TEST_CHILD"

func child() int { return 0 }
