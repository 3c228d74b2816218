package chaos

import (
	"flag"
	"os"
	"testing"
	"time"
)

// The flags of a run. The verb chaos of the Makefile sets them; without a duration
// the short form runs.
var (
	flagDuration = flag.Duration("duration", 0, "how long to play faults; 0 is the short form")
	flagNodes    = flag.Int("nodes", 3, "brokers: 3, or 1, which is never killed")
	flagSeed     = flag.Uint64("seed", 1, "what becomes of whom, and when")
	flagKills    = flag.Duration("kills", 0, "time from one fault to the next; default 4 s, 2 s in the short form")
	flagRate     = flag.Int("rate", 5000, "input records a second; 0 is as many as are taken")
	flagKeys     = flag.Int("keys", 20_000, "how many keys")
	flagReport   = flag.String("report", "", "file for the report as JSON")
)

func TestMain(m *testing.M) {
	if os.Getenv(childVariable) != "" {
		os.Exit(child())
	}
	os.Exit(m.Run())
}

// patience bounds waits for what must come.
const patience = 2 * time.Minute
